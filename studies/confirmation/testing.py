"""A study's own test function: called once, in a fresh process, with the champion's model."""

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from joblib import delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from nets.outcome import Model
from studies.confirmation.batch import in_processes
from studies.confirmation.intervals import proportion_of
from studies.definition.importing import load
from studies.objective.models import loaded
from studies.workers.stdio import redirected_to_stderr
from studies.workers.validation import failure_of
from tracking.records import Failure
from tracking.records.confirmation import Estimate


class TestFailed(RuntimeError):
    """The test function raised, or returned something other than results."""

    __test__ = False


def run(test: str, model: Model, metric: str) -> dict[str, Estimate]:
    """Return the results of a test function, ``package.module:function``, for a model.

    The function receives the model as its library loads it, and returns a number, which is a value
    of `metric`, or numbers by name, or pairs (right, total) by name, which get Wilson's interval.
    Raises TestFailed.
    """
    try:
        ((returned, failure),) = in_processes([delayed(_call)(test, model)], 1, fresh=True)
    except TerminatedWorkerError as error:
        raise TestFailed(f"the test {test} failed: its process ended") from error
    if failure is not None:
        raise TestFailed(f"the test {test} failed at {failure.place}: {failure.summary}")
    return results_of(test, returned, metric)


def results_of(test: str, returned: Any, metric: str) -> dict[str, Estimate]:
    """Return what a test function returned as results by name; see `run`."""
    results = returned if isinstance(returned, Mapping) else {metric: returned}
    if not results:
        raise TestFailed(f"the test {test} returned {returned!r}, expected at least one result")
    return {str(name): _estimate(test, str(name), value) for name, value in results.items()}


def _call(test: str, model: Model) -> tuple[Any, Failure | None]:
    """Call the function here; return its result, or the failure."""
    try:
        with redirected_to_stderr():
            return _plain(load(test)(loaded(model))), None
    except (Exception, SystemExit) as error:
        return None, failure_of(error)


def _plain(value: Any) -> Any:
    """Return what was returned with Python's numbers, which need no library to be read."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return tuple(map(_plain, value))
    if isinstance(value, Integral):
        return int(value)
    try:
        return value if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return repr(value)[:100]


def _estimate(test: str, name: str, value: Any) -> Estimate:
    if isinstance(value, tuple) and len(value) == 2:
        right, total = value
        if isinstance(right, int) and isinstance(total, int) and 0 <= right <= total and total:
            return proportion_of(right, total)
    elif isinstance(value, int | float) and math.isfinite(value):
        return Estimate(float(value))
    raise TestFailed(
        f"the test {test} returned {value!r} for {name}, expected a finite number or a pair "
        "(right, total)"
    )
