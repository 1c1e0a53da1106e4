"""The studies of a store in a few facts each, read from the ledger without MLflow and Optuna."""

import time
from dataclasses import dataclass
from pathlib import Path

from studies.analysis.formatting import plural, shown, shown_bytes
from studies.display.tables import aligned
from tracking.ledger import Ledger, lock
from tracking.ledger.copy import size_of
from tracking.records import Direction, JsonObject, StudyRecord, TrialRecord
from tracking.store import database


@dataclass(frozen=True)
class Overview:
    """One study: `total` is its number of trials, `best` the number of its best complete trial.

    `state` is running, being ... (what another process does with it), confirmed, complete,
    interrupted, trainings (of `retrial train`) or damaged. `at` is when something last happened,
    in seconds since the Unix epoch, and `bytes` what it has in the ledger and the store's MLflow.
    """

    name: str
    state: str
    finished: int = 0
    total: int = 0
    failed: int = 0
    best: int | None = None
    value: float | None = None
    metric: str | None = None
    direction: str | None = None
    at: float | None = None
    bytes: int = 0

    def to_json(self) -> JsonObject:
        """Return the facts as plain values."""
        return {
            "study": self.name,
            "state": self.state,
            "trials": self.finished,
            "of": self.total,
            "failed": self.failed,
            "best": None if self.best is None else {"trial": self.best, "value": self.value},
            "metric": self.metric,
            "direction": self.direction,
            "at": None
            if self.at is None
            else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.at)),
            "bytes": self.bytes,
        }


def overviews(store: Path, ledger: Ledger) -> list[Overview]:
    """Return the studies of a store, those in which something happened last first."""
    at_work = lock.work(ledger)
    files = database.artifact_bytes(store)
    found = []
    for name in ledger.study_names():
        size = size_of(ledger, name)[1] + files.get(name, 0)
        try:
            record = ledger.study(name)
            if record is not None:
                found.append(_overview(record, ledger.trials(name), at_work.get(name), size))
        except (ValueError, KeyError, TypeError, AttributeError):
            found.append(Overview(name, "damaged", bytes=size))
    return sorted(found, key=lambda study: -(study.at or 0.0))


def lines(studies: list[Overview], width: int) -> list[str]:
    """Return a heading and a line for each study; in a narrow terminal, the best is below each."""
    has_failed = any(study.failed for study in studies)
    heads = [("study", "state", "trials", *["failed"] * has_failed, "when", "size")]
    for study in studies:
        known = study.metric is not None
        failed = [str(study.failed)] * has_failed
        heads.append((
            study.name, study.state, f"{study.finished}/{study.total}" if known else "-", *failed,
            "-" if study.at is None else _ago(time.time() - study.at), shown_bytes(study.bytes),
        ))  # fmt: skip
    bests = ["best", *map(_best, studies)]
    table = aligned(
        [(*head, best) for head, best in zip(heads, bests, strict=True)], left=(0, 1, -1)
    )
    if max(map(len, table)) <= width:
        return [line.rstrip() for line in table]
    heading, *rows = aligned(heads, left=(0, 1))
    return [heading, *(part for row, best in zip(rows, bests[1:], strict=True)
                       for part in (row, f"  best {best}"))]  # fmt: skip


def _overview(
    record: StudyRecord, trials: list[TrialRecord], doing: str | None, size: int
) -> Overview:
    section = record.definition["study"]
    direction = Direction(section["direction"])
    finished = [trial for trial in trials if trial.is_finished]
    complete = [t for t in trials if t.state == "complete" and t.value == t.value]
    known = [trial for trial in complete if trial.value is not None]
    # Of equal values the first, as everywhere.
    best = max(known, key=lambda trial: direction.sign * (trial.value or 0.0), default=None)
    times = [record.created, *(t for trial in trials for t in (trial.asked, trial.finished) if t)]
    confirmation = record.notes.confirmation
    if confirmation is not None:
        times.append(confirmation.at)
    is_training = record.notes.trainings_of is not None
    total = len(trials) if is_training else int(section["trials"])
    return Overview(
        name=record.name,
        state=_state(record, len(trials) - len(finished), len(finished) - total, doing),
        finished=len(finished),
        total=max(total, len(finished)),
        failed=sum(trial.state == "failed" for trial in trials),
        best=None if best is None else best.number,
        value=None if best is None else best.value,
        metric=str(section["metric"]),
        direction=str(direction),
        at=max(times),
        bytes=size,
    )


def _state(record: StudyRecord, running: int, surplus: int, doing: str | None) -> str:
    """Return the state of a study with `running` open trials and `surplus` finished ones."""
    notes = record.notes
    if doing is not None:
        return "running" if doing in ("searched", "trained") else f"being {doing}"
    if notes.confirmation is not None:
        return "confirmed"
    if running:
        return "interrupted"
    if notes.trainings_of is not None:
        return "trainings"
    # A rule to stop, or a grid that has no more points, ends a study before its last trial.
    section = record.definition["study"]
    ends_early = section.get("stop") is not None or section["sampler"]["name"] == "grid"
    is_recorded = notes.recorded is True
    return "complete" if surplus >= 0 or (ends_early and is_recorded) else "interrupted"


def _best(study: Overview) -> str:
    if study.metric is None:
        return "-"
    goal = "max" if study.direction == Direction.MAXIMIZE else "min"
    return f"{shown(study.value)} {study.metric} ({goal})"


def _ago(seconds: float) -> str:
    """Return how long ago something was, in one unit.

    >>> _ago(5.2), _ago(200), _ago(7300), _ago(200000)
    ('5 s ago', '3 min ago', '2 h ago', '2 days ago')
    """
    for unit, size, end in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 48 * 3600)):
        if seconds < end:
            return f"{max(seconds, 0.0) // size:.0f} {unit} ago"
    return f"{plural(int(seconds // 86400), 'day')} ago"
