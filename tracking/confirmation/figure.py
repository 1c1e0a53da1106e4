"""The figure of a confirmation: what the search promised, and what fresh seeds gave."""

from typing import TYPE_CHECKING

from tracking.confirmation.text import number
from tracking.records.confirmation import Candidate, Confirmation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WINNER, _OTHER, _SEARCH = "#cc5533", "#4477aa", "0.35"


def comparison(confirmation: Confirmation) -> "Figure":
    """Draw each candidate's repetitions, their mean with its interval, and the search's value.

    The distance from the hollow diamond to the mean is luck.
    """
    from matplotlib.figure import Figure

    candidates = confirmation.candidates
    height = 1.7 + 0.5 * len(candidates)
    figure = Figure(figsize=(7.6, height))
    figure.subplots_adjust(left=0.13, right=0.97, bottom=0.95 / height, top=1 - 0.4 / height)
    axes = figure.subplots()
    for place, candidate in enumerate(candidates):
        _draw(axes, place, candidate, candidate.trial == confirmation.winner)
    axes.plot([], [], "D", color=_SEARCH, fillstyle="none", label="value in the search")
    axes.plot([], [], "o", color=_OTHER, alpha=0.5, label="a fresh seed")
    axes.errorbar([], [], xerr=[], fmt="s", color=_OTHER, capsize=4, label="mean, 95 % interval")
    axes.set_yticks(
        range(len(candidates)), [f"trial {candidate.trial}" for candidate in candidates]
    )
    axes.set_ylim(len(candidates) - 0.5, -0.5)
    axes.set_xlabel(confirmation.metric)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.set_title(_title(confirmation), fontsize=11)
    figure.legend(
        loc="lower center", ncols=3, fontsize=9, frameon=False, bbox_to_anchor=(0.55, 0.0)
    )
    return figure


def _draw(axes: "Axes", place: int, candidate: Candidate, is_winner: bool) -> None:
    colour = _WINNER if is_winner else _OTHER
    values = [again.value for again in candidate.repetitions if again.value is not None]
    axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.5, markersize=6)
    mean = candidate.mean
    if mean is not None and mean.low is not None and mean.high is not None:
        spans = [[mean.value - mean.low], [mean.high - mean.value]]
        axes.errorbar(
            [mean.value], [place + 0.22], xerr=spans, fmt="s", color=colour, capsize=4, markersize=5
        )
    elif mean is not None:
        axes.plot([mean.value], [place + 0.22], "s", color=colour, markersize=5)
    axes.plot(
        [candidate.value], [place], "D", color=_SEARCH, fillstyle="none", markersize=9, zorder=3
    )


def _title(confirmation: Confirmation) -> str:
    if confirmation.winner is None:
        return "no winner"
    mean = confirmation.candidate(confirmation.winner).mean
    assert mean is not None
    return (
        f"trial {confirmation.winner} wins with {number(mean.value)} on average over "
        f"{confirmation.seeds} fresh seeds"
    )
