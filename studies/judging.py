"""Asking a pruner, in a worker, by the rule of the search.

The pruner sees trials 0..k-W with their results and the ones after them as running, as the sampler
did when the trial was asked; so what it decides is a function of the study file and of those
trials, not of what has finished meanwhile.
"""

import copy
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from studies.job import Judge, Seen

optuna.logging.set_verbosity(optuna.logging.WARNING)

_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


class PrunerStudy:
    """A private in-memory study in which one trial reports its values and asks its pruner."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        # The name matters: Hyperband's bracket is a function of study name and trial number.
        self._study = optuna.create_study(
            storage=InMemoryStorage(),
            study_name=judge.study,
            direction=judge.direction,
            pruner=judge.pruner,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        for seen in judge.history:
            self._study.add_trial(_frozen(seen))
        for _ in range(len(judge.history), judge.number + 1):
            self._study.add_trial(optuna.trial.create_trial(state=TrialState.RUNNING))
        storage = self._study._storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(
            self._study._study_id, judge.number
        )
        self._trial = optuna.Trial(self._study, trial_id)
        self._last: tuple[int, float] | None = None
        self._before: optuna.trial.FrozenTrial | None = None
        # A trial that continues was not pruned in its past; asking again restores the marks the
        # pruner left on it.
        for epoch, value in judge.past.items():
            self.prunes(epoch, value)

    def prunes(self, epoch: int, value: float) -> bool:
        """Report the value of an epoch and ask whether the trial ends there."""
        self._last = (epoch, value)
        self._before = self._study._storage.get_trial(self._trial._trial_id)
        self._trial.report(value, epoch)
        with _quiet():
            return bool(self._trial.should_prune())

    @property
    def attributes(self) -> dict[str, Any]:
        """What the pruner has set on the trial."""
        return dict(self._study._storage.get_trial_system_attrs(self._trial._trial_id))

    def explain(self) -> dict[str, Any]:
        """Say why the trial was pruned: rule, epoch, value, and what would have survived.

        The threshold is found by asking the same pruner on a copy of the study with other last
        values. Where no value survives (or the pruner ignores it) there is no threshold.
        """
        assert self._last is not None
        epoch, value = self._last
        found = {"rule": _rule(self._judge.pruner), "epoch": epoch, "value": value}
        storage, trial_id = self._study._storage, self._trial._trial_id
        assert isinstance(storage, InMemoryStorage)
        pruned = storage.get_trial(trial_id)
        threshold = self._threshold(epoch, value)
        storage._set_trial(trial_id, pruned)
        return found if threshold is None else {**found, "survives_from": threshold}

    def _threshold(self, epoch: int, value: float) -> float | None:
        """Return the worst last value with which the trial would have gone on, or None."""
        better = 1.0 if self._judge.direction == "maximize" else -1.0
        known = [v for seen in self._judge.history for v in seen.intermediate.values()]
        known = [v for v in [*known, value] if math.isfinite(v)]
        if not known or not math.isfinite(value):
            return None
        best = better * max(better * v for v in known)
        beyond = best + better * max(1.0, abs(best))
        # A pruner with a bound on both sides keeps neither of the two, but maybe one nearer by.
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
        """Ask the pruner again with another last value, and leave no mark of having asked."""
        storage, trial_id = self._study._storage, self._trial._trial_id
        assert isinstance(storage, InMemoryStorage)
        assert self._before is not None
        asked = copy.copy(self._before)
        asked.intermediate_values = {**self._before.intermediate_values, epoch: value}
        # Successive halving marks the trial it judges; the marks of a question must not compete
        # in the next one, and Optuna has no way to take an attribute back.
        storage._set_trial(trial_id, asked)
        with _quiet():
            return not self._judge.pruner.prune(self._study, asked)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep NumPy from warning of a trial that has no value but NaN so far."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _frozen(seen: Seen) -> optuna.trial.FrozenTrial:
    """Return a finished trial as a pruner sees it; it needs no parameters."""
    parameters: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    return optuna.trial.create_trial(
        state=_STATES[seen.state],
        value=seen.value,
        params=parameters,
        distributions=distributions,
        system_attrs=seen.attributes,
        intermediate_values=seen.intermediate,
    )


def _rule(pruner: optuna.pruners.BasePruner) -> str:
    """Return the pruner's name in words.

    >>> _rule(optuna.pruners.SuccessiveHalvingPruner())
    'successive halving'
    """
    name = type(pruner).__name__.removesuffix("Pruner")
    return "".join(" " + c.lower() if c.isupper() else c for c in name).strip()
