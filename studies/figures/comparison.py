"""Several studies in one figure: the best value so far over what was spent on it."""

from collections.abc import Sequence
from itertools import accumulate

from matplotlib.figure import Figure

from studies.analysis.formatting import plural
from studies.analysis.stored_study import StoredStudy
from studies.figures.marks import value_axis
from studies.figures.progress import best_so_far
from studies.figures.scale import ValueScale
from tracking.figures.style import BLUE, GREY, ORANGE, RED, fitted, key, legend, margins, page, tidy

_COLORS = (BLUE, ORANGE, "#228833", RED, "#aa3377", "#66ccee", "#222222", GREY)
"""Distinguishable when colour-blind; the dashes differ after the last one."""
_DASHES = ("-", "--", ":", "-.")
_LONGEST_NAME = 2.0
"""Inches."""


def best_values(studies: Sequence[StoredStudy]) -> Figure | None:
    """Draw the best value so far of each study over its epochs, or its trials if each has one.

    The studies have one metric and direction. None where no trial is complete.
    """
    section = studies[0].study.section
    steps = {stored.study.name: best_so_far(stored) for stored in studies}
    values = [value for found in steps.values() for _, value in found]
    scale = ValueScale.of(values, section.metric, section.direction)
    if scale is None:
        return None
    spent = {
        stored.study.name: list(accumulate(max(1, epochs) for epochs, _ in stored.spent()))
        for stored in studies
    }
    over_epochs = any(ends[-1:] > [len(ends)] for ends in spent.values())
    unit = "epoch" if over_epochs else "trial"
    most = max(ends[-1] for ends in spent.values() if ends)
    figure = page(
        f"Best {section.metric} so far", f"{len(studies)} studies, up to {plural(most, unit)}"
    )
    axes = figure.subplots(gridspec_kw=margins())
    tidy(axes)
    value_axis(axes, scale, section.metric)
    axes.set_xlabel(f"{unit}s of all trials together", fontsize=10)
    axes.set_xlim(0, most)
    keys = []
    for place, stored in enumerate(studies):
        color = _COLORS[place % len(_COLORS)]
        dashes = _DASHES[place // len(_COLORS) % len(_DASHES)]
        ends = spent[stored.study.name]
        if found := steps[stored.study.name]:
            heights = scale.place([value for _, value in found])
            x = [*(ends[number] for number, _ in found), ends[-1]]
            axes.step(x, [*heights, heights[-1]], where="post", color=color, linestyle=dashes,
                      linewidth=1.8, clip_on=False)  # fmt: skip
        keys.append(key(fitted(stored.study.name, _LONGEST_NAME, 9), color=color, linestyle=dashes))
    legend(figure, keys)
    return figure
