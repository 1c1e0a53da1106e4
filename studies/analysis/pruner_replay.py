"""Replay: which of a study's recorded trials another pruner would have pruned.

The other pruner is asked at each recorded epoch of each trial, by the rule and window of the
search: trial k sees trials 0..k-W as the replay has left them. Parameters and curves stay as
recorded, although a sampler would have chosen others after other results.

A curve that the study's own pruner ended does not show what would have followed. If the other
pruner would have continued such a trial, it counts with the epochs it has, as a lower bound, and as
ended there for the trials after it.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from typing import Any

from nets.errors import InputError
from studies.analysis.stored_study import StoredStudy
from studies.definition import pruners
from studies.definition.study_section import read_section
from studies.workers.messages import PruningContext, Result
from studies.workers.pruning import History, PrunerStudy
from tracking.records import EpochRecord, TrialRecord


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
        """How many recorded epochs it has under the other pruner."""
        return len(self.curve) if self.pruned_at is None else self.pruned_at

    @property
    def seconds(self) -> float:
        """Seconds of these epochs."""
        return sum(epoch.seconds for epoch in self.curve[: self.epochs])

    @property
    def missing(self) -> int:
        """How many more epochs it might have had, where the study's own pruner ended its curve."""
        ended = self.record.outcome.reason == "pruned"
        whole = int(self.record.settings.get("epochs", len(self.curve)))
        return max(0, whole - len(self.curve)) if ended and self.pruned_at is None else 0

    @property
    def is_complete(self) -> bool:
        """Whether it is known to complete."""
        return self.record.state == "complete" and self.pruned_at is None


@dataclass(frozen=True)
class Replay:
    """All finished trials of a study under another pruner; sums are over these trials."""

    pruner: str
    trials: Sequence[ReplayedTrial]
    winner: ReplayedTrial | None
    """The recorded winner, which the other pruner may prune."""
    successor: ReplayedTrial | None
    """The best of the trials known to complete under the other pruner."""

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
        """How many of them would have been trained."""
        return sum(trial.epochs for trial in self.trials)

    @cached_property
    def too_short(self) -> list[ReplayedTrial]:
        """The trials whose curves end before the other pruner has decided."""
        return [trial for trial in self.trials if trial.missing]

    @property
    def most_epochs(self) -> int:
        """How many epochs there would have been if these trials had completed."""
        return self.epochs + sum(trial.missing for trial in self.too_short)

    @property
    def seconds_saved(self) -> float:
        """Seconds of training that would not have been spent."""
        return sum(epoch.seconds for trial in self.trials for epoch in trial.curve[trial.epochs :])

    @property
    def most_seconds_more(self) -> float:
        """Seconds that these trials might have taken in addition, at the speed of their epochs."""
        return sum(
            trial.missing * trial.seconds / trial.epochs for trial in self.too_short if trial.epochs
        )


def replay(stored: StoredStudy, text: str) -> Replay:
    """Replay a study's finished trials, up to the first open one.

    `text` names the pruner as `read_pruner` takes it. Raises InputError for an unknown pruner and
    for a study without a finished trial.
    """
    study, metric = stored.study, stored.study.section.metric
    pruner = pruners.build(read_pruner(text), study.epochs)
    history: list[Result] = []
    received = History()
    trials = []
    # Up to the first open one: later trials saw less than the rule requires.
    for record in takewhile(lambda record: record.is_finished, stored.trials):
        curve = stored.epochs(record.number)
        known = max(0, record.number - study.section.window + 1)
        context = PruningContext(
            study=study.name,
            direction=study.section.direction,
            pruner=pruner,
            number=record.number,
            known=known,
            history=history[:known],
        )
        asked = PrunerStudy(context.after(max(0, known - 1)), received)
        numbers = (e.number for e in curve if asked.prunes(e.number, e.metrics[metric]))
        trial = ReplayedTrial(record, curve, next(numbers, None))
        trials.append(trial)
        history.append(_seen(trial, asked.attributes, metric))
    if not trials:
        raise InputError("study", problem=f"{study.name} has no finished trial")
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
        expected = "NAME or NAME:key=value,... with values as in a study file"
        raise InputError("pruner", text, expected)
    return read_section({"name": "replay", "pruner": {**table, "name": name}}, where="").pruner


def _seen(trial: ReplayedTrial, attributes: dict[str, Any], metric: str) -> Result:
    """Return a replayed trial as later trials see it."""
    result = Result.of(trial.record, trial.curve[: trial.epochs], metric)
    if trial.pruned_at is None:
        return replace(result, attributes=attributes)
    value = result.intermediate[trial.pruned_at]
    return replace(result, state="pruned", value=value, attributes=attributes)
