"""When a study ends before its last trial: deterministic rules on the trials in order."""

from collections.abc import Callable, Sequence

from studies.definition.study_section import Stop
from studies.workers.messages import Result
from tracking.records import Failure, TrialRecord


def met(stop: Stop, results: Sequence[Result], better: Callable[[float, float], bool]) -> bool:
    """Return whether the best value has not improved for `stop.patience` trials.

    `results` are those of trials 0, 1, ...; only complete ones count. An improvement is a value
    better than the best before it by more than `stop.min_delta`.

    >>> from operator import gt
    >>> results = [Result("complete", value, {}, {}) for value in (0.5, 0.4, 0.5, 0.6)]
    >>> met(Stop(patience=2), results[:3], gt), met(Stop(patience=2), results, gt)
    (True, False)
    """
    best: float | None = None
    improved = -1
    for number, result in enumerate(results):
        value = result.value
        if result.state != "complete" or value is None:
            continue
        if best is None or (better(value, best) and abs(value - best) > stop.min_delta):
            best, improved = value, number
    return len(results) - 1 - improved >= stop.patience


def same_failure(first: Sequence[TrialRecord | None]) -> Failure | None:
    """Return the failure that all of the first trials share, or None.

    A study whose whole first window fails with one exception type at one place has an error in it,
    and more trials would only repeat it.
    """
    errors = [record.outcome.error if record is not None else None for record in first]
    kinds = {error and (error.type, error.place) for error in errors}
    return errors[0] if len(kinds) == 1 else None
