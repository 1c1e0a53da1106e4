"""The Dask engine's side in a worker of the cluster.

A worker trains at most one trial of ours at a time, in a thread of Dask's. What the trial has to
say goes into the driver's queue, which the scheduler keeps: once `put` has returned, the worker may
be killed and nothing of it is lost, and what one trial says stays in order. A bell then tells the
driver to look.
"""

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

import distributed

from nets import threads
from nets.errors import InputError
from studies.workers.admission import Description, programs
from studies.workers.attempt import dataset, run
from studies.workers.messages import Job, TrialEvent
from tracking.provenance import environment
from tracking.records import Environment

Data = tuple[str, str, str]
"""Name and SHA-256 of a dataset, and the driver's folder of its arrays."""

_stopping: set[str] = set()
"""Keys of the tasks of this process that are to stop at the end of their epoch."""


class _Unheard(BaseException):
    """Ends a training that nobody hears; its cause, if any, is why the scheduler cannot."""


def describe(data: Sequence[Data], modules: Sequence[str]) -> Description:
    """Say what this worker computes with, and whether it has the data."""
    try:
        for name, sha256, folder in data:
            dataset(folder, name, sha256)
        problem = None
    except InputError as error:
        problem = str(error)
    return Description(*_computed_with(tuple(modules)), problem)


@lru_cache(maxsize=16)
def _computed_with(modules: tuple[str, ...]) -> tuple[Environment, dict[str, str]]:
    """Describe this process, once: what it has loaded stays, whatever is installed later."""
    with threads.pinned():
        found = environment.capture(modules=modules)
    # The rest describes the machine; user, command and checkout are the driver's.
    found = replace(found, user=None, command=None, git=None, captured=None)
    return found, programs(modules)


def train(packed: bytes, queue_name: str, bell: str) -> None:
    """Run one job: a task of the driver's.

    Ends at the next epoch without a word when the driver is gone or has given the task up: the
    scheduler then takes the task back.
    """
    worker = distributed.get_worker()
    key = worker.get_current_task()
    queue = distributed.Queue(queue_name)
    job: Job = pickle.loads(packed)

    def send(event: TrialEvent) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing":
            raise _Unheard
        try:
            queue.put(pickle.dumps(event))
        except Exception as error:
            raise _Unheard from error
        worker.log_event(bell, None)

    try:
        run(job, send, lambda: key in _stopping)
    except _Unheard as end:
        if end.__cause__ is not None:
            raise end.__cause__ from None
    finally:
        _stopping.discard(key)
        queue.close()


def stop(keys: Iterable[str]) -> None:
    """Tell tasks of this worker to stop at the end of their epoch."""
    _stopping.update(keys)
