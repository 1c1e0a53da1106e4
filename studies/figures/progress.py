"""The progress of a search: values over trials, and over the epochs of each trial."""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from studies.analysis.formatting import plural, shown
from studies.analysis.stored_study import StoredStudy
from studies.figures.marks import MANY, mark, mark_best, mark_ends, mark_key, value_axis
from studies.figures.scale import ValueScale, values_of
from tracking.figures.style import BEST, COLORS, key, legend, margins, page, tidy
from tracking.records import EpochRecord


def optimization_history(stored: StoredStudy) -> Figure | None:
    """Draw the value of each trial, and the best so far."""
    section, best = stored.study.section, stored.best
    scale = ValueScale.of(values_of(stored.ranked()), section.metric, section.direction)
    if best is None or best.value is None or scale is None:
        return None
    subtitle = f"best: trial {best.number}, {section.metric} {shown(best.value)}"
    figure = page(f"{stored.study.name}: value of each trial", subtitle)
    axes = figure.subplots(gridspec_kw=margins())
    tidy(axes)
    value_axis(axes, scale, section.metric)
    axes.set_xlabel("trial", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    size = 14 if len(stored.trials) > MANY else 42
    keys = []
    for state in ("pruned", "complete"):
        points = [(t.number, t.value) for t in stored.trials if t.state == state]
        known = [(number, value) for number, value in points if value is not None]
        if known:
            numbers = np.array([number for number, _ in known], np.float64)
            mark(axes, numbers, [value for _, value in known], scale, state, size=size)
            keys.append(mark_key(state, f"{len(points)} {state}"))
    if failed := [t.number for t in stored.trials if t.state == "failed"]:
        mark_ends(axes, np.array([(number, -0.05) for number in failed]), "failed", size=size)
        keys.append(mark_key("failed", f"{len(failed)} failed"))
    steps = best_so_far(stored)
    heights = scale.place([value for _, value in steps])
    ends = [*(number for number, _ in steps), stored.trials[-1].number]
    axes.step(ends, [*heights, heights[-1]], where="post", color=BEST, linewidth=1.6, zorder=2)
    mark_best(axes, best.number, float(scale.place(best.value)), size=size)
    legend(figure, [*keys, key("best so far", color=BEST, linestyle="-")])
    return figure


def intermediate_values(stored: StoredStudy) -> Figure | None:
    """Draw the metric of each trial over its epochs."""
    section, best = stored.study.section, stored.best
    curves = {t.number: _curve(stored.epochs(t.number), section.metric) for t in stored.trials}
    values = [value for curve in curves.values() for _, value in curve]
    scale = ValueScale.of(values, section.metric, section.direction)
    last = max((curve[-1][0] for curve in curves.values() if curve), default=0)
    if scale is None or last < 2:
        return None
    subtitle = f"{plural(len(curves), 'trial')}, up to {plural(last, 'epoch')}"
    figure = page(f"{stored.study.name}: {section.metric} over the epochs", subtitle)
    axes = figure.subplots(gridspec_kw=margins())
    tidy(axes)
    value_axis(axes, scale, section.metric)
    axes.set_xlabel("epoch", fontsize=10)
    axes.set_xlim(1, last)
    axes.set_xticks(_epoch_ticks(last))
    many = len(curves) > MANY
    keys = []
    for state in ("pruned", "failed", "running", "complete"):
        drawn = [c for t in stored.trials if t.state == state and (c := curves[t.number])]
        if not drawn:
            continue
        lines = [_line(curve, scale) for curve in drawn]
        axes.add_collection(
            LineCollection(
                lines, colors=COLORS[state], alpha=0.25 if many else 0.75,
                linewidths=0.7 if many else 1.1, zorder=2,
            )
        )  # fmt: skip
        if state != "complete" and not many:
            mark_ends(axes, np.array([line[-1] for line in lines]), state, size=18)
        keys.append(key(f"{len(drawn)} {state}", color=COLORS[state], linestyle="-"))
    if best is not None and (curve := curves[best.number]):
        axes.plot(*_line(curve, scale).T, color=BEST, linewidth=2.2, zorder=4, clip_on=False)
        keys.append(key(f"best: trial {best.number}", color=BEST, linestyle="-", linewidth=2.2))
    legend(figure, keys)
    return figure


def best_so_far(stored: StoredStudy) -> list[tuple[int, float]]:
    """Return number and value of each complete trial that was better than all earlier ones."""
    steps: list[tuple[int, float]] = []
    for trial in stored.trials:
        if trial.state != "complete" or trial.value is None:
            continue
        if not steps or stored.study.section.direction.better(trial.value, steps[-1][1]):
            steps.append((trial.number, trial.value))
    return steps


def _curve(epochs: list[EpochRecord], metric: str) -> list[tuple[int, float]]:
    """Return number and value of the epochs where the metric is finite."""
    points = [(epoch.number, epoch.metrics.get(metric, np.nan)) for epoch in epochs]
    return [(number, value) for number, value in points if np.isfinite(value)]


def _line(curve: list[tuple[int, float]], scale: ValueScale) -> NDArray[np.float64]:
    """Return a curve as points (epoch, place), of the shape (epochs, 2)."""
    numbers = np.array([number for number, _ in curve], np.float64)
    return np.column_stack([numbers, scale.place([value for _, value in curve])])


def _epoch_ticks(last: int) -> list[int]:
    """Return round numbers of epochs, beginning with the first.

    >>> _epoch_ticks(20), _epoch_ticks(3)
    ([1, 5, 10, 15, 20], [1, 2, 3])
    """
    locator = MaxNLocator(6, integer=True, steps=[1, 2, 5, 10])
    values = [int(value) for value in locator.tick_values(1, last)]
    step = values[1] - values[0]
    return [1, *(value for value in values if 1 + step / 2 <= value <= last)]
