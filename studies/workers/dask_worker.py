"""What the Dask engine runs in a worker of the cluster.

A worker trains at most one of our trials at a time, in a thread of Dask's. The trial's events go
into the driver's queue, which the scheduler keeps: once `put` has returned, the worker may be
killed and nothing is lost, and the events of one trial stay in order. A log event then signals the
driver.
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


class _Abandoned(BaseException):
    """Ends a training whose driver has ended; its cause, if any, is a lost scheduler."""


def describe(data: Sequence[Data], modules: Sequence[str]) -> Description:
    """Describe what this worker computes with, and whether it has the data."""
    try:
        for name, sha256, folder in data:
            dataset(folder, name, sha256)
        problem = None
    except InputError as error:
        problem = str(error)
    return Description(*_computed_with(tuple(modules)), problem)


@lru_cache(maxsize=16)
def _computed_with(modules: tuple[str, ...]) -> tuple[Environment, dict[str, str]]:
    """Describe this process, once: it keeps what it has loaded, whatever is installed later."""
    with threads.pinned():
        found = environment.capture(modules=modules)
    # The rest describes the machine; user, command and checkout are the driver's.
    found = replace(found, user=None, command=None, git=None, captured=None)
    return found, programs(modules)


def train(packed: bytes, queue_name: str, topic: str) -> None:
    """Run one job: a task of the driver's.

    Ends silently at the next epoch when the driver has ended or abandoned the task: the scheduler
    then takes the task back.
    """
    worker = distributed.get_worker()
    key = worker.get_current_task()
    queue = distributed.Queue(queue_name)
    job: Job = pickle.loads(packed)

    def send(event: TrialEvent) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing":
            raise _Abandoned
        try:
            queue.put(pickle.dumps(event))
        except Exception as error:
            raise _Abandoned from error
        worker.log_event(topic, None)

    try:
        run(job, send, lambda: key in _stopping)
    except _Abandoned as end:
        if end.__cause__ is not None:
            raise end.__cause__ from None
    finally:
        _stopping.discard(key)
        queue.close()


def stop(keys: Iterable[str]) -> None:
    """Request that tasks of this worker stop at the end of their epoch."""
    _stopping.update(keys)
