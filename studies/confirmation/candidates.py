"""The candidates: the best trials of a search, re-run under fresh seeds.

The best of many noisy trials is partly luck (selection bias). The mean under seeds that the search
did not choose among shows what the settings are worth; the difference to the search's value was
luck. The split of the training images stays that of the study: what the settings owe to its
validation images shows in the test result (`studies.confirmation.champion`).
"""

import math
import time
from collections.abc import Callable, Sequence

from nets.errors import InputError
from studies.analysis.stored_study import StoredStudy
from studies.confirmation.batch import Trained, repetition_seed, train_all
from studies.confirmation.intervals import difference_of, mean_of
from studies.search.session import Session
from studies.workers.messages import Job
from tracking.records import Direction, TrialRecord
from tracking.records.confirmation import (
    Candidate,
    Confirmation,
    Estimate,
    Repetition,
)


class Repetitions:
    """The repetitions of a study's best trials: those the ledger has, and those to be trained.

    The caller holds the study's lock. `top` is the number of trials, `seeds` that of repetitions
    of each. Raises InputError for a study without a complete trial.
    """

    def __init__(self, stored: StoredStudy, *, top: int, seeds: int) -> None:
        self.top = top
        self.seeds = seeds
        self.trials = stored.ranked()[:top]
        self._stored = stored
        if not self.trials:
            raise InputError("study", problem=f"{stored.study.name} has no complete trial yet")
        self._done = dict(stored.record.notes.repetitions)

    @property
    def missing(self) -> list[tuple[TrialRecord, int]]:
        """The repetitions that have yet to be trained, the first of every trial first."""
        return [
            (trial, number)
            for number in range(1, self.seeds + 1)
            for trial in self.trials
            if (trial.number, number) not in self._done
        ]

    def train(
        self, session: Session, processes: int, finished: Callable[[Repetition], None]
    ) -> None:
        """Train those that are missing, side by side; commit each, then call `finished`."""
        study, missing = self._stored.study, self.missing
        jobs = [
            session.job(
                trial.number,
                {
                    **trial.settings,
                    "seed": repetition_seed(study.section.seed, trial.number, number),
                },
            )
            for trial, number in missing
        ]
        for trained in train_all(jobs, processes):
            trial, number = missing[trained.place]
            repetition = _repetition(number, jobs[trained.place], trained)
            done = {(trial.number, number): repetition}
            self._stored.ledger.update_notes(study.name, repetitions=done)
            self._done |= done
            finished(repetition)

    def compare(self) -> Confirmation:
        """Return the confirmation, once no repetition is missing."""
        section = self._stored.study.section
        candidates = tuple(
            candidate(
                trial,
                [self._done[trial.number, number] for number in range(1, self.seeds + 1)],
                section.metric,
                section.direction,
            )
            for trial in self.trials
        )
        winner, lead = elect(candidates, section.direction)
        return Confirmation(
            study=section.name,
            metric=section.metric,
            direction=section.direction,
            top=self.top,
            seeds=self.seeds,
            finished=sum(trial.state != "running" for trial in self._stored.trials),
            at=time.time(),
            candidates=candidates,
            winner=winner,
            lead=lead,
        )


def candidate(
    trial: TrialRecord, repetitions: Sequence[Repetition], metric: str, direction: Direction
) -> Candidate:
    """Return a trial with its mean under fresh seeds, and the luck of the search.

    Equal values under different seeds do not show what luck can do: then it is None.
    """
    value = trial.value
    assert value is not None
    numbers = _values(repetitions)
    if len(numbers) < len(repetitions):
        return Candidate(trial.number, value, tuple(repetitions), mean=None, luck=None)
    is_proportion = metric.endswith("accuracy")
    mean = mean_of(numbers, 0.0, 1.0) if is_proportion else mean_of(numbers)
    is_measured = len(numbers) == 1 or len(set(numbers)) > 1
    luck = luck_of(value, mean, direction) if is_measured else None
    return Candidate(trial.number, value, tuple(repetitions), mean, luck)


def luck_of(value: float, mean: Estimate, direction: Direction) -> Estimate:
    """Return by how much a value is better than a mean: its selection bias (luck).

    Only the mean varies: the interval is the mean's, relative to the value.

    >>> luck_of(0.97, Estimate(0.95, 0.94, 0.96), Direction.MAXIMIZE).rounded()
    (0.02, 0.01, 0.03)
    >>> luck_of(0.10, Estimate(0.13, 0.12, 0.14), Direction.MINIMIZE).rounded()
    (0.03, 0.02, 0.04)
    """
    sign = direction.sign
    if mean.low is None or mean.high is None:
        return Estimate(sign * (value - mean.value))
    ends = sorted(sign * (value - end) for end in (mean.low, mean.high))
    return Estimate(sign * (value - mean.value), *ends)


def elect(
    candidates: Sequence[Candidate], direction: Direction
) -> tuple[int | None, Estimate | None]:
    """Return the winner, and by how much its mean is better than the next one's.

    The best mean wins; of equal ones the trial with the lower number. A candidate with a
    repetition without a value cannot win; where no other is left there is no winner.
    """
    sign = direction.sign
    ranked = sorted(
        (-sign * candidate.mean.value, candidate.trial, candidate)
        for candidate in candidates
        if candidate.mean is not None
    )
    if not ranked:
        return None, None
    if len(ranked) == 1:
        return ranked[0][1], None
    first, second = (_values(candidate.repetitions) for _, _, candidate in ranked[:2])
    lead = difference_of(first, second) if sign > 0 else difference_of(second, first)
    return ranked[0][1], lead


def _values(repetitions: Sequence[Repetition]) -> list[float]:
    return [again.value for again in repetitions if again.value is not None]


def _repetition(number: int, job: Job, trained: Trained) -> Repetition:
    """Return what is stored of a training: its value, and the digest of its weights."""
    outcome = trained.end.outcome
    value, error = outcome.value, outcome.error
    kept = next((e for e in trained.epochs if e.number == outcome.epoch), None)
    return Repetition(
        trial=job.trial,
        number=number,
        seed=job.settings["seed"],
        value=value if value is not None and math.isfinite(value) else None,
        epoch=outcome.epoch,
        reason="failed" if error else outcome.reason or "finished",
        seconds=trained.seconds,
        weights=None if kept is None else kept.digests.get("weights"),
        error=None if error is None else error.summary,
    )
