"""A fixed batch of independent trainings in parallel: the same settings under fresh seeds.

`joblib.Parallel` runs them, since no training depends on another. Each is yielded as it finishes,
so that the caller can commit it; the order means nothing. All train in other processes, never in
this one: an objective may be anyone's, and may end its process.
"""

import itertools
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from nets.randomness import derived_seed
from studies.workers.attempt import run
from studies.workers.messages import MAX_CRASHES, EpochDone, Event, Job, TrialDone, WorkerCrashed
from studies.workers.processes import exit_with, signals_held
from studies.workers.stdio import redirected_to_stderr


@dataclass(frozen=True)
class Trained:
    """One training from beginning to end; `place` is the index of its job."""

    place: int
    epochs: tuple[EpochDone, ...]
    end: TrialDone

    @property
    def imported(self) -> dict[str, str] | None:
        """What the process had imported from elsewhere at the end."""
        known = (event.imported for event in (self.end, *reversed(self.epochs)))
        return next((found for found in known if found is not None), None)

    @property
    def seconds(self) -> float:
        """Seconds of all its epochs."""
        return sum(epoch.seconds for epoch in self.epochs)


def repetition_seed(study_seed: int, trial: int, repetition: int) -> int:
    """Return the seed of one repetition of a trial; repetitions count from 1.

    The search's own seed is that of the path (trial,). NumPy's SeedSequence treats missing numbers
    as zeros, so repetition 0 would have the search's own seed: there is none.

    >>> repetition_seed(0, 7, 1) == derived_seed(0, 7), derived_seed(0, 7, 0) == derived_seed(0, 7)
    (False, True)
    """
    if repetition < 1:
        raise ValueError(f"repetition: got {repetition}, expected an integer of at least 1")
    return derived_seed(study_seed, trial, repetition)


def champion_seed(study_seed: int, trial: int, champion: int = 1) -> int:
    """Return the seed of a final training of the winner, which no trial and no repetition has.

    Champions count from 1.
    """
    return derived_seed(study_seed, trial, 0, champion)


def train(job: Job, place: int = 0) -> Trained:
    """Train one job here; a training that fails ends with the state ``failed``.

    Resource errors are retried as often as in a search.
    """
    for _ in range(MAX_CRASHES):
        events: list[Event] = []
        with redirected_to_stderr():
            run(job, events.append, stopping=lambda: False)
        if not isinstance(events[-1], WorkerCrashed):
            break
    end = events[-1]
    if isinstance(end, WorkerCrashed):
        end = end.as_failure(MAX_CRASHES)
    assert isinstance(end, TrialDone)
    epochs = tuple(event for event in events if isinstance(event, EpochDone))
    return Trained(place, epochs, end)


def train_all(jobs: Sequence[Job], processes: int, *, models: bool = False) -> Iterator[Trained]:
    """Train every job and yield each when it has finished, with its model only on request.

    At most `processes` train at the same time. In the last round, where there are fewer jobs, each
    has as many threads as there are processes for it. Neither number changes a bit: BLAS has one
    thread.

    A process that crashes fails all other trainings too, and does not identify its own. The
    remaining ones are then trained one at a time; one that crashes alone, as often as a trial of a
    search may, has failed.
    """
    if not jobs:
        return
    left = dict(enumerate(_with_threads(jobs, processes)))
    try:
        for trained in _side_by_side(list(left.items()), min(processes, len(jobs)), models):
            del left[trained.place]
            yield trained
    except TerminatedWorkerError:
        for place, job in left.items():
            yield _alone(place, job, models)


def _with_threads(jobs: Sequence[Job], processes: int) -> list[Job]:
    """Return the jobs; those of the last round share the cores that it would leave idle."""
    last = len(jobs) % processes or processes
    first = len(jobs) - last
    return [*jobs[:first], *(replace(job, threads=processes // last) for job in jobs[first:])]


def _side_by_side(
    jobs: Sequence[tuple[int, Job]], processes: int, models: bool
) -> Iterator[Trained]:
    yield from in_processes([delayed(_train)(job, place, models) for place, job in jobs], processes)


def in_processes(calls: Sequence[Any], processes: int, *, fresh: bool = False) -> Iterator[Any]:
    """Make calls, of joblib's `delayed`, in other processes; yield each result when it is there.

    joblib uses its processes again as long as their arguments are the same, unless `fresh`.
    """
    arguments = (os.getpid(), tuple(sys.path), next(_batches) if fresh else 0)
    with parallel_config(
        "loky", inner_max_num_threads=1, initializer=_initialize, initargs=arguments
    ):
        parallel = Parallel(
            max(processes, 2),  # with one, the library trains in this process
            pre_dispatch=processes,
            # One job per task: in a batch, a finished one would wait for others to be committed.
            batch_size=1,
            return_as="generator_unordered",
        )
        with signals_held():  # the processes start with the first jobs
            results = parallel(iter(calls))
        try:
            # `yield from` would close them itself, before the warning can be suppressed.
            for result in results:  # noqa: UP028
                yield result
        finally:
            # When interrupted, it warns that tasks were cancelled, which was intended.
            with warnings.catch_warnings(action="ignore"):
                results.close()


_batches = itertools.count(1)


def _initialize(driver: int, path: Sequence[str], batch: int) -> None:
    """Begin a process that imports what the driver does, and ends with it."""
    sys.path[:] = path
    exit_with(driver)


def _alone(place: int, job: Job, models: bool) -> Trained:
    """Train one job with no other beside it, so that a crash is its own."""
    crash = WorkerCrashed(job.trial, job.attempt, "")
    for _ in range(MAX_CRASHES):
        try:
            (trained,) = _side_by_side([(place, job)], 1, models)
        except TerminatedWorkerError as error:
            crash = replace(crash, reason=_cause_of(error))
        else:
            return trained
    return Trained(place, (), crash.as_failure(MAX_CRASHES))


def _cause_of(error: TerminatedWorkerError) -> str:
    """Return what the library knows: ``... The exit codes ... are {SIGKILL(-9)}``."""
    code = re.search(r"\{(.+)\}", str(error))
    return code[1] if code else " ".join(str(error).split())[:300]


def _train(job: Job, place: int, models: bool) -> Trained:
    trained = train(job, place)
    return trained if models else replace(trained, end=replace(trained.end, model=None))
