"""All figures of a study."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from studies.figures.contour import contour
from studies.figures.parameters import parallel_coordinates, parameter_importances, slices
from studies.figures.progress import intermediate_values, optimization_history
from studies.figures.timeline import timeline
from studies.stored import StoredStudy
from tracking.figures import to_png
from tracking.ledger import Ledger

FIGURES: dict[str, Callable[[StoredStudy], Figure | None]] = {
    "optimization_history": optimization_history,
    "intermediate_values": intermediate_values,
    "parameter_importances": parameter_importances,
    "slice": slices,
    "parallel_coordinates": parallel_coordinates,
    "contour": contour,
    "timeline": timeline,
}
"""Each figure by the name of its file; a function returns None where there is nothing to draw."""


def draw_study(ledger: Path, name: str) -> dict[str, bytes]:
    """Return the figures of a study in the ledger at a path, as `draw` does."""
    with contextlib.closing(Ledger(ledger)) as opened:
        record = opened.study(name)
        return {} if record is None else draw(StoredStudy(opened, record))


def draw(stored: StoredStudy) -> dict[str, bytes]:
    """Return the figures of a study as PNG files by their names.

    What cannot be drawn for this study (importances of one parameter, a contour of choices) is left
    out, and so is what goes wrong: a figure is never worth a search.
    """
    drawn = {}
    for name, function in FIGURES.items():
        with contextlib.suppress(Exception):
            figure = function(stored)
            if figure is not None:
                drawn[name] = to_png(figure)
    return drawn
