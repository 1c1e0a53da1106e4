"""The plain values that pass between the driver and its workers."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import optuna

from nets.outcome import Model
from studies.workers.validation import storable
from tracking.records.direction import Direction

MOST_DEATHS = 3
"""Deaths of its workers after which a trial is failed: a second chance, and a third."""


@dataclass(frozen=True)
class Result:
    """A finished trial as the view, a pruner and Optuna's storage are told of it."""

    state: str
    value: float | None
    intermediate: dict[int, float]
    """The study's metric at each epoch."""
    attributes: dict[str, Any]
    """What the pruner set on the trial."""


@dataclass(frozen=True)
class Judge:
    """What a worker needs to decide, after each epoch, whether its trial is pruned.

    The pruner may look at trials 0..`known` - 1, the 0..k-W of the rule; those from there up to
    `number` - 1 are running. `history` are these trials, but for the first `since` of them, which
    the worker has heard of with an earlier job. `past` are the trial's own values before it was
    interrupted.
    """

    study: str
    direction: Direction
    pruner: optuna.pruners.BasePruner
    number: int
    known: int
    history: Sequence[Result] = ()
    since: int = 0
    past: dict[int, float] = field(default_factory=dict)

    def after(self, since: int) -> "Judge":
        """Return the same for a worker that has heard of the first `since` trials already."""
        return replace(self, history=self.history[since - self.since :], since=since)


@dataclass(frozen=True)
class Job:
    """One attempt at one trial."""

    trial: int
    attempt: int
    objective: str
    settings_class: str
    settings: dict[str, Any]
    data: str | None
    """Folder of the dataset's memory-mapped files on the driver's machine."""
    judge: Judge | None
    metric: str
    state: bytes | None = None
    """The packed state to continue from."""
    past: dict[int, float] = field(default_factory=dict)
    """The metric at the epochs before it."""
    threads: int = 1
    checkpoint_seconds: float = 30.0
    data_sha256: str | None = None
    """What the dataset must be where the folder is not there and the worker has its own."""


@dataclass(frozen=True)
class EpochDone:
    """A worker finished an epoch; `state` is a packed checkpoint now and then."""

    trial: int
    attempt: int
    number: int
    metrics: dict[str, float]
    digests: dict[str, str]
    seconds: float
    state: bytes | None = None


@dataclass(frozen=True)
class TrialDone:
    """A worker finished a trial: ``complete``, ``pruned`` or ``failed``."""

    trial: int
    attempt: int
    state: Literal["complete", "pruned", "failed"]
    outcome: dict[str, Any]
    model: Model | None = None


@dataclass(frozen=True)
class TrialStopped:
    """A worker stopped at an epoch's end because it was told to; the trial stays open."""

    trial: int
    attempt: int


@dataclass(frozen=True)
class WorkerDied:
    """The worker of a trial is gone, or its machine lacks something; `reason` says what is known.

    Either way the attempt was none, and says nothing of the trial.
    """

    trial: int
    attempt: int
    reason: str

    def as_failure(self, deaths: int) -> TrialDone:
        """Return the end of a trial that had so many deaths."""
        message = f"its worker died {deaths} times; the last time: {self.reason}"
        error = {
            "type": "WorkerDied",
            "message": storable(message),
            "place": "worker",
            "traceback": "",
        }
        return TrialDone(self.trial, self.attempt, "failed", {"error": error})


@dataclass(frozen=True)
class Notice:
    """Something of the engine's workers that a person should know."""

    message: str


TrialEvent = EpochDone | TrialDone | TrialStopped | WorkerDied
Event = TrialEvent | Notice
