"""A study as stored: its definition, its environment, and the notes that commands leave."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from tracking.records.base import JsonObject, Record, Values, to_json
from tracking.records.confirmation import Confirmation, RecordedConfirmation, Repetition
from tracking.records.environment import Environment

SearchEnd = Literal["finished", "stopped", "timeout", "failed"]


@dataclass(frozen=True)
class EarlierTrial(Record):
    """A trial of another study that the sampler knows from the start.

    `intermediate` are pairs of epoch and value of the metric.
    """

    writes_none: ClassVar[bool] = True

    parameters: Values
    state: str
    value: float | None
    intermediate: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Extended(Record):
    """The study that another one extends.

    Its trials `numbers` are trials 0, 1, ... of the other one: the first `copies` as they were, the
    rest trained for more epochs.
    """

    study: str
    numbers: tuple[int, ...]
    copies: int


@dataclass(frozen=True)
class QueuedTrial(Record):
    """A trial that a user has added and that has not been asked yet.

    `parameters` are as the ledger's trials have them; the sampler chooses those that are missing.
    `added` is in seconds since the Unix epoch.
    """

    parameters: Values
    added: float


@dataclass(frozen=True)
class StudyNotes(Record):
    """What commands remember of a study, in addition to its trials.

    `recorded` says that MLflow and Optuna's storage have everything, `recorded_in` which tracking
    server that was, empty for the store's own database. `warm_start` are the trials of
    another study that the sampler knows, `extends` is the study whose trials are the first ones of
    this one. `pinned` are the variables that pin the BLAS kernel;
    `first_worker` is what the first worker computed with, `mixed` how workers that were allowed to
    train differed from it. `trainings_of` names the study whose settings `retrial train` trains
    here. `confirmation_environment` is that in which the study's confirmation began,
    `champion_environment` that in which its champion was trained, which may be later. `queued` are
    the trials that users have added, in order.
    `repetitions` have the keys (trial, number).
    """

    recorded: bool | None = None
    recorded_in: str | None = None
    warm_start: tuple[EarlierTrial, ...] | None = None
    extends: Extended | None = None
    pinned: dict[str, str] | None = None
    first_worker: Environment | None = None
    mixed: tuple[str, ...] | None = None
    trainings_of: str | None = None
    queued: tuple[QueuedTrial, ...] | None = None
    confirmation: Confirmation | None = None
    recorded_confirmation: RecordedConfirmation | None = field(
        default=None, metadata={"key": "confirmation.recorded"}
    )
    confirmation_environment: Environment | None = field(
        default=None, metadata={"key": "confirmation.environment"}
    )
    champion_environment: Environment | None = field(
        default=None, metadata={"key": "confirmation.champion.environment"}
    )
    repetitions: Mapping[tuple[int, int], Repetition] = field(
        default_factory=dict, metadata={"stored": False}
    )

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Return the notes that a JSON object describes."""
        notes = super().from_json(values)
        found = {key: re.fullmatch(r"confirmation\.(\d+)\.(\d+)", key) for key in notes.extra}
        repetitions = {
            (int(place[1]), int(place[2])): Repetition.from_json(notes.extra[key])
            for key, place in found.items()
            if place is not None
        }
        extra = {key: value for key, value in notes.extra.items() if found[key] is None}
        return replace(notes, repetitions=repetitions, extra=extra)

    def to_json(self) -> JsonObject:
        """Return the notes as a JSON object, each repetition under a key of its own."""
        repetitions = {
            f"confirmation.{trial}.{number}": to_json(one)
            for (trial, number), one in self.repetitions.items()
        }
        return {**super().to_json(), **repetitions}


@dataclass(frozen=True)
class StudyRecord:
    """A study as the ledger has it: its definition is the study file with all defaults filled in.

    `environment` is that of the driver that created it, `created` in seconds since the Unix epoch.
    """

    name: str
    definition: JsonObject
    environment: Environment
    created: float
    notes: StudyNotes
