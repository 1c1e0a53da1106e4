"""A confirmation as text, for the command line and the run's description."""

from collections.abc import Mapping

from nets.data import TEST_NOTES
from tracking.records.confirmation import Candidate, Confirmation, Estimate


def number(value: float) -> str:
    """Return a metric, or a difference of two, with as many digits as are meaningful.

    >>> number(0.97222), number(-0.00012), number(0.0), number(-1.1e-16)
    ('0.9722', '-0.00012', '0.0000', '0.0000')
    """
    if abs(value) < 1e-12:  # a rounding error in the difference of two equal means
        return "0.0000"
    return f"{value:.4f}" if abs(value) >= 0.001 else f"{value:.2g}"


def interval(estimate: Estimate) -> str:
    """Return an interval as ``low to high``.

    >>> interval(Estimate(0.5, 0.25, 0.75)), interval(Estimate(0.5))
    ('0.2500 to 0.7500', 'unknown')
    """
    low, high = estimate.low, estimate.high
    if low is None or high is None:
        return "unknown"
    if max(abs(low), abs(high)) >= 0.001:
        return f"{low:.4f} to {high:.4f}"
    return f"{number(low)} to {number(high)}"


def sentences(confirmation: Confirmation) -> list[str]:
    """Return sentences on the winner and its lead, the luck of the search, the test results."""
    said = [
        _winner(confirmation),
        _luck(confirmation),
        _test(confirmation),
        _vote(confirmation),
        _note(confirmation),
    ]
    return [sentence for sentence in said if sentence]


def table(confirmation: Confirmation) -> list[tuple[str, ...]]:
    """Return a row of headings, and the candidates as rows of strings."""
    count = confirmation.seeds
    heading = ("trial", "search", f"mean of {count}", "95 % interval", "luck", "95 % interval")
    return [heading, *(_row(candidate) for candidate in confirmation.candidates)]


def _row(candidate: Candidate) -> tuple[str, ...]:
    trial, value = str(candidate.trial), number(candidate.value)
    if candidate.mean is None:
        missing = sum(again.value is None for again in candidate.repetitions)
        return (trial, value, f"{missing} without a value", "", "", "")
    luck = candidate.luck
    return (
        trial,
        value,
        number(candidate.mean.value),
        interval(candidate.mean),
        *(("not measured", "") if luck is None else (number(luck.value), interval(luck))),
    )


def fresh_seeds(confirmation: Confirmation) -> str:
    """Return how many seeds each candidate was repeated with, in words."""
    return f"{confirmation.seeds} fresh seed" + ("" if confirmation.seeds == 1 else "s")


def _winner(confirmation: Confirmation) -> str:
    if confirmation.winner is None:
        return "no winner: no trial has a value under every fresh seed"
    mean = confirmation.candidate(confirmation.winner).mean
    assert mean is not None
    text = (
        f"winner: trial {confirmation.winner}, {confirmation.metric} {number(mean.value)} on "
        f"average over {fresh_seeds(confirmation)}"
    )
    lead = confirmation.lead
    if lead is None:
        return text
    text += f", {number(lead.value)} ahead of the next ({interval(lead)})"
    if lead.low is None:
        return text
    return text + (", more than chance" if lead.low > 0 else ", which may be chance")


def _luck(confirmation: Confirmation) -> str:
    best = confirmation.candidates[0]
    if best.mean is None:
        return ""
    if best.luck is None:
        return (
            f"luck: cannot be measured: trial {best.trial} has the same value under all "
            f"{fresh_seeds(confirmation)}, {number(best.mean.value)}"
        )
    if best.luck.low is None:
        return (
            f"luck: cannot be measured with one seed: trial {best.trial}, the best of the search "
            f"with {number(best.value)}, has {number(best.mean.value)} under the fresh one"
        )
    text = f"luck: trial {best.trial}, the best of the search with {number(best.value)}, "
    had = f"{number(best.luck.value)} of it ({interval(best.luck)})"
    if best.luck.value <= 0:
        had = "none"
    return f"{text}had {had}: its settings are worth {number(best.mean.value)}"


def tested(confirmation: Confirmation) -> str:
    """Return the test result as a tag of a registered model."""
    test = confirmation.test
    if confirmation.results is not None:
        return _results(confirmation.results)
    if test is None:
        return "not tested"
    return (
        f"accuracy {number(test.accuracy.value)}, {test.correct} of {test.count}, "
        f"95 % {interval(test.accuracy)}"
    )


def _results(results: Mapping[str, Estimate]) -> str:
    return ", ".join(
        f"{name} {number(result.value)}"
        + (f" ({interval(result)})" if result.low is not None else "")
        for name, result in results.items()
    )


def _note(confirmation: Confirmation) -> str:
    """Return what is known of the data set by which its test images differ."""
    champion = confirmation.champion
    if confirmation.test is None or champion is None:
        return ""
    note = TEST_NOTES.get(str(champion.settings.get("data")))
    return f"note: {note}" if note else ""


def _test(confirmation: Confirmation) -> str:
    test = confirmation.test
    if confirmation.results is not None:
        return f"test: {_results(confirmation.results)}, looked at once"
    if test is None:
        return f"test: not possible: {confirmation.untested}"
    assert confirmation.champion is not None
    return (
        f"test: accuracy {number(test.accuracy.value)} ({test.correct} of {test.count}, "
        f"{interval(test.accuracy)}), looked at once, after training on "
        f"{confirmation.champion.trained_on} images"
    )


def _vote(confirmation: Confirmation) -> str:
    """Return what several champions are worth, on average and together; empty for one."""
    mean, vote = confirmation.mean_test, confirmation.vote
    if mean is None or vote is None:
        return ""
    return (
        f"all {1 + len(confirmation.others)} champions: test accuracy {number(mean.value)} on "
        f"average ({interval(mean)}); the mean of their probabilities: "
        f"{number(vote.accuracy.value)} ({vote.correct} of {vote.count})"
    )
