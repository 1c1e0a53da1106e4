"""The same settings again under fresh seeds: a fixed batch of trainings, side by side.

`joblib.Parallel` runs it, since no training depends on another. Whoever calls is handed each one as
it finishes, and may commit it; the order in which that happens means nothing.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from joblib import Parallel, delayed, parallel_config

from nets.randomness import derived_seed
from studies.following import follow
from studies.job import MOST_DEATHS, EpochDone, Event, Job, TrialDone, WorkerDied
from studies.output import printing_to_errors
from studies.worker import run


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


def train_all(
    jobs: Sequence[Job], processes: int, *, apart: bool = False, models: bool = False
) -> Iterator[Trained]:
    """Train every job and yield each when it has finished, with its model only if asked to.

    With one process they run here, one after the other, unless they have to be `apart` because
    the environment has changed since NumPy was loaded here. With any number they give the same
    bits: each computes with one BLAS thread.
    """
    with parallel_config(
        "loky", inner_max_num_threads=1, initializer=follow, initargs=(os.getpid(),)
    ):
        # One job a task: in a batch, a finished one would wait for the others to be committed.
        parallel = Parallel(
            max(processes, 2) if apart else processes,
            batch_size=1,
            return_as="generator_unordered",
        )
        yield from parallel(delayed(_train)(job, place, models) for place, job in enumerate(jobs))


def _train(job: Job, place: int, models: bool) -> Trained:
    trained = train(job, place)
    return trained if models else replace(trained, end=replace(trained.end, model=None))
