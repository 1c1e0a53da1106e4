"""All figures of a study."""

import contextlib
from collections.abc import Callable, Iterable

from matplotlib.figure import Figure

from studies.analysis.stored_study import StoredStudy
from studies.figures.contour import contour
from studies.figures.parameters import parallel_coordinates, parameter_importances, slices
from studies.figures.progress import intermediate_values, optimization_history
from studies.figures.timeline import timeline
from tracking.figures.style import to_png

FIGURES: dict[str, Callable[[StoredStudy], Figure | None]] = {
    "optimization_history": optimization_history,
    "intermediate_values": intermediate_values,
    "parameter_importances": parameter_importances,
    "slice": slices,
    "parallel_coordinates": parallel_coordinates,
    "contour": contour,
    "timeline": timeline,
}
"""Each figure by its file name; a function returns None if there is nothing to draw."""


def draw(stored: StoredStudy, names: Iterable[str] = tuple(FIGURES)) -> dict[str, bytes]:
    """Return figures of a study as PNG files by their names.

    Left out are figures that cannot be drawn for this study (importances of one parameter, a
    contour of choices) and those whose drawing fails: a figure must never end a search.
    """
    drawn = {}
    for name in names:
        with contextlib.suppress(Exception):
            figure = FIGURES[name](stored)
            if figure is not None:
                drawn[name] = to_png(figure)
    return drawn
