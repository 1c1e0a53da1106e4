"""The same settings again under fresh seeds: a fixed batch of trainings, side by side.

`joblib.Parallel` runs it, since no training depends on another. Whoever calls is handed each one as
it finishes, and may commit it; the order in which that happens means nothing. All train in other
processes, never in this one: an objective may be anybody's, and may end its process.
"""

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from nets.randomness import derived_seed
from studies.workers.attempt import run
from studies.workers.messages import MOST_DEATHS, EpochDone, Event, Job, TrialDone, WorkerDied
from studies.workers.processes import follow, signals_held
from studies.workers.stdio import printing_to_errors


@dataclass(frozen=True)
class Trained:
    """One training from beginning to end; `place` is that of its job among those given."""

    place: int
    epochs: tuple[EpochDone, ...]
    end: TrialDone

    @property
    def seconds(self) -> float:
        """Seconds that its epochs took together."""
        return sum(epoch.seconds for epoch in self.epochs)


def repetition_seed(study_seed: int, trial: int, repetition: int) -> int:
    """Return the seed of one repetition of a trial; repetitions count from 1.

    The search's own seed is that of the path (trial,). NumPy's SeedSequence takes numbers that are
    left out for zeros, so repetition 0 would be the search's own again: there is none.

    >>> repetition_seed(0, 7, 1) == derived_seed(0, 7), derived_seed(0, 7, 0) == derived_seed(0, 7)
    (False, True)
    """
    if repetition < 1:
        raise ValueError(f"repetition: got {repetition}, accepted is at least 1")
    return derived_seed(study_seed, trial, repetition)


def champion_seed(study_seed: int, trial: int) -> int:
    """Return the seed of the winner's last training, which no trial and no repetition has."""
    return derived_seed(study_seed, trial, 0, 1)


def train(job: Job, place: int = 0) -> Trained:
    """Train one job here; a training that fails ends with the state ``failed``.

    Where the machine lacks something it gets as many chances as in a search.
    """
    deaths = 0
    while True:
        events: list[Event] = []
        with printing_to_errors():
            run(job, events.append, stopping=lambda: False)
        end = events[-1]
        if isinstance(end, WorkerDied):
            deaths += 1
            if deaths < MOST_DEATHS:
                continue
            end = end.as_failure(deaths)
        assert isinstance(end, TrialDone)
        epochs = tuple(event for event in events if isinstance(event, EpochDone))
        return Trained(place, epochs, end)


def train_all(jobs: Sequence[Job], processes: int, *, models: bool = False) -> Iterator[Trained]:
    """Train every job and yield each when it has finished, with its model only if asked to.

    With any number of processes they give the same bits: each computes with one BLAS thread.

    A process that dies takes the others' trainings with it, and nobody says whose fault it was. So
    those that are left are then trained one at a time; one that is alone when its process dies, as
    often as a trial of a search may, has failed.
    """
    left = dict(enumerate(jobs))
    try:
        for trained in _side_by_side(list(left.items()), processes, models):
            del left[trained.place]
            yield trained
    except TerminatedWorkerError:
        for place, job in left.items():
            yield _alone(place, job, models)


def _side_by_side(
    jobs: Sequence[tuple[int, Job]], processes: int, models: bool
) -> Iterator[Trained]:
    with parallel_config(
        "loky", inner_max_num_threads=1, initializer=follow, initargs=(os.getpid(),)
    ):
        parallel = Parallel(
            max(processes, 2),  # the library trains in this process where there is one only
            pre_dispatch=processes,
            # One job a task: in a batch, a finished one would wait for the others to be committed.
            batch_size=1,
            return_as="generator_unordered",
        )
        with signals_held():  # the processes start with the first jobs
            results = parallel(delayed(_train)(job, place, models) for place, job in jobs)
        try:
            # `yield from` would close them itself, before the warning can be held back.
            for trained in results:  # noqa: UP028
                yield trained
        finally:
            # Broken off, it warns that tasks were cancelled: just that was wanted.
            with warnings.catch_warnings(action="ignore"):
                results.close()


def _alone(place: int, job: Job, models: bool) -> Trained:
    """Train one job with nobody beside it, so that a death is its own."""
    died = WorkerDied(job.trial, job.attempt, "")
    for _ in range(MOST_DEATHS):
        try:
            (trained,) = _side_by_side([(place, job)], 1, models)
        except TerminatedWorkerError as error:
            died = replace(died, reason=_cause_of_death(error))
        else:
            return trained
    return Trained(place, (), died.as_failure(MOST_DEATHS))


def _cause_of_death(error: TerminatedWorkerError) -> str:
    """Return what the library knows of it: ``... The exit codes ... are {SIGKILL(-9)}``."""
    code = re.search(r"\{(.+)\}", str(error))
    return code[1] if code else " ".join(str(error).split())[:300]


def _train(job: Job, place: int, models: bool) -> Trained:
    trained = train(job, place)
    return trained if models else replace(trained, end=replace(trained.end, model=None))
