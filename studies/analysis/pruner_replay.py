"""Replay: what another pruner would have made of the trials a study has recorded.

Trial after trial the other pruner is asked at each recorded epoch, by the rule and window of the
search: trial k sees trials 0..k-W as the replay has left them. Parameters and curves stay as they
were recorded, although a sampler would have gone other ways after other results.

A curve that the study's own pruner ended says nothing of what came after it. Where the other one
would have let such a trial go on, that is all that can be known of it: it counts with the epochs it
has, as a lower bound, and as ended there for the trials after it.
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nets.errors import InputError
from studies.analysis.stored_study import StoredStudy
from studies.definition import pruners
from studies.definition.study_section import read_section
from studies.workers.history import result_of
from studies.workers.messages import Judge, Result
from studies.workers.pruning import History, PrunerStudy
from tracking.ledger.access import EpochRecord, TrialRecord


@dataclass(frozen=True)
class ReplayedTrial:
    """One trial under another pruner."""

    record: TrialRecord
    curve: Sequence[EpochRecord]
    """All recorded epochs."""
    pruned_at: int | None
    """The epoch after which the other pruner ends it."""

    @property
    def epochs(self) -> int:
        """How many epochs it has, as far as they are recorded."""
        return len(self.curve) if self.pruned_at is None else self.pruned_at

    @property
    def seconds(self) -> float:
        """What these epochs took."""
        return sum(epoch.seconds for epoch in self.curve[: self.epochs])

    @property
    def missing(self) -> int:
        """How many epochs more it may have had, where the study's own pruner ended its curve."""
        ended = self.record.outcome.get("reason") == "pruned"
        whole = int(self.record.settings.get("epochs", len(self.curve)))
        return max(0, whole - len(self.curve)) if ended and self.pruned_at is None else 0

    @property
    def is_complete(self) -> bool:
        """Whether it is known to have come to its own end."""
        return self.record.state == "complete" and self.pruned_at is None


@dataclass(frozen=True)
class Replay:
    """All finished trials of a study under another pruner; sums are over these trials."""

    pruner: str
    trials: Sequence[ReplayedTrial]
    winner: ReplayedTrial | None
    """The recorded winner, which may be pruned now."""
    successor: ReplayedTrial | None
    """The best of the trials known to complete now."""

    @property
    def pruned(self) -> int:
        """How many trials it prunes."""
        return sum(trial.pruned_at is not None for trial in self.trials)

    @property
    def recorded_epochs(self) -> int:
        """How many epochs were trained."""
        return sum(len(trial.curve) for trial in self.trials)

    @property
    def epochs(self) -> int:
        """How many of them would have been."""
        return sum(trial.epochs for trial in self.trials)

    @cached_property
    def too_short(self) -> list[ReplayedTrial]:
        """The trials whose curves end before it can be known what becomes of them."""
        return [trial for trial in self.trials if trial.missing]

    @property
    def most_epochs(self) -> int:
        """How many epochs there would have been if these trials had come to their ends."""
        return self.epochs + sum(trial.missing for trial in self.too_short)

    @property
    def seconds_saved(self) -> float:
        """Seconds of training that would not have been spent."""
        return sum(epoch.seconds for trial in self.trials for epoch in trial.curve[trial.epochs :])

    @property
    def most_seconds_more(self) -> float:
        """Seconds that trials cut short may have taken more, at the speed of their own epochs."""
        return sum(
            trial.missing * trial.seconds / trial.epochs for trial in self.too_short if trial.epochs
        )


def replay(stored: StoredStudy, text: str) -> Replay:
    """Replay a study's finished trials, as far as there is no open one among them.

    `text` names the pruner as `read_pruner` takes it. Raises InputError for a pruner that is not
    known and for a study without a finished trial.
    """
    study = stored.study
    pruner = pruners.build(read_pruner(text), study.epochs)
    history: list[Result] = []
    heard = History()
    trials = []
    for record in _finished(stored):
        curve = stored.epochs(record.number)
        known = max(0, record.number - study.section.window + 1)
        judge = Judge(
            study=study.name,
            direction=study.section.direction,
            pruner=pruner,
            number=record.number,
            known=known,
            history=history[:known],
        )
        asked = PrunerStudy(judge.after(max(0, known - 1)), heard)
        trial = ReplayedTrial(record, curve, _pruned_at(asked, curve, study.section.metric))
        trials.append(trial)
        history.append(_seen(trial, asked.attributes, study.section.metric))
    if not trials:
        raise InputError(f"study: {study.name} has no finished trial, accepted is one that has")
    by_number = {trial.record.number: trial for trial in trials}
    ranked = [by_number[record.number] for record in stored.ranked() if record.number in by_number]
    return Replay(
        pruner=text,
        trials=trials,
        winner=next(iter(ranked), None),
        successor=next((trial for trial in ranked if trial.is_complete), None),
    )


def read_pruner(text: str) -> pruners.Pruner:
    """Return the pruner of ``NAME`` or ``NAME:key=value,...``, with values as in a study file.

    >>> read_pruner("median:startup_trials=3,warmup_epochs=2")
    Median(name='median', startup_trials=3, warmup_epochs=2, interval=1)
    """
    name, colon, options = text.partition(":")
    try:
        table = tomllib.loads(f"options = {{ {options} }}")["options"]
    except tomllib.TOMLDecodeError:
        table = {}
    if colon and not table:
        raise InputError(
            f"pruner: got {text!r}, accepted is NAME or NAME:key=value,... with values as in a "
            "study file"
        )
    return read_section({"name": "replay", "pruner": {**table, "name": name}}, where="").pruner


def _finished(stored: StoredStudy) -> Iterator[TrialRecord]:
    """Yield trials up to the first open one; those behind it saw less than the rule says."""
    for record in stored.trials:
        if record.state == "running":
            return
        yield record


def _pruned_at(asked: PrunerStudy, curve: Sequence[EpochRecord], metric: str) -> int | None:
    for epoch in curve:
        if asked.prunes(epoch.number, epoch.metrics[metric]):
            return epoch.number
    return None


def _seen(trial: ReplayedTrial, attributes: dict[str, Any], metric: str) -> Result:
    """Return what later trials see of a replayed one."""
    curve = trial.curve[: trial.epochs]
    values = {epoch.number: epoch.metrics[metric] for epoch in curve}
    result = result_of(trial.record, curve, metric)
    if trial.pruned_at is None:
        return Result(result.state, result.value, values, attributes)
    return Result("pruned", values[trial.pruned_at], values, attributes)
