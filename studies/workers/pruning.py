"""Calls the pruner in a worker, by the rule of the search.

The pruner sees trials 0..k-W with their results and the ones after them as running, as the sampler
did when the trial was asked. So its decision is a function of the study file and of those trials,
not of what has finished meanwhile.
"""

import copy
import math
import warnings
from itertools import chain
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from studies.definition.optuna_internals import (
    TRIAL_STATES,
    replace_trial,
    share_trials,
    storage_of,
    trial_id,
)
from studies.workers.messages import PruningContext, Result
from tracking.records import PruneReason


class History:
    """The finished trials, from 0 on, that a worker has received with its jobs."""

    def __init__(self) -> None:
        self._trials: list[FrozenTrial] = []

    def receive(self, context: PruningContext) -> list[FrozenTrial]:
        """Add the trials of a job; return those that its pruner may use.

        Raises RuntimeError if trials are missing.
        """
        # A complete history may belong to another study or driver. A process of a cluster may even
        # train for two at the same time, so this builds a new list and leaves the old one.
        trials = self._trials if context.since else []
        if context.since > len(trials):
            raise RuntimeError(
                f"a job continues after trial {context.since}, but only {len(trials)} are known"
            )
        for result in context.history[len(trials) - context.since :]:
            trials.append(_frozen(result, len(trials)))
        self._trials = trials
        return trials[: context.known]


class PrunerStudy:
    """A private in-memory study in which one trial reports its values and asks its pruner.

    `history` are the trials of earlier jobs; without it the job must contain all of them.
    """

    def __init__(self, context: PruningContext, history: History | None = None) -> None:
        self._context = context
        # The name matters: Hyperband's bracket is a function of study name and trial number.
        self._study = optuna.create_study(
            storage=InMemoryStorage(),
            study_name=context.study,
            direction=StudyDirection[context.direction.name],
            pruner=context.pruner,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        # Pruners set attributes only on the trial in question, so the others can be shared.
        share_trials(self._study, (history or History()).receive(context))
        self._in_memory, study_id = storage_of(self._study)
        for _ in range(context.known, context.number + 1):
            last = self._in_memory.create_new_trial(study_id)
        self._trial = optuna.Trial(self._study, last)
        self._last: tuple[int, float] | None = None
        self._before: FrozenTrial | None = None
        # A trial that continues was not pruned before; asking again restores the attributes that
        # the pruner set on it.
        for epoch, value in context.past.items():
            self.prunes(epoch, value)

    def prunes(self, epoch: int, value: float) -> bool:
        """Report the value of an epoch and ask whether the trial ends there."""
        self._last = (epoch, value)
        self._before = self._in_memory.get_trial(trial_id(self._trial))
        self._trial.report(value, epoch)
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            # NumPy warns of a trial that has only NaN values so far.
            return bool(self._trial.should_prune())

    @property
    def attributes(self) -> dict[str, Any]:
        """What the pruner has set on the trial."""
        return dict(self._in_memory.get_trial_system_attrs(trial_id(self._trial)))

    def explain(self) -> PruneReason:
        """Return why the trial was pruned: rule, epoch, value, and what would have survived.

        The threshold comes from asking the same pruner about other last values. If no value
        survives, or the pruner ignores the value, there is no threshold.
        """
        assert self._last is not None
        epoch, value = self._last
        pruned = self._in_memory.get_trial(trial_id(self._trial))
        threshold = self._threshold(epoch, value)
        replace_trial(self._study, self._trial, pruned)
        return PruneReason(_rule(self._context.pruner), epoch, value, threshold)

    def _threshold(self, epoch: int, value: float) -> float | None:
        """Return the worst last value with which the trial would have continued, or None."""
        trials = self._study.get_trials(deepcopy=False)[: self._context.known]
        known = [v for trial in trials for v in trial.intermediate_values.values()]
        known = [v for v in [*known, value] if math.isfinite(v)]
        if not known or not math.isfinite(value):
            return None
        direction = self._context.direction
        best = direction.best(known)
        beyond = best + direction.sign * max(1.0, abs(best))
        # A pruner with bounds on both sides may reject both, and accept a value in between.
        nearer = (value + (beyond - value) * 0.75**step for step in range(1, 64))
        good = next((v for v in chain((best, beyond), nearer) if self._survives(epoch, v)), None)
        bad = value
        while good is not None:  # bisection down to neighbouring floats
            middle = bad + (good - bad) / 2
            if middle in (bad, good):
                break
            if self._survives(epoch, middle):
                good = middle
            else:
                bad = middle
        return good

    def _survives(self, epoch: int, value: float) -> bool:
        """Ask the pruner again about another last value, without side effects."""
        assert self._before is not None
        asked = copy.copy(self._before)
        asked.intermediate_values = {**self._before.intermediate_values, epoch: value}
        # Successive halving sets attributes on the trial. They must not influence the next
        # question, and Optuna cannot remove an attribute, so each one gets a fresh trial.
        replace_trial(self._study, self._trial, asked)
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            return not self._context.pruner.prune(self._study, asked)


def _frozen(seen: Result, number: int) -> FrozenTrial:
    """Return a finished trial as a pruner sees it; it needs no parameters."""
    trial = optuna.trial.create_trial(
        state=TRIAL_STATES[seen.state],
        value=seen.value,
        system_attrs=seen.attributes,
        intermediate_values=seen.intermediate,
    )
    trial.number = number  # Hyperband's bracket follows from it
    return trial


def _rule(pruner: optuna.pruners.BasePruner) -> str:
    """Return the pruner's name in words.

    >>> _rule(optuna.pruners.SuccessiveHalvingPruner())
    'successive halving'
    """
    name = type(pruner).__name__.removesuffix("Pruner")
    return "".join(" " + c.lower() if c.isupper() else c for c in name).strip()
