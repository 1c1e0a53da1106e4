"""A trial as stored: its epochs, its outcome, and the training that a reproduction compares."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tracking.records.base import Record, Values
from tracking.records.environment import Environment

TrialState = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True)
class Failure(Record):
    """The exception a trial failed with; `place` is ``FILE:LINE``."""

    type: str
    message: str
    place: str = ""
    traceback: str = ""

    @property
    def summary(self) -> str:
        """Type and message."""
        return f"{self.type}: {self.message}"

    @property
    def line(self) -> str:
        r"""Type and the first line of the message that is not empty.

        >>> Failure("ValueError", "\nAll fits failed.\nSee below.").line
        'ValueError: All fits failed.'
        """
        lines = [line for line in self.message.splitlines() if line.strip()]
        return f"{self.type}: {lines[0].strip() if lines else ''}"


@dataclass(frozen=True)
class PruneReason(Record):
    """Why a trial was pruned: by which rule, after which epoch, with which value of the metric.

    `survives_from` is the worst value with which it would have continued; None if there is none
    or the pruner does not look at it.
    """

    rule: str
    epoch: int
    value: float
    survives_from: float | None = None

    def __str__(self) -> str:
        """Return the reason as a sentence.

        >>> print(PruneReason("median", 6, 0.2, 0.95))
        Pruned by median at epoch 6 with 0.2; it needed 0.95 to survive.
        """
        sentence = f"Pruned by {self.rule} at epoch {self.epoch}"
        if self.survives_from is not None:
            sentence += f" with {self.value:.6g}; it needed {self.survives_from:.6g} to survive"
        return f"{sentence}."


@dataclass(frozen=True)
class RetriedFailure(Record):
    """A failure after which a trial was trained again.

    `asked` is the number of trials that the study had at that time: to those trials, this one stays
    failed. `code` are the digests of the code that failed; times are in seconds since the Unix
    epoch.
    """

    error: Failure
    asked: int
    retried: float
    finished: float | None = None
    code: dict[str, str] | None = None


@dataclass(frozen=True)
class TrialOutcome(Record):
    """How a trial ended.

    `value` is the study's metric at `epoch`, whose weights are kept; None for a failed trial.
    `reason` is finished, early stopping, diverged or pruned, or what the objective says.
    `attributes` are those the pruner set on the trial. `environment` is where it was trained;
    `origin` names the trial of an extended study that this one is a copy of. `stages` are the
    numbers of epochs that its settings had before studies with more epochs continued it. `earlier`
    are the failures after which it was trained again, oldest first; an open trial has them too.
    `parameter_count` is the number of weights and biases of its network, if the objective says it.
    """

    environment: Environment | None = None
    value: float | None = None
    epoch: int | None = None
    reason: str | None = None
    attributes: Values | None = None
    pruned: PruneReason | None = None
    error: Failure | None = None
    origin: str | None = None
    stages: tuple[int, ...] | None = None
    earlier: tuple[RetriedFailure, ...] | None = None
    parameter_count: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the training came to its own end."""
        return self.error is None and self.reason not in ("pruned", "diverged")


@dataclass(frozen=True)
class EpochRecord(Record):
    """One epoch of one trial.

    `at` is when it was committed, in seconds since the Unix epoch; ``epochs.json``, which is what
    the JSON form is, does not have it.
    """

    number: int = field(metadata={"key": "epoch"})
    metrics: dict[str, float]
    digests: dict[str, str]
    seconds: float
    at: float = field(default=0.0, metadata={"stored": False})


@dataclass(frozen=True)
class SamplerAttributes(Record):
    """System attributes that asking for a trial set on the trial and on the study.

    `added` is the time at which a user queued the trial; None for one of the sampler's own.
    """

    trial: Values | None = None
    study: Values | None = None
    added: float | None = None


@dataclass(frozen=True)
class TrialRecord:
    """A trial as stored in the ledger; times are in seconds since the Unix epoch.

    `settings` are all its settings, `parameters` those that the sampler chose. `attempts` counts
    the times it was started, `crashes` those of its worker. `recorded_run`, `recorded_epoch` and
    `recorded_state` say how much of it MLflow has.
    """

    study: str
    number: int
    state: TrialState
    settings: Values
    parameters: Values
    sampler_attributes: SamplerAttributes
    asked: float
    started: float | None = None
    finished: float | None = None
    attempts: int = 0
    crashes: int = 0
    worker: str | None = None
    outcome: TrialOutcome = field(default_factory=TrialOutcome)
    recorded_run: str | None = None
    recorded_epoch: int = 0
    recorded_state: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether it is complete, pruned or failed."""
        return self.state != "running"

    @property
    def value(self) -> float | None:
        """The study's metric at the epoch whose weights are kept."""
        return self.outcome.value

    @property
    def earlier(self) -> tuple[RetriedFailure, ...]:
        """The failures after which it was trained again, oldest first."""
        return self.outcome.earlier or ()


@dataclass(frozen=True)
class Training:
    """A training, recorded or repeated, as a verdict compares it.

    `outcome` is None for a training that was stopped before its own end.
    """

    metric: str
    settings: Values
    environment: Environment
    epochs: Sequence[EpochRecord]
    outcome: TrialOutcome | None = None
