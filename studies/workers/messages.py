"""The plain values that pass between the driver and its workers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import optuna

from nets.state import PackedModel
from tracking.records import Direction, EpochRecord, Failure, TrialOutcome, TrialRecord, Values
from tracking.store import names

MAX_CRASHES = 3
"""Crashes of its worker after which a trial fails; up to then it is retried."""


@dataclass(frozen=True)
class Result:
    """A finished trial as the sampling view, a pruner and Optuna's storage need it."""

    state: str
    value: float | None
    intermediate: dict[int, float]
    """The study's metric at each epoch."""
    attributes: Values
    """Attributes that the pruner set on the trial."""

    @classmethod
    def failure(cls) -> "Result":
        """Return a failure that has been retried, whose epochs are not kept.

        No sampler or pruner reads those of a failed trial.
        """
        return cls("failed", None, {}, {})

    @classmethod
    def of(cls, record: TrialRecord, epochs: Sequence[EpochRecord], metric: str) -> "Result":
        """Return the result of a finished trial; a diverged one has no value."""
        value = record.value
        return cls(
            state=record.state,
            value=value if value is not None and math.isfinite(value) else None,
            intermediate={epoch.number: epoch.metrics[metric] for epoch in epochs},
            attributes=record.outcome.attributes or {},
        )


@dataclass(frozen=True)
class PruningContext:
    """What a worker needs to decide, after each epoch, whether its trial is pruned.

    The pruner sees trials 0..`known` - 1, which are 0..k-W of the search rule; trials from there up
    to `number` - 1 are running. `history` are the known trials, without the first `since`, which
    the worker has received with earlier jobs. `past` are the trial's own values before it was
    interrupted. `retries` is how often failed trials were trained again after this trial had been
    asked: among trials with the same number, the histories are beginnings of one another.
    """

    study: str
    direction: Direction
    pruner: optuna.pruners.BasePruner
    number: int
    known: int
    history: Sequence[Result] = ()
    since: int = 0
    past: dict[int, float] = field(default_factory=dict)
    retries: int = 0

    def after(self, since: int) -> "PruningContext":
        """Return the same for a worker that has received the first `since` trials already."""
        return replace(self, history=self.history[since - self.since :], since=since)


@dataclass(frozen=True)
class Limits:
    """What a trial may use.

    `memory` is the limit of its worker's resident memory as the study has it, `bytes` the same
    number. `spent` are the seconds of the trial's epochs before this attempt.
    """

    memory: str | None = None
    bytes: int | None = None
    seconds: float | None = None
    spent: float = 0.0


@dataclass(frozen=True)
class Job:
    """One attempt at one trial."""

    trial: int
    attempt: int
    objective: str
    settings_class: str | None
    """None for an objective in the simple form, whose parameters are its settings."""
    settings: Values
    data: str | None
    """Folder of the dataset's memory-mapped files on the driver's machine."""
    pruning: PruningContext | None
    metric: str
    state: bytes | None = None
    """The packed state to resume from."""
    past: dict[int, float] = field(default_factory=dict)
    """The metric at the epochs before it."""
    threads: int = 1
    checkpoint_seconds: float = 30.0
    final: bool = False
    """Whether this is the champion's final training."""
    keep_model: bool = True
    keep_state: bool = False
    """Whether the state after the last of `settings.epochs` is a checkpoint."""
    data_sha256: str | None = None
    """What the dataset must be, where the folder does not exist and the worker has its own."""
    limits: Limits | None = None
    own_modules: tuple[str, ...] = ()
    """The user's modules that are in the recorded code."""


@dataclass(frozen=True)
class _OfAttempt:
    """What a worker reports of its attempt at a trial.

    `imported` are the files that the worker has imported from elsewhere, None if they are those of
    the attempt's last message.
    """

    trial: int
    attempt: int
    imported: dict[str, str] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class EpochDone(_OfAttempt):
    """A worker finished an epoch; `state` is a packed checkpoint, where one was due."""

    number: int
    metrics: dict[str, float]
    digests: dict[str, str]
    seconds: float
    state: bytes | None = None


@dataclass(frozen=True)
class TrialDone(_OfAttempt):
    """A worker finished a trial."""

    state: Literal["complete", "pruned", "failed"]
    outcome: TrialOutcome
    model: PackedModel | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialStopped(_OfAttempt):
    """A worker stopped at the end of an epoch, as requested; the trial stays open."""


CRASH_TYPE = "WorkerDied"
"""Type of the failure of a trial whose worker crashed; stores have it, so it cannot change."""


@dataclass(frozen=True)
class WorkerCrashed(_OfAttempt):
    """The worker of a trial has ended, or its machine lacks a resource; `reason` is what is known.

    Either way the attempt does not count, and says nothing about the trial.
    """

    reason: str

    def as_failure(self, crashes: int) -> TrialDone:
        """Return the end of a trial whose worker has crashed that often."""
        message = f"its worker crashed {crashes} times; the last time: {self.reason}"
        error = Failure(CRASH_TYPE, names.plain(message), "worker")
        return TrialDone(self.trial, self.attempt, "failed", TrialOutcome(error=error))


@dataclass(frozen=True)
class Notice:
    """A message for the user about the engine's workers."""

    message: str


TrialEvent = EpochDone | TrialDone | TrialStopped | WorkerCrashed
Event = TrialEvent | Notice
