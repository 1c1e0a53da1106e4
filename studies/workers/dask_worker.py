"""What the Dask engine runs in a worker of the cluster.

A worker trains at most one of our trials at a time, in a thread of Dask's. The trial's events go
into the driver's queue, which the scheduler keeps: once `put` has returned, the worker may be
killed and nothing is lost, and the events of one trial stay in order. A log event then signals the
driver.

A study's own modules are the driver's: a worker that lacks them imports them from an archive.
"""

import contextlib
import hashlib
import importlib
import io
import os
import pickle
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import distributed
import psutil

from nets import threads
from nets.errors import InputError
from studies.workers import limits
from studies.workers.admission import Description, programs
from studies.workers.attempt import dataset, run
from studies.workers.messages import Job, TrialEvent
from tracking.provenance import environment, source_code
from tracking.records import Environment

Data = tuple[str, str, str]
"""Name and SHA-256 of a dataset, and the driver's folder of its arrays."""

_stopping: set[str] = set()
"""Keys of the tasks of this process that are to stop at the end of their epoch."""


def key_of(archive: bytes | None) -> str:
    """Return the name of an archive of modules; empty for none."""
    return "" if archive is None else hashlib.sha256(archive).hexdigest()


class _OwnModules:
    """The modules of the studies that this worker trains for, each study's from its own place.

    Two studies may have different modules of one name, or a study has changed its own.
    """

    def __init__(self) -> None:
        self._folders: dict[str, str | None] = {"": None}
        """Where each archive is unpacked, by its key; None for what the worker has itself."""
        self._in_use = ""
        self._loaded: dict[str, dict[str, ModuleType]] = {}
        """What was imported with each archive in use, but for the one that is."""

    def add(self, archive: bytes | None) -> str:
        """Use an archive of modules, unless this worker has equal ones; return its key."""
        key = key_of(archive)
        if archive is not None and key not in self._folders:
            self.use("")
            with zipfile.ZipFile(io.BytesIO(archive)) as opened:
                names = {path.partition("/")[0].removesuffix(".py") for path in opened.namelist()}
                digests = {name: source_code.digest(name) for name in names}
                # What is loaded may be older than the files it was loaded from.
                if not names & sys.modules.keys() and source_code.archive(digests) == archive:
                    self._folders[key] = None
                else:  # where Dask removes it
                    folder = Path(distributed.get_worker().local_directory) / f"retrial-{key[:12]}"
                    opened.extractall(folder)
                    self._folders[key] = str(folder)
        self.use(key)
        return key

    def use(self, key: str) -> None:
        """Have the modules of an archive imported from now on, and no other's."""
        if key == self._in_use:
            return
        before, folder = self._folders[self._in_use], self._folders[key]
        names = {name for place in (before, folder) if place for name in _names_in(place)}
        of_studies = [name for name in sys.modules if name.partition(".")[0] in names]
        self._loaded[self._in_use] = {name: sys.modules.pop(name) for name in of_studies}
        if before in sys.path:
            sys.path.remove(before)
        if folder is not None:
            sys.path.insert(0, folder)
        sys.modules.update(self._loaded.pop(key, {}))
        importlib.invalidate_caches()
        self._in_use = key


def _names_in(folder: str) -> set[str]:
    return {path.stem for path in Path(folder).iterdir()}


_own_modules = _OwnModules()


class _Abandoned(BaseException):
    """Ends a training whose driver has ended; its cause, if any, is a lost scheduler."""


def describe(
    data: Sequence[Data], modules: Sequence[str], archive: bytes | None = None
) -> Description:
    """Describe what this worker computes with, and whether it has the data.

    `modules` are the study's own; the worker takes them from `archive` if it lacks them.
    """
    key = _own_modules.add(archive)
    try:
        for name, sha256, folder in data:
            dataset(folder, name, sha256)
        problem = None
    except InputError as error:
        problem = str(error)
    return Description(*_computed_with(tuple(modules), key), problem)


@lru_cache(maxsize=16)
def _computed_with(modules: tuple[str, ...], key: str) -> tuple[Environment, dict[str, str]]:
    """Describe this process, once: it keeps what it has loaded, whatever is installed later.

    `key` is that of the archive in use.
    """
    with threads.pinned():
        found = environment.capture(modules=modules)
    # The rest describes the machine; user, command and checkout are the driver's.
    found = replace(found, user=None, command=None, git=None, captured=None)
    return found, programs(modules)


def train(packed: bytes, queue_name: str, topic: str, code: str) -> None:
    """Run one job: a task of the driver's. `code` is the key of its archive of modules.

    Ends silently at the next epoch when the driver has ended or abandoned the task: the scheduler
    then takes the task back.
    """
    worker = distributed.get_worker()
    key = worker.get_current_task()
    queue = distributed.Queue(queue_name)
    job: Job = pickle.loads(packed)
    _own_modules.use(code)

    def send(event: TrialEvent) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing":
            raise _Abandoned
        try:
            queue.put(pickle.dumps(event))
        except Exception as error:
            raise _Abandoned from error
        worker.log_event(topic, None)

    ended = threading.Event()
    if job.limits is not None:
        threading.Thread(target=_watch, args=(job, send, ended), daemon=True).start()
    try:
        run(job, send, lambda: key in _stopping)
    except _Abandoned as end:
        if end.__cause__ is not None:
            raise end.__cause__ from None
    finally:
        ended.set()
        _stopping.discard(key)
        queue.close()


def _watch(job: Job, send: Callable[[TrialEvent], None], ended: threading.Event) -> None:
    """End this process, and all that it has started, once its trial exceeds a limit.

    A thread cannot be ended alone. The worker's nanny starts another process.
    """
    began, own = time.monotonic(), os.getpid()
    while not ended.wait(limits.SECONDS_BETWEEN):
        memory = limits.resident([own])[own]
        failed = limits.failure(job, time.monotonic() - began, memory)
        if failed is not None:
            with contextlib.suppress(_Abandoned):
                send(failed)
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    process.kill()
            os._exit(1)


def stop(keys: Iterable[str]) -> None:
    """Request that tasks of this worker stop at the end of their epoch."""
    _stopping.update(keys)
