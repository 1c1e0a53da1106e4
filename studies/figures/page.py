"""What all figures of a study share: size, colours, title and legend."""

import logging
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# Matplotlib says on stderr that it builds a font cache, once a machine.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

WIDTH = 8.0
"""Inches; 800 pixels, about what MLflow's page of artifacts shows."""

COLORS = {"complete": "#4477aa", "pruned": "#a9adb5", "failed": "#cc3344", "running": "#ddcc77"}
"""One colour a state, told apart by colour-blind eyes; in grey print the markers differ too."""
BEST = "#ee7733"
INK, QUIET, GRID = "#222222", "#777777", "#e6e6e6"
SHADES = LinearSegmentedColormap.from_list(
    "shades", ["#d6e4c4", "#a8d3b8", "#5aa9b5", "#2f6f9f", "#1f3a73"]
)
"""From a number to a colour: light is bad or early, dark is good or late."""


def page(title: str, subtitle: str, *, height: float = 4.5) -> Figure:
    """Return an empty figure with its heading; panels belong below `top(height)`."""
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    figure.text(0.012, 1 - 0.10 / height, title, va="top", fontsize=13, weight="bold", color=INK)
    figure.text(0.012, 1 - 0.36 / height, subtitle, va="top", fontsize=9.5, color=QUIET)
    return figure


def margins(
    height: float,
    *,
    left: float = 0.75,
    right: float = 0.2,
    bottom: float = 0.55,
    top: float = 0.72,
) -> dict[str, float]:
    """Return margins given in inches as matplotlib wants them, in fractions of the figure."""
    return {
        "left": left / WIDTH,
        "right": 1 - right / WIDTH,
        "bottom": bottom / height,
        "top": 1 - top / height,
    }


def tidy(axes: Axes, *, grid: str = "y") -> None:
    """Take away what tells nothing: the frame on two sides, dark ticks, a grid over the data."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(QUIET)
    axes.tick_params(colors=INK, labelsize=9, length=3, color=QUIET)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def legend(figure: Figure, keys: Sequence[Line2D]) -> None:
    """Put the key to colours and marks at the upper right, beside the title or below it."""
    height = figure.get_figheight()
    title = figure.texts[0].get_text()
    # Inches, by the mean width of a letter; to measure them would be to draw everything twice.
    needed = 0.115 * len(title) + sum(0.48 + 0.075 * len(str(key.get_label())) for key in keys)
    figure.legend(
        handles=list(keys), loc="upper right", ncols=len(keys), frameon=False, fontsize=9,
        bbox_to_anchor=(0.995, 1 - (0.03 if needed < WIDTH else 0.29) / height),
        handlelength=1.5, handletextpad=0.5, columnspacing=1.4, borderaxespad=0,
    )  # fmt: skip


def key(label: str, **style: Any) -> Line2D:
    """Return an entry of a legend."""
    return Line2D([], [], label=label, **{"linestyle": "none", **style})


def plural(count: int, noun: str) -> str:
    """Return a number with its noun.

    >>> plural(1, "worker"), plural(2, "worker")
    ('1 worker', '2 workers')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
