"""A study as the store has it, for the commands that look at finished work."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution

from nets.errors import InputError
from studies.analysis.importances import importances
from studies.definition import study_file
from studies.definition.study_file import Study
from tracking.ledger.access import EpochRecord, Ledger, StudyRecord, TrialRecord
from tracking.records import confirmation
from tracking.records.confirmation import Confirmation, Evidence
from tracking.store import names

CONFIRMATION = "confirmation"
"""Key of the study's note that holds its whole confirmation."""

CHAMPION = "champion"
"""Name of the study's attachment that holds the `Evidence`, until it has been recorded."""

RECORDED = "confirmation.recorded"
"""Key of the study's note: run id and model version of a confirmation that MLflow has."""


class StoredStudy:
    """Definition and trials of one study in a store."""

    def __init__(self, ledger: Ledger, record: StudyRecord) -> None:
        self.ledger = ledger
        self.record = record
        self.study: Study = study_file.stored(record.definition)
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
    def notes(self) -> dict[str, Any]:
        """The notes of the study as they are now; `record` has those of when it was read."""
        record = self.ledger.study(self.study.name)
        assert record is not None
        return record.notes

    @property
    def confirmation(self) -> Confirmation | None:
        """What was confirmed, or None where no confirmation has been finished."""
        note = self.notes.get(CONFIRMATION)
        if note is not None:
            return confirmation.from_plain(note)
        evidence = self.evidence
        if evidence is None or evidence.confirmation is None:
            return None
        # Killed between its two commits: the first one counts.
        self.ledger.note(
            self.study.name, CONFIRMATION, confirmation.to_plain(evidence.confirmation)
        )
        return evidence.confirmation

    @property
    def evidence(self) -> Evidence | None:
        """What is kept of the champion, or None where there is none (any more)."""
        content = self.ledger.attachment(self.study.name, CHAMPION)
        return None if content is None else Evidence.unpacked(content)

    @property
    def recorded_confirmation(self) -> dict[str, Any] | None:
        """Run id and model version of a confirmation that MLflow has, else None."""
        return self.notes.get(RECORDED)

    def importances(self) -> dict[str, float]:
        """Return each parameter's share in what sets good trials apart, largest first.

        Empty while there is too little to tell.
        """
        return importances(self.study.space, self.ranked())

    def advice(self) -> list[str]:
        """Say where to look next: parameters whose best trials crowd one end of their range."""
        best = self.ranked()[: max(3, len(self.ranked()) // 5)]
        lines = []
        for parameter in self.study.space.parameters:
            distribution = parameter.distribution
            values = [t.parameters[parameter.name] for t in best if parameter.name in t.parameters]
            if len(values) < 3 or not isinstance(distribution, FloatDistribution | IntDistribution):
                continue
            places = sorted(parameter.place(value) for value in values)
            middle = places[len(places) // 2]
            if middle > 0.9:
                lines.append(
                    f"{parameter.name}: the best are near {distribution.high:g}, try higher"
                )
            elif middle < 0.1:
                lines.append(f"{parameter.name}: the best are near {distribution.low:g}, try lower")
        return lines


def stored_definition(store: Path, name: str) -> dict[str, Any] | None:
    """Return the definition of a study that a store has, or None."""
    path = store / names.LEDGER
    if not path.is_file():
        return None
    with closing(Ledger(path)) as ledger:
        record = ledger.study(name)
    return None if record is None else record.definition


@contextmanager
def open_study(store: Path, name: str) -> Iterator[StoredStudy]:
    """Open a study of a store; raises InputError naming those it has."""
    path = store / names.LEDGER
    if not path.is_file():
        raise InputError(
            f"store: {store} has no studies; accepted is the folder of a store (--store, or "
            "RETRIAL_STORE), which `retrial search` fills"
        )
    ledger = Ledger(path)
    try:
        record = ledger.study(name)
        if record is None:
            accepted = ", ".join(ledger.study_names()) or "none yet"
            raise InputError(
                f"study: got {name!r}, accepted are the studies of {store}: {accepted}"
            )
        yield StoredStudy(ledger, record)
    finally:
        ledger.close()
