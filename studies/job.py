"""The plain values that pass between the driver and its workers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna

from nets.outcome import Model


@dataclass(frozen=True)
class Seen:
    """A finished trial as a pruner sees it."""

    state: str
    value: float | None
    intermediate: dict[int, float]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Judge:
    """What a worker needs to decide, after each epoch, whether its trial is pruned.

    `history` are trials 0..k-W; trials up to `number` - 1 beyond it are running. `past` are the
    trial's own values before it was interrupted.
    """

    study: str
    direction: Literal["maximize", "minimize"]
    pruner: optuna.pruners.BasePruner
    number: int
    history: Sequence[Seen] = ()
    past: dict[int, float] = field(default_factory=dict)


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
    """The worker of a trial is gone; `reason` says what is known."""

    trial: int
    attempt: int
    reason: str


@dataclass(frozen=True)
class Notice:
    """Something of the engine's workers that a person should know."""

    message: str


TrialEvent = EpochDone | TrialDone | TrialStopped | WorkerDied
Event = TrialEvent | Notice
