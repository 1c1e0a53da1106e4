"""Marks of trials: their state is visible from the form as well as from the colour."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from studies.figures.scale import Ticks, ValueScale
from tracking.figures.style import BEST, COLORS, INK, fitted, key

MANY = 200
"""With more trials than this, marks and lines are drawn smaller."""

_MARKS: dict[str, dict[str, Any]] = {
    "complete": {"marker": "o", "facecolor": COLORS["complete"], "edgecolor": "white"},
    "pruned": {"marker": "o", "facecolor": "white", "edgecolor": COLORS["pruned"]},
    "failed": {"marker": "x", "facecolor": COLORS["failed"]},
    "running": {"marker": "s", "facecolor": COLORS["running"], "edgecolor": "white"},
}
_BEYOND = {-1: "v", 1: "^"}
"""Values beyond an end of the axis are triangles at that end, which point to them."""


def mark(
    axes: Axes,
    x: NDArray[np.float64],
    values: Sequence[float],
    scale: ValueScale,
    state: str,
    *,
    size: float,
    colors: NDArray[np.float64] | None = None,
) -> None:
    """Draw trials of one state at places `x`, of the shape (trials,), and their values.

    `colors` are of the shape (trials, 4); without them, the colour is that of the state.
    """
    beyond = scale.beyond(values)
    places = scale.place(values)
    for side in (0, -1, 1):
        chosen = beyond == side
        if chosen.any():
            form = {"linewidth": 0.7 if size < 20 else 1.0, **_MARKS[state]}
            if side:
                form["marker"] = _BEYOND[side]
            if colors is not None:
                form["facecolor"] = colors[chosen]
            axes.scatter(x[chosen], places[chosen], s=size, zorder=3, clip_on=False, **form)


def mark_best(axes: Axes, x: float, y: float, *, size: float) -> None:
    """Put a ring around the mark of the best trial."""
    axes.scatter([x], [y], s=3.2 * size, facecolor="none", edgecolor=BEST, linewidth=1.8,
                 zorder=4, clip_on=False)  # fmt: skip


def best_key(number: int) -> Line2D:
    """Return the entry of a legend for the ring around the best trial."""
    return key(
        f"best: trial {number}", marker="o", markersize=10, markerfacecolor="none",
        markeredgecolor=BEST, markeredgewidth=1.8,
    )  # fmt: skip


def mark_ends(axes: Axes, ends: NDArray[np.float64], state: str, *, size: float) -> None:
    """Mark places at which trials of one state ended, of the shape (trials, 2)."""
    axes.scatter(ends[:, 0], ends[:, 1], s=size, zorder=3, clip_on=False, **_MARKS[state])


def mark_key(state: str, label: str) -> Line2D:
    """Return the entry of a legend for the marks of a state."""
    form = _MARKS[state]
    return key(
        label,
        marker=form["marker"],
        color=form["facecolor"],
        markeredgecolor=form.get("edgecolor", form["facecolor"]),
    )


def value_axis(axes: Axes, scale: ValueScale, metric: str, size: float = 10) -> None:
    """Label the y axis with the metric and its ticks, in letters of `size` points."""
    # Between panels there is room for a label that is a little longer than its axis.
    label_axis(axes.yaxis, scale.ticks(), scale.label(metric), size=size, room=1.3)
    axes.set_ylim(-0.05, 1.05)


def label_axis(axis: Axis, ticks: Ticks, name: str, *, size: float = 10, room: float = 1) -> None:
    """Write an axis's ticks, and its name in letters of `size` points on `room` of its lengths."""
    axis.set_ticks([place for place, _ in ticks], [text for _, text in ticks])
    figure = axis.axes.get_figure(root=True)
    assert figure is not None
    width, height = axis.axes.get_position().size * figure.get_size_inches()
    length = width if axis is axis.axes.xaxis else height
    axis.set_label_text(fitted(name, room * length, size), fontsize=size, color=INK)
