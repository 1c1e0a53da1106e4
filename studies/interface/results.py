"""Results in Python: trials as values, and as data frames."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studies.analysis.formatting import plural, shown, shown_parameters, shown_seconds
from studies.definition.choices import decoded
from tracking.records import EpochRecord, TrialRecord, TrialState, Values

if TYPE_CHECKING:
    from pandas import DataFrame, Series


@dataclass(frozen=True)
class EpochResult:
    """One epoch of a trial: its number from 1, its metrics, and its duration."""

    number: int
    metrics: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class TrialResult:
    """A trial as it is now.

    `state` is "complete", "pruned", "failed" or "running", which an interrupted one is until its
    study continues. `value` is the study's metric at the epoch that counts, `params` are what was
    searched, `settings` all settings, `seconds` the sum over the epochs. `error` says why a trial
    failed; `run_id` is its run in MLflow, or None before it is recorded. `added` says whether a
    user has added it, `earlier_errors` are those after which it was trained again.
    """

    number: int
    state: TrialState
    value: float | None
    params: Values
    settings: Values
    epochs: tuple[EpochResult, ...]
    seconds: float
    error: str | None
    run_id: str | None
    added: bool = False
    earlier_errors: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the trial on one line.

        >>> print(TrialResult(3, "complete", 0.97, {"C": 10.0}, {}, (), 0.25, None, None))
        trial 3 (complete): 0.97 with C 10, 0 epochs, 0.2 s
        """
        result = " ".join((self.error or shown(self.value)).split())
        chosen = f" with {shown_parameters(self.params)}" if self.params else ""
        count = plural(len(self.epochs), "epoch")
        return f"trial {self.number} ({self.state}): {result}{chosen}, {count}, " + shown_seconds(
            self.seconds
        )


def result(record: TrialRecord, epochs: Sequence[EpochRecord]) -> TrialResult:
    """Return a trial of the ledger."""
    error = record.outcome.error
    return TrialResult(
        number=record.number,
        state=record.state,
        value=record.value,
        params={name: decoded(value) for name, value in record.parameters.items()},
        settings=dict(record.settings),
        epochs=tuple(EpochResult(e.number, dict(e.metrics), e.seconds) for e in epochs),
        seconds=math.fsum(epoch.seconds for epoch in epochs),
        error=None if error is None else error.summary,
        run_id=record.recorded_run,
        added=record.sampler_attributes.added is not None,
        earlier_errors=tuple(earlier.error.summary for earlier in record.earlier),
    )


def frame(trials: Sequence[TrialResult], parameters: Sequence[str]) -> "DataFrame":
    """Return a row for each trial, by its number; `parameters` are the names of the searched.

    A parameter with the name of another column has the prefix ``params_``.
    """
    first: dict[str, list[Any]] = {
        "state": [trial.state for trial in trials],
        "value": [trial.value for trial in trials],
    }
    last: dict[str, list[Any]] = {
        "epochs": [len(trial.epochs) for trial in trials],
        "seconds": [trial.seconds for trial in trials],
        "error": [trial.error for trial in trials],
        "run_id": [trial.run_id for trial in trials],
    }
    taken = {"trial", *first, *last}
    searched = {
        f"params_{name}" if name in taken else name: [trial.params.get(name) for trial in trials]
        for name in parameters
    }
    columns = {**first, **searched, **last}
    return _frame(columns, {"trial": [trial.number for trial in trials]})


def epochs_frame(trials: Sequence[TrialResult]) -> "DataFrame":
    """Return a row for each epoch, by the numbers of its trial and of the epoch."""
    rows = [(trial.number, epoch) for trial in trials for epoch in trial.epochs]
    metrics = dict.fromkeys(name for _, epoch in rows for name in epoch.metrics)
    columns: dict[str, list[Any]] = {
        **{name: [epoch.metrics.get(name) for _, epoch in rows] for name in metrics},
        "seconds": [epoch.seconds for _, epoch in rows],
    }
    index = {"trial": [number for number, _ in rows], "epoch": [e.number for _, e in rows]}
    return _frame(columns, index)


def _frame(columns: dict[str, list[Any]], index: dict[str, list[int]]) -> "DataFrame":
    import pandas

    content = {name: _column(values) for name, values in {**index, **columns}.items()}
    return pandas.DataFrame(content).set_index(list(index))


def _column(values: list[Any]) -> "Series[Any]":
    """Return a column with the type of its values; a missing one is NA, and NaN among floats."""
    import pandas

    kinds = {type(value) for value in values if value is not None}
    has_all = None not in values
    if kinds == {bool}:
        return pandas.Series(values, dtype="bool" if has_all else "boolean")
    if kinds == {int}:
        return pandas.Series(values, dtype="int64" if has_all else "Int64")
    if kinds and kinds <= {int, float}:
        return pandas.Series(values, dtype="float64")
    if kinds == {str}:
        return pandas.Series(values, dtype="str")
    return pandas.Series(values, dtype="object" if kinds else "float64")
