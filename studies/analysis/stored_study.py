"""A study as the store has it, for the commands that read finished work."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from nets.errors import InputError, ModuleMissing
from studies.analysis.importances import Importance, importances
from studies.definition import study_file
from studies.definition.space_section import check_first
from studies.definition.study import Study
from tracking.ledger import Ledger
from tracking.records import EpochRecord, RecordDamaged, StudyNotes, StudyRecord, TrialRecord
from tracking.records.confirmation import Confirmation, Evidence
from tracking.store import names
from tracking.store.errors import StoreUnavailable, StudyNotFound


def attachment_of(champion: int) -> str:
    """Return the name of the study's attachment that holds a champion's `Evidence` until recorded.

    >>> attachment_of(1), attachment_of(2)
    ('champion', 'champion 2')
    """
    return "champion" if champion == 1 else f"champion {champion}"


class StoredStudy:
    """Definition and trials of one study in a store.

    The user's modules are imported only `to_train`.
    """

    def __init__(self, ledger: Ledger, record: StudyRecord, *, to_train: bool = False) -> None:
        self.ledger = ledger
        self.record = record
        self.trials: list[TrialRecord] = ledger.trials(record.name)
        if to_train:
            self.study: Study = study_file.stored(record.definition)
            return
        with damaged(f"study {record.name!r}"):
            chosen = [trial.parameters for trial in self.trials]
            self.study = study_file.stored(record.definition, chosen)
            if self.study.name != record.name:
                raise InputError("study.name", self.study.name, repr(record.name))

    def epochs(self, number: int) -> list[EpochRecord]:
        """Return the epochs of a trial."""
        return self.ledger.epochs(self.record.name, number)

    def spent(self) -> list[tuple[int, float]]:
        """Return for each trial how many epochs it has, and the seconds they took."""
        known = self.ledger.spent(self.record.name)
        return [known.get(trial.number, (0, 0.0)) for trial in self.trials]

    def ranked(self) -> list[TrialRecord]:
        """Return the complete trials, best first; of equal values the lower number."""
        sign = self.study.section.direction.sign
        complete = [t for t in self.trials if t.state == "complete" and t.value is not None]
        return sorted(complete, key=lambda t: (-sign * (t.value or 0.0), t.number))

    @property
    def best(self) -> TrialRecord | None:
        """The best complete trial, or None."""
        return next(iter(self.ranked()), None)

    @property
    def notes(self) -> StudyNotes:
        """The notes of the study as they are now; `record` has those of when it was read."""
        return self.ledger.notes(self.study.name)

    @property
    def confirmation(self) -> Confirmation | None:
        """The study's confirmation, or None if none has finished.

        A process killed between its two commits has left it with the evidence alone.
        """
        if (confirmation := self.notes.confirmation) is not None:
            return confirmation
        evidence = self.evidence
        return None if evidence is None else evidence.confirmation

    @property
    def evidence(self) -> Evidence | None:
        """The champion's training, or None if there is none, or it has been recorded."""
        return self.evidence_of(1)

    def evidence_of(self, champion: int) -> Evidence | None:
        """Return the training of one of several champions, counted from 1, or None."""
        content = self.ledger.attachment(self.study.name, attachment_of(champion))
        return None if content is None else Evidence.unpacked(content)

    @cached_property
    def importances(self) -> dict[str, Importance]:
        """Each parameter's importance, largest first; empty with too few trials."""
        return importances(self.study.space, self.ranked())

    def advice(self) -> list[str]:
        """Suggest ranges to extend: parameters whose best trials lie near one end of the range."""
        best = self.ranked()[: max(3, len(self.ranked()) // 5)]
        lines = []
        for parameter in self.study.space.parameters:
            distribution = parameter.distribution
            values = [t.parameters[parameter.name] for t in best if parameter.name in t.parameters]
            if len(values) < 3 or not isinstance(distribution, FloatDistribution | IntDistribution):
                continue
            places = sorted(parameter.place(value) for value in values)
            middle = places[len(places) // 2]
            if not 0.1 <= middle <= 0.9:
                high = middle > 0.5
                end, where = (distribution.high, "higher") if high else (distribution.low, "lower")
                lines.append(f"{parameter.name}: the best are near {end:g}, try {where}")
        return lines


@contextmanager
def damaged(what: str) -> Iterator[None]:
    """Say that something is damaged in the ledger, where reading it raises InputError."""
    try:
        yield
    except ModuleMissing:
        raise
    except InputError as error:
        raise RecordDamaged("store", problem=f"{what} is damaged in the ledger: {error}") from error


def check(ledger: Ledger, name: str) -> Study:
    """Return a study of a ledger from elsewhere; raise RecordDamaged if commands cannot read it."""
    record = ledger.study(name)
    assert record is not None
    stored = StoredStudy(ledger, record)
    for number, trial in enumerate(stored.trials):
        with damaged(f"trial {trial.number} of study {name!r}"):
            if trial.number != number:
                raise InputError("number", trial.number, str(number))
            try:
                stored.study.space.trial(trial.parameters, TrialState.RUNNING)
            except (ValueError, KeyError, TypeError) as error:
                raise InputError("parameters", trial.parameters, "values of the space") from error
            if not all(number < e.asked <= len(stored.trials) for e in trial.earlier):
                raise InputError("earlier", problem="a retry began with other trials")
            if any(epoch.number < 1 for epoch in stored.epochs(number)):
                raise InputError("epochs", problem="got an epoch below 1")
            ledger.checkpoint(name, number)
            ledger.model(name, number)
            ledger.files(name, number)
    if (extends := stored.notes.extends) is not None:
        with damaged(f"study {name!r}"):
            if not 0 <= extends.copies <= len(extends.numbers) <= len(stored.trials):
                raise InputError("extends", problem="got more copies than trials")
    space = stored.study.space
    for queued in stored.notes.queued or ():
        with damaged(f"a queued trial of study {name!r}"):
            check_first(space.settings(queued.parameters), space, "queued")
    with damaged(f"the confirmation of study {name!r}"):
        _ = stored.confirmation
    return stored.study


def stored_definition(store: Path, name: str) -> dict[str, Any] | None:
    """Return the definition of a study that a store has, or None."""
    path = store / names.LEDGER
    if not path.is_file():
        return None
    with Ledger(path) as ledger:
        record = ledger.study(name)
    return None if record is None else record.definition


@contextmanager
def open_study(store: Path, name: str, *, to_train: bool = False) -> Iterator[StoredStudy]:
    """Open a study of a store; raises StoreUnavailable, StudyNotFound or RecordDamaged."""
    path = store / names.LEDGER
    if not path.is_file():
        raise StoreUnavailable.without_studies(store)
    with Ledger(path) as ledger:
        record = ledger.study(name)
        if record is None:
            raise StudyNotFound.among(name, ledger.study_names(), store)
        yield StoredStudy(ledger, record, to_train=to_train)
