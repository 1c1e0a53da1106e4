"""The curves of one training: its metrics over the epochs."""

import functools
import math
import threading
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from tracking.figures import style
from tracking.records import EpochRecord

MOST_PANELS = 6
"""Metrics in one figure: more are too small to read, and hundreds would take a minute to draw."""

# One colour and dash per curve: distinguishable in grey print and when colour-blind.
_TRAINING = {"color": style.BLUE, "linestyle": "--", "linewidth": 1.4}
_VALIDATION = {"color": style.ORANGE, "linestyle": "-", "linewidth": 1.4}
_KEPT = {"color": style.GREY, "linestyle": "-", "linewidth": 1.2}

_LARGEST = 1e300
"""Matplotlib computes with differences of values, which must be finite too."""


_one_at_a_time = threading.Lock()


def curves_png(title: str, epochs: Sequence[EpochRecord], kept: int | None = None) -> bytes:
    """Return `curves` as the bytes of a PNG file; several threads may draw."""
    with _one_at_a_time:
        return style.to_png(curves(title, epochs, kept))


def curves(title: str, epochs: Sequence[EpochRecord], kept: int | None = None) -> Figure:
    """Draw each metric over the epochs, training and validation in one panel.

    `kept` is the epoch whose weights are kept; it is marked if it is not the last. Of more than
    `MOST_PANELS` metrics only the first are drawn; MLflow's pages have them all. The next call
    draws in the same figure.
    """
    panels = _panels(epochs)
    shown = list(panels.items())[:MOST_PANELS]
    subtitle = f"{len(epochs)} epochs" if len(epochs) != 1 else "1 epoch"
    if len(panels) > MOST_PANELS:
        subtitle += f"; the first {MOST_PANELS} of {len(panels)} metrics"
    figure = _empty(len(shown))
    style.head(figure, title, subtitle)
    marked = kept if epochs and kept != epochs[-1].number else None
    for axes, (name, metrics) in zip(figure.axes, shown, strict=True):
        _panel(axes, name, metrics, epochs, marked)
    keys = []
    if any(metric.startswith("train_") for _, metrics in shown for metric in metrics):
        keys.append(style.key("training", **_TRAINING))
    if any(metric.startswith("val_") for _, metrics in shown for metric in metrics):
        keys.append(style.key("validation", **_VALIDATION))
    if marked is not None:
        keys.append(style.key(f"kept: epoch {marked}", **_KEPT))
    style.legend(figure, keys)
    return figure


@functools.lru_cache(maxsize=2)
def _empty(panels: int) -> Figure:
    """Return a figure with that many panels, which each drawing fills again.

    Making axes and ticks takes as long as drawing them, and the trials of a study need the same.
    """
    columns = max(1, min(panels, 2 if panels in (2, 4) else 3))
    rows = max(1, math.ceil(panels / columns))
    height = 0.8 + 2.65 * rows
    figure = style.page("", "", height=height)
    grid = figure.add_gridspec(
        rows, columns, **style.margins(height, top=0.95), wspace=0.28, hspace=0.42
    )
    for panel in range(panels):
        axes = figure.add_subplot(grid[panel // columns, panel % columns])
        style.tidy(axes, grid="both")
        axes.set_xlabel("epoch", fontsize=10)
        # Where matplotlib would find room for it, without measuring every number on the axis.
        axes.xaxis.set_label_coords(0.5, -0.13)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.6g}"))
    return figure


def _panels(epochs: Sequence[EpochRecord]) -> dict[str, list[str]]:
    """Return the metrics by what they measure: training and validation share a panel.

    Other metrics are left out, unless there are no others.

    >>> epoch = EpochRecord(1, {"train_loss": 1.0, "val_loss": 2.0, "rate": 0.1}, {}, 1.0, 0.0)
    >>> _panels([epoch])
    {'loss': ['train_loss', 'val_loss']}
    """
    metrics = list(dict.fromkeys(metric for epoch in epochs for metric in epoch.metrics))
    paired = [metric for metric in metrics if metric.startswith(("train_", "val_"))]
    panels: dict[str, list[str]] = {}
    for metric in paired or metrics:
        name = metric.removeprefix("train_").removeprefix("val_")
        panels.setdefault(name, []).append(metric)
    return panels


def _panel(
    axes: Axes, name: str, metrics: list[str], epochs: Sequence[EpochRecord], marked: int | None
) -> None:
    """Draw metrics in one panel; a value that is not finite, or too large, leaves a gap."""
    for artist in (*axes.lines, *axes.texts):
        artist.remove()
    axes.relim()
    numbers = [epoch.number for epoch in epochs]
    # A single epoch is a point, which a line does not show.
    marker = {"marker": "o", "markersize": 3 if len(epochs) < 40 else 0}
    is_empty = True
    for metric in metrics:
        values = [epoch.metrics.get(metric, math.nan) for epoch in epochs]
        values = [value if abs(value) < _LARGEST else math.nan for value in values]
        is_empty &= all(map(math.isnan, values))
        look = _TRAINING if metric.startswith("train_") else _VALIDATION
        axes.plot(numbers, values, label=metric, **marker, **look)  # type: ignore[arg-type]
    if marked is not None:
        axes.axvline(marked, zorder=1, **_KEPT)  # type: ignore[arg-type]
    room = style.WIDTH * axes.get_position().width
    # At a given height nothing is measured to find one.
    axes.set_title(
        style.fitted(name or '""', room), fontsize=10, color=style.INK, y=1.0, loc="left"
    )
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if is_empty:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", color=style.QUIET
        )
