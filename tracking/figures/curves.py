"""Figures of the record, drawn without pyplot: no global state, so any thread may draw."""

import io
import logging
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from tracking.records import EpochRecord
from tracking.store import names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tracking.store.store import Store

Draw = Callable[[str, Sequence[EpochRecord], int | None], "Future[bytes]"]
"""Promises the curves of a trial as a PNG file, drawn by somebody else meanwhile."""

MOST_PANELS = 6
"""Metrics in one figure: more could not be read, and hundreds would take a minute to draw."""

# One colour and dash a curve: told apart in grey print and by colour-blind eyes.
_TRAIN = {"color": "#4477aa", "linestyle": "--"}
_VALIDATION = {"color": "#cc5533", "linestyle": "-"}

_LARGEST = 1e300
"""Matplotlib computes with differences of values, which must be finite too."""


def curves(title: str, epochs: Sequence[EpochRecord], kept: int | None = None) -> "Figure":
    """Draw each metric over the epochs, training and validation in one panel.

    `kept` is the epoch whose weights are kept, marked where it is not the last. Of very many
    metrics only the first are drawn; MLflow's pages have them all.
    """
    # Matplotlib says on stderr that it builds a font cache, once a machine.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    panels = _panels(epochs)
    columns = min(max(len(panels), 1), MOST_PANELS)
    width, height = 4.6 * columns, 3.4
    figure = Figure(figsize=(width, height))
    # Margins by hand, in inches: an automatic layout draws everything twice, 0.1 s a trial.
    figure.subplots_adjust(
        left=0.65 / width, right=1 - 0.15 / width, bottom=0.5 / height, top=1 - 0.65 / height,
        wspace=0.8 * columns / width,
    )  # fmt: skip
    _head(figure, title, len(panels))
    subplots = figure.subplots(1, columns, squeeze=False)[0]
    for axes, (name, series) in zip(subplots, panels.items(), strict=False):
        for key in series:
            _draw(axes, key, epochs)
        if _is_marked(epochs, kept):
            axes.axvline(kept, color="0.6", linewidth=0.8, label=f"kept: epoch {kept}")
        # At a given height nothing is measured to find one.
        axes.set_title(names.plain(name), fontsize=10, y=1.0, parse_math=False)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        # Where Matplotlib would find room for it, without measuring every number on the axis.
        axes.xaxis.set_label_coords(0.5, -0.13)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        for text in axes.legend(fontsize=8, frameon=False).get_texts():
            text.set_parse_math(False)
    return figure


def to_png(figure: "Figure") -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, pil_kwargs={"compress_level": 3})
    return buffer.getvalue()


def curves_png(title: str, epochs: Sequence[EpochRecord], kept: int | None = None) -> bytes:
    """Return `curves` as the bytes of a PNG file."""
    return to_png(curves(title, epochs, kept))


class CurvesInTurn:
    """Draws the curves of one trial after another, in the same figure where that is possible.

    To make a figure takes as long as to draw it. One thread at a time may use it.
    """

    def __init__(self) -> None:
        self._figures: dict[object, Figure] = {}

    def png(self, title: str, epochs: Sequence[EpochRecord], kept: int | None) -> bytes:
        """Return what `curves_png` returns."""
        if _is_marked(epochs, kept):  # with a legend of its own
            return curves_png(title, epochs, kept)
        keys = [tuple(series) for series in _panels(epochs).values()]
        layout = (tuple(keys), _marker_size(epochs))
        if (figure := self._figures.get(layout)) is None:
            figure = self._figures[layout] = curves(title, epochs)
            return to_png(figure)
        _head(figure, title, len(keys))
        for axes, series in zip(figure.axes, keys, strict=False):
            for line, key in zip(axes.lines, series, strict=True):
                line.set_data(*_points(key, epochs))
            axes.relim()
            axes.autoscale_view()
        return to_png(figure)


def log_study_figures(store: "Store", study: str, figures: Mapping[str, "Figure | bytes"]) -> None:
    """Attach figures to a study's run, as PNG files in its folder ``figures``.

    Raises InputError when MLflow has no run of that study.
    """
    from tracking.runs.reader import study_run

    run = study_run(store, study)
    with tempfile.TemporaryDirectory() as folder:
        for name, figure in figures.items():
            content = figure if isinstance(figure, bytes) else to_png(figure)
            (Path(folder) / f"{name}.png").write_bytes(content)
        store.client.log_artifacts(run.info.run_id, folder, names.FIGURES_FOLDER)


def _panels(epochs: Sequence[EpochRecord]) -> dict[str, list[str]]:
    """Return the metrics by what they measure: train and validation share a panel.

    Only metrics of training and validation, unless there are none.

    >>> epoch = EpochRecord(1, {"train_loss": 1.0, "val_loss": 2.0, "rate": 0.1}, {}, 1.0, 0.0)
    >>> _panels([epoch])
    {'loss': ['train_loss', 'val_loss']}
    """
    keys = list(dict.fromkeys(key for epoch in epochs for key in epoch.metrics))
    paired = [key for key in keys if key.startswith(("train_", "val_"))]
    panels: dict[str, list[str]] = {}
    for key in paired or keys:
        panels.setdefault(key.removeprefix("train_").removeprefix("val_"), []).append(key)
    return panels


def _head(figure: "Figure", title: str, panels: int) -> None:
    """Write the title above all panels, in place of another one."""
    if panels > MOST_PANELS:
        title += f" (the first {MOST_PANELS} of {panels} metrics)"
    figure.suptitle(names.plain(title), fontsize=11, parse_math=False)


def _is_marked(epochs: Sequence[EpochRecord], kept: int | None) -> bool:
    """Tell whether the epoch whose weights are kept is shown."""
    return kept is not None and bool(epochs) and kept != epochs[-1].number


def _points(key: str, epochs: Sequence[EpochRecord]) -> tuple[list[int], list[float]]:
    """Return epochs and values of a metric; none where it is not finite, or too large."""
    values = [epoch.metrics.get(key, math.nan) for epoch in epochs]
    return (
        [epoch.number for epoch in epochs],
        [value if abs(value) < _LARGEST else math.nan for value in values],
    )


def _marker_size(epochs: Sequence[EpochRecord]) -> int:
    """Return the size of the points: a single epoch is a point, which a line does not show."""
    return 3 if len(epochs) < 40 else 0


def _draw(axes: "Axes", key: str, epochs: Sequence[EpochRecord]) -> None:
    """Draw one metric; what is not finite, or too large for an axis, leaves a gap."""
    numbers, values = _points(key, epochs)
    style = _TRAIN if key.startswith("train_") else _VALIDATION
    label = {"train_": "training", "val_": "validation"}.get(key.partition("_")[0] + "_", key)
    label = names.plain(label)
    axes.plot(numbers, values, marker="o", markersize=_marker_size(epochs), label=label,
              linewidth=1.4, **style)  # type: ignore[arg-type]  # fmt: skip
