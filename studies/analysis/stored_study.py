"""A study as the store has it, for the commands that read finished work."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution

from studies.analysis.importances import importances
from studies.definition import study_file
from tracking.ledger import Ledger
from tracking.records import EpochRecord, StudyNotes, StudyRecord, TrialRecord
from tracking.records.confirmation import Confirmation, Evidence
from tracking.store import names
from tracking.store.errors import StoreUnavailable, StudyNotFound

CHAMPION = "champion"
"""Name of the study's attachment that holds the `Evidence` until it is recorded."""


class StoredStudy:
    """Definition and trials of one study in a store.

    A known `study` is not read from its definition again, for which its settings class is imported.
    """

    def __init__(
        self, ledger: Ledger, record: StudyRecord, study: study_file.Study | None = None
    ) -> None:
        self.ledger = ledger
        self.record = record
        self.study = study or study_file.stored(record.definition)
        self.trials: list[TrialRecord] = ledger.trials(record.name)

    def epochs(self, number: int) -> list[EpochRecord]:
        """Return the epochs of a trial."""
        return self.ledger.epochs(self.record.name, number)

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
        content = self.ledger.attachment(self.study.name, CHAMPION)
        return None if content is None else Evidence.unpacked(content)

    def importances(self) -> dict[str, float]:
        """Return each parameter's importance, largest first; empty with too few trials."""
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


def stored_definition(store: Path, name: str) -> dict[str, Any] | None:
    """Return the definition of a study that a store has, or None."""
    path = store / names.LEDGER
    if not path.is_file():
        return None
    with Ledger(path) as ledger:
        record = ledger.study(name)
    return None if record is None else record.definition


@contextmanager
def open_study(store: Path, name: str) -> Iterator[StoredStudy]:
    """Open a study of a store; raises StoreUnavailable or StudyNotFound."""
    path = store / names.LEDGER
    if not path.is_file():
        raise StoreUnavailable.without_studies(store)
    with Ledger(path) as ledger:
        record = ledger.study(name)
        if record is None:
            raise StudyNotFound.among(name, ledger.study_names(), store)
        yield StoredStudy(ledger, record)
