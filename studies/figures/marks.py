"""How a trial is marked, by its state: told apart by form as well as by colour."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from studies.figures.page import BEST, COLORS, INK, key
from studies.figures.scale import ValueScale

_MARKS: dict[str, dict[str, Any]] = {
    "complete": {"marker": "o", "facecolor": COLORS["complete"], "edgecolor": "white"},
    "pruned": {"marker": "o", "facecolor": "white", "edgecolor": COLORS["pruned"]},
    "failed": {"marker": "x", "facecolor": COLORS["failed"]},
    "running": {"marker": "s", "facecolor": COLORS["running"], "edgecolor": "white"},
}
_BEYOND = {-1: "v", 1: "^"}
"""Values beyond an end of the axis stand at it as triangles that point to where they are."""


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
    """Mark trials of one state at places `x` and their values.

    `colors` are of the shape (trials, 4); None is the colour of the state.
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
    """Mark places (x, y) at which trials of one state ended."""
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


def value_axis(axes: Axes, scale: ValueScale, metric: str) -> None:
    """Write the ticks of the metric on the y axis."""
    ticks = scale.ticks()
    axes.set_yticks([place for place, _ in ticks], [text for _, text in ticks])
    axes.set_ylabel(scale.label(metric), fontsize=10, color=INK)
    axes.set_ylim(-0.05, 1.05)
