"""Whether the parts of a trial's record agree with one another.

A record says some things twice: in its files, and in the parameters, metrics and tags of its run. A
record that contradicts itself has been damaged, and nothing can be concluded from it.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nets.errors import InputError
from tracking.records import EpochRecord, TrialOutcome, Values
from tracking.runs.content import as_params
from tracking.store import names

if TYPE_CHECKING:
    from mlflow.entities import Run


def check(
    run: "Run",
    settings: Values,
    epochs: Sequence[EpochRecord],
    outcome: TrialOutcome,
    metric: str,
) -> None:
    """Raise InputError unless the files of a trial agree with one another and with its run."""
    problem = next(_contradictions(run, settings, epochs, outcome, metric), None)
    if problem is not None:
        raise damaged(f"run {run.info.run_id} ({run.info.run_name})", problem)


def damaged(what: str, problem: str) -> InputError:
    """Return the error for a record that contradicts itself."""
    return InputError(
        "trial", problem=f"{what} is damaged: {problem}", hint="it cannot be judged or used"
    )


def is_same(one: float | None, two: float | None) -> bool:
    """Return whether two numbers are equal to the last bit; NaN equals NaN, -0 is not 0.

    >>> is_same(math.nan, math.nan), is_same(0.0, -0.0), is_same(1.0, None)
    (True, False, False)
    """
    if one is None or two is None:
        return one is two
    return float(one).hex() == float(two).hex()


def shown(value: float | None) -> str:
    """Return a number with all its digits."""
    return "missing" if value is None else repr(float(value))


def _contradictions(
    run: "Run",
    settings: Values,
    epochs: Sequence[EpochRecord],
    outcome: TrialOutcome,
    metric: str,
) -> Iterator[str]:
    """Yield each contradiction as a clause."""
    numbers = [epoch.number for epoch in epochs]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"{names.EPOCHS_FILE} has the epochs {numbers!r:.100}, expected 1, 2, 3 and so on"
    tags, metrics = run.data.tags, run.data.metrics
    state = outcome.extra.get("state", tags.get(names.STATE_TAG))
    if state != tags.get(names.STATE_TAG):
        yield f"{names.OUTCOME_FILE} says {state!r:.100}, its run {tags.get(names.STATE_TAG)}"
    kept = next((epoch for epoch in epochs if epoch.number == outcome.epoch), None)
    if state != "failed" or outcome.value is not None:
        measured = None if kept is None else kept.metrics.get(metric)
        if not is_same(outcome.value, measured):
            yield (
                f"{names.OUTCOME_FILE} has {metric} {shown(outcome.value)} at epoch "
                f"{outcome.epoch}, {names.EPOCHS_FILE} has {shown(measured)}"
            )
        logged = metrics.get(names.VALUE_METRIC)
        is_finite = math.isfinite(outcome.value or 0.0)  # MLflow has no infinity
        if logged is not None and is_finite and not is_same(logged, outcome.value):
            yield (
                f"{names.OUTCOME_FILE} has {metric} {shown(outcome.value)}, the metric "
                f"{names.VALUE_METRIC} of its run {shown(logged)}"
            )
    tagged = tags.get(names.WEIGHTS_TAG)
    weights = None if kept is None else kept.digests.get("weights")
    if tagged is not None and tagged != names.plain(str(weights)):
        yield f"the weights of epoch {outcome.epoch} are not those of the tag {names.WEIGHTS_TAG}"
    yield from _of_settings(run.data.params, as_params(settings))


def _of_settings(params: dict[str, str], settings: dict[str, Any]) -> Iterator[str]:
    """Yield each setting with another value than the run's parameter.

    A run has no parameters for settings without effect, and users may have added others.
    """
    for name, value in settings.items():
        if params.get(name, value) != value:
            yield f"{names.SETTINGS_FILE} has {name} {value:.100}, its run {params[name]:.100}"
