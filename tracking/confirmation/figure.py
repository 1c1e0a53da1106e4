"""The figure of a confirmation: each candidate's value in the search and with fresh seeds."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tracking.confirmation.text import fresh_seeds, number
from tracking.figures.style import BLUE, INK, ORANGE, fitted, key, legend, margins, page, tidy
from tracking.records.confirmation import Candidate, Confirmation

_REPETITION = {"marker": "o", "markersize": 6, "alpha": 0.5, "linestyle": "none"}
_MEAN = {"marker": "s", "markersize": 5, "linestyle": "none"}
_SEARCH = {"marker": "D", "markersize": 9, "fillstyle": "none", "linestyle": "none", "color": INK}


def comparison(confirmation: Confirmation) -> Figure:
    """Draw each candidate's repetitions, their mean with its interval, and the search's value.

    The distance from the hollow diamond to the mean is luck.
    """
    candidates = confirmation.candidates
    height = 1.45 + 0.5 * len(candidates)
    figure = page(*_heading(confirmation), height=height)
    axes = figure.subplots(gridspec_kw=margins(height, left=1.0))
    tidy(axes, grid="x")
    for place, candidate in enumerate(candidates):
        _draw(axes, place, candidate, ORANGE if candidate.trial == confirmation.winner else BLUE)
    axes.set_yticks(
        range(len(candidates)), [f"trial {candidate.trial}" for candidate in candidates]
    )
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(candidates) - 0.5, -0.5)
    axes.set_xlabel(fitted(confirmation.metric, 6.5), fontsize=10)
    legend(
        figure,
        [
            key("value in the search", **_SEARCH),
            key("a fresh seed", color=BLUE, **_REPETITION),
            key("mean, 95 % interval", color=BLUE, **{**_MEAN, "linestyle": "-"}),
        ],
    )
    return figure


def _draw(axes: Axes, place: int, candidate: Candidate, color: str) -> None:
    """Draw a candidate in its row."""
    values = [again.value for again in candidate.repetitions if again.value is not None]
    axes.plot(values, [place] * len(values), color=color, **_REPETITION)  # type: ignore[arg-type]
    if (mean := candidate.mean) is not None:
        spans = None
        if mean.low is not None and mean.high is not None:
            spans = [[mean.value - mean.low], [mean.high - mean.value]]
        axes.errorbar([mean.value], [place + 0.22], xerr=spans, color=color, capsize=4, **_MEAN)  # type: ignore[arg-type]
    axes.plot([candidate.value], [place], zorder=3, **_SEARCH)  # type: ignore[arg-type]


def _heading(confirmation: Confirmation) -> tuple[str, str]:
    """Return title and subtitle."""
    title = f"{confirmation.study}: confirmation with {fresh_seeds(confirmation)}"
    if confirmation.winner is None:
        return title, "no winner"
    mean = confirmation.candidate(confirmation.winner).mean
    assert mean is not None
    return title, f"trial {confirmation.winner} wins with {number(mean.value)} on average"
