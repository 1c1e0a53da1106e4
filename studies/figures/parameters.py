"""The effect of parameters: importances, slices, parallel coordinates."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from studies.analysis.importances import are_ordered
from studies.analysis.stored_study import StoredStudy
from studies.definition.space import Parameter
from studies.figures.marks import MANY, best_key, label_axis, mark, mark_best, mark_key, value_axis
from studies.figures.scale import Ticks, ValueScale, parameter_ticks, values_of
from tracking.figures import style
from tracking.records import Direction, TrialRecord

MOST_PANELS = 12
MOST_AXES = 8


def parameter_importances(stored: StoredStudy) -> Figure | None:
    """Draw each parameter's share in the differences between trials, with its interval."""
    shares = dict(list(stored.importances.items())[:MOST_PANELS])
    if len(shares) < 2:
        return None
    height = 1.15 + 0.42 * len(shares)
    count = len(stored.ranked())
    subtitle = f"share in the differences between {count} complete trials, with 90 % intervals"
    if not are_ordered(shares):
        subtitle += ", which leave open what matters most"
    figure = style.page(f"{stored.study.name}: importance of parameters", subtitle, height=height)
    names = [style.fitted(name, 2.5) for name in shares]
    left = 0.3 + max(style.text_width(name, 10) for name in names)
    axes = figure.subplots(gridspec_kw=style.margins(height, left=left, right=0.6, bottom=0.25))
    places, found = range(len(shares))[::-1], list(shares.values())
    values = [one.share for one in found]
    axes.barh(places, values, color=style.COLORS["complete"], height=0.62)
    low, high = [one.low for one in found], [one.high for one in found]
    axes.hlines(places, low, high, color=style.INK, linewidth=1.2)
    for place, one in zip(places, found, strict=True):
        axes.annotate(
            f"{one.share:.0%}", (max(one.share, one.high), place), (5, 0), va="center",
            textcoords="offset points", fontsize=10, color=style.INK,
        )  # fmt: skip
    axes.set_yticks(places, names)
    style.tidy(axes, grid="")
    axes.set_xlim(0, max(*values, *high))
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=10)
    return figure


def slices(stored: StoredStudy) -> Figure | None:
    """Draw the value over each parameter, one panel per parameter."""
    section, best = stored.study.section, stored.best
    complete = sorted(stored.ranked(), key=lambda trial: trial.number)
    pruned = [t for t in stored.trials if t.state == "pruned" and t.value is not None]
    scale = ValueScale.of(values_of(complete), section.metric, section.direction)
    parameters = by_importance(stored)[:MOST_PANELS]
    if scale is None or best is None or len(complete) < 2 or not parameters:
        return None
    columns = min(len(parameters), 3 if len(parameters) in (3, 5, 6, 9) else 4)
    rows = math.ceil(len(parameters) / columns)
    height = 1.5 + 2.75 * rows
    figure = style.page(
        f"{stored.study.name}: value by parameter", "darker: asked later", height=height
    )
    panels = figure.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw=style.margins(height, top=0.95, bottom=0.7, wspace=0.1, hspace=0.5),
    )
    for axes in panels.flat[len(parameters) :]:
        axes.set_visible(False)
    for position, (axes, parameter) in enumerate(zip(panels.flat, parameters, strict=False)):
        style.tidy(axes, grid="both")
        _slice(axes, parameter, complete, pruned, best, scale)
        value_axis(axes, scale, section.metric, size=10 if rows == 1 else 8.5)
        if position % columns:
            axes.set_ylabel("")
            axes.tick_params(axis="y", labelleft=False, length=0)
            axes.spines["left"].set_visible(False)
    keys = [mark_key("pruned", f"{len(pruned)} pruned")] if pruned else []
    keys.append(mark_key("complete", f"{len(complete)} complete"))
    style.legend(figure, [*keys, best_key(best.number)])
    return figure


def parallel_coordinates(stored: StoredStudy) -> Figure | None:
    """Draw each complete trial as a line through its parameters to its value."""
    section, best = stored.study.section, stored.best
    ranked = stored.ranked()
    scale = ValueScale.of(values_of(ranked), section.metric, section.direction)
    parameters = by_importance(stored)[:MOST_AXES][::-1]
    if scale is None or best is None or len(ranked) < 2 or len(parameters) < 2:
        return None
    figure = style.page(
        f"{stored.study.name}: from parameters to value",
        f"{len(ranked)} complete trials; darker: better; importance grows to the right",
    )
    axes = figure.subplots(gridspec_kw=style.margins(left=0.7, right=0.85, bottom=0.3, top=1.15))
    places = scale.place(values_of(ranked))
    shades = style.SHADES(places if section.direction == Direction.MAXIMIZE else 1 - places)
    lines = [_line(trial, parameters, place) for trial, place in zip(ranked, places, strict=True)]
    many = len(lines) > MANY
    # The worst first, so that the good ones are drawn over them.
    axes.add_collection(
        LineCollection(
            lines[::-1], colors=shades[::-1], linewidths=0.8 if many else 1.5,
            alpha=0.5 if many else 0.9, zorder=2,
        )
    )  # fmt: skip
    look: dict[str, Any] = {"color": style.BEST, "linewidth": 2.4}
    axes.plot(*lines[0].T, zorder=3, **look)
    # If there is little room, the names alternate between two heights.
    heights = [1.04 + 0.07 * (i % 2) * (len(parameters) > 4) for i in range(len(parameters) + 1)]
    room = min(1.4, 6.45 / len(parameters) * (2 if len(parameters) > 4 else 1) - 0.1)
    for i, parameter in enumerate(parameters):
        name = style.fitted(parameter.name, room)
        _upright(axes, i, name, parameter_ticks(parameter), heights[i])
    metric = style.fitted(section.metric, 1.4, weight="bold")
    _upright(axes, len(parameters), metric, scale.ticks(), heights[-1], weight="bold")
    axes.set_xlim(0, len(parameters))
    axes.set_ylim(-0.02, 1.02)
    axes.set_axis_off()
    style.legend(figure, [style.key(f"best: trial {best.number}", linestyle="-", **look)])
    return figure


def by_importance(stored: StoredStudy) -> list[Parameter]:
    """Return the parameters of the space, most important first; the unknown ones are last."""
    names = list(stored.importances)
    return sorted(
        stored.study.space.parameters,
        key=lambda p: names.index(p.name) if p.name in names else len(names),
    )


def _line(trial: TrialRecord, parameters: list[Parameter], end: float) -> NDArray[np.float64]:
    """Return a trial as points on the parallel axes that it has; the last axis is its value's."""
    points = [
        (i, parameter.place(trial.parameters[parameter.name]))
        for i, parameter in enumerate(parameters)
        if parameter.name in trial.parameters
    ]
    return np.array([*points, (len(parameters), end)])


def _slice(
    axes: Axes,
    parameter: Parameter,
    complete: list[TrialRecord],
    pruned: list[TrialRecord],
    best: TrialRecord,
    scale: ValueScale,
) -> None:
    """Draw one panel of slices."""
    ticks = parameter_ticks(parameter, 5)
    label_axis(axes.xaxis, ticks, parameter.name)
    axes.xaxis.set_label_position("top")  # below, rotated choices would displace it
    longest = max((style.text_width(text, 9) for _, text in ticks), default=0.0)
    if (longest + 0.1) * len(ticks) > style.WIDTH * axes.get_position().width:
        axes.tick_params(axis="x", labelrotation=25)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    axes.set_xlim(-0.03, 1.03)
    size = 14 if len(complete) + len(pruned) > MANY else 34
    last = max(trial.number for trial in complete)
    for state, trials in (("pruned", pruned), ("complete", complete)):
        having = [trial for trial in trials if parameter.name in trial.parameters]
        x = np.array([parameter.place(t.parameters[parameter.name]) for t in having])
        ages = [0.15 + 0.85 * trial.number / max(last, 1) for trial in having]
        colors = style.SHADES(ages) if state == "complete" else None
        mark(axes, x, values_of(having), scale, state, size=size, colors=colors)
    if parameter.name in best.parameters:
        place = parameter.place(best.parameters[parameter.name])
        mark_best(axes, place, float(scale.place(values_of([best]))[0]), size=size)


def _upright(
    axes: Axes, x: int, name: str, ticks: Ticks, height: float, weight: str = "normal"
) -> None:
    """Draw one of the parallel axes, with its name above it and its tick labels on its right."""
    look: dict[str, Any] = {"color": style.QUIET, "zorder": 4, "clip_on": False}
    axes.plot([x, x], [0, 1], linewidth=1.0, **look)
    axes.text(
        x, height, name, ha="center", va="bottom", fontsize=10, color=style.INK, weight=weight
    )
    behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}
    for place, text in ticks:
        axes.plot([x], [place], marker="_", markersize=7, **look)
        axes.annotate(
            text, (x, place), (6, 0), textcoords="offset points", va="center", fontsize=8.5,
            color=style.INK, zorder=5, bbox=behind,
        )  # fmt: skip
