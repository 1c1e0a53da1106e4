"""Workers on this machine: one loky executor of one process each.

One process per executor, so that a crash identifies its trial and affects no other. Each worker has
its own pipe to the driver, never a shared queue, which a worker killed in the middle of a message
would leave locked.
"""

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import get_context

from nets.state import PackedModel
from studies.workers import limits
from studies.workers.engine import EngineLost
from studies.workers.messages import (
    EpochDone,
    Event,
    Job,
    Limits,
    TrialDone,
    TrialEvent,
    TrialStopped,
    WorkerCrashed,
)
from studies.workers.processes import (
    MARK,
    end_marked,
    ignore_signals,
    leave_process_group,
    signals_held,
)
from studies.workers.stdio import stdout_to_stderr
from tracking.provenance import source_code

ONE_THREAD = {
    # The bits of a float32 product depend on the number of BLAS threads, so it is always one.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}

MOST_STARTS = 3
"""Processes in a row that may end before they begin with their job; then none can be started."""


class LocalEngine:
    """`count` worker processes of this machine.

    `environment` is set in each worker before it loads NumPy. `code` are digests of the modules
    that trials are recorded with: a worker keeps what it has imported, but the replacement of a
    crashed worker would import the code on disk by then.
    """

    def __init__(
        self,
        count: int,
        environment: dict[str, str] | None = None,
        code: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = {**ONE_THREAD, **(environment or {})}
        self._code = code or {}
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._measured = 0.0
        try:
            for i in range(count):
                self._workers.append(self._started(f"worker {i}"))
        except BaseException:  # also Ctrl-C; Python would wait for these workers at exit
            self.close()
            raise

    @property
    def free(self) -> int:
        """How many jobs can be started now."""
        return sum(worker.job is None for worker in self._workers)

    def start(self, job: Job) -> str:
        """Start a job on a free worker and return the worker's name."""
        worker = next(worker for worker in self._workers if worker.job is None)
        worker.start(job)  # `events` finds out whether it began with it
        return worker.name

    def events(self, timeout: float) -> Iterable[Event]:
        """Return what happened; wait up to `timeout` seconds for the first event."""
        busy = [worker for worker in self._workers if worker.job is not None]
        if any(worker.limits for worker in busy):
            timeout = min(timeout, limits.SECONDS_BETWEEN)
        ready = wait([worker.connection for worker in busy], timeout) if busy else ()
        memory = self._memory(busy)
        for worker in busy:
            assert worker.job is not None
            trial, attempt = worker.job.trial, worker.job.attempt
            if worker.connection not in ready and not worker.has_ended:
                if (failed := worker.exceeds_limit(memory)) is not None:
                    _end([worker])
                    yield failed
                    self._replace(worker)
                continue
            try:
                event = worker.receive()
            except (EOFError, OSError):
                reason = worker.cause_of_crash()
                if worker.has_begun:
                    self._replace(worker)
                    yield WorkerCrashed(trial, attempt, reason)
                else:
                    self._start_again(worker, worker.job, reason)
                continue
            if (event.trial, event.attempt) != (trial, attempt):
                continue  # of an attempt that is over
            if isinstance(event, _Begun):
                worker.has_begun = True
                worker.began = time.monotonic()
                self._failed_starts = 0
                continue
            if isinstance(event, WorkerCrashed):
                self._replace(worker)  # a fresh one has its memory and file handles back
            elif isinstance(event, TrialDone | TrialStopped):
                worker.job = None
            yield event
            del event  # its model, which may be large, while the next one is received

    def _memory(self, busy: "Sequence[_Worker]") -> dict[int, int]:
        """Return the resident memory of limited workers by process, if it is time to measure it."""
        limited = [worker.pid for worker in busy if worker.limits and worker.limits.bytes]
        if not limited or time.monotonic() - self._measured < limits.SECONDS_BETWEEN:
            return {}
        self._measured = time.monotonic()
        return limits.resident(limited)

    def stop_trials(self) -> None:
        """Request that all running trials stop at the end of their epoch."""
        for worker in self._workers:
            if worker.job is not None:
                worker.post("stop")

    def close(self) -> None:
        """End all workers, at once."""
        _end(self._workers)

    def _started(self, name: str) -> "_Worker":
        """Start a worker; raises EngineLost where that fails."""
        try:
            return _Worker(name, self._environment)
        except (OSError, RuntimeError, MemoryError) as error:  # no thread is a RuntimeError
            raise _not_started(name, f"{type(error).__name__}: {error}") from error

    def _start_again(self, worker: "_Worker", job: Job, reason: str) -> None:
        """Send a job to the replacement of a worker that ended before it began with it.

        That says nothing about the job, so it is no crash of its trial: the process was killed
        while it was idle, or none can be started.
        """
        self._failed_starts += 1
        if self._failed_starts == MOST_STARTS:
            raise _not_started(worker.name, f"its process ended {MOST_STARTS} times with {reason}")
        self._replace(worker).start(job)

    def _replace(self, worker: "_Worker") -> "_Worker":
        """Replace the process of a crashed worker under the same name.

        Raises EngineLost where the code on disk has changed.
        """
        for name, began in self._code.items():
            if source_code.digest(name) != began:
                raise EngineLost(
                    f"{worker.name} crashed, and the code of {name} has changed since this search "
                    "began, so a new worker would not train with the recorded code; the same "
                    "command continues, with today's code"
                )
        _end([worker])
        fresh = self._started(worker.name)
        self._workers[self._workers.index(worker)] = fresh
        return fresh


def _not_started(name: str, reason: str) -> EngineLost:
    """Return the error of a worker that cannot be started."""
    if not os.access(sys.executable, os.X_OK):
        reason = f"{sys.executable} is no program that this user may execute"
    return EngineLost(
        f"{name} cannot be started: {reason}; once that is fixed, the same command continues"
    )


def _end(workers: "Sequence[_Worker]") -> None:
    """Kill the processes of workers, and everything that they have started."""
    for worker in workers:
        worker.end()
    end_marked({worker.mark for worker in workers})


class _Worker:
    """The driver's side of one worker process."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        self.name = name
        self.job: Job | None = None
        self.has_begun = False
        """Whether the process has begun with the job."""
        self.began = 0.0
        """When it began, on the monotonic clock."""
        self.mark = uuid.uuid4().hex
        self._known = 0  # trials that it has received with earlier jobs,
        self._retries = 0  # whose histories have this in common
        context = get_context("loky")
        self.connection, far = context.Pipe(duplex=True)
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            context=context,
            initializer=_initialize,
            initargs=(far, list(sys.path)),
            env={**environment, MARK: self.mark},
        )
        # The process starts with the first submission; only then does it get its end of the pipe.
        try:
            with signals_held():
                self._executor.submit(_serve)
        except BaseException:
            self._executor.shutdown(wait=False, kill_workers=True)
            raise
        (self._process,) = self._executor._processes.values()
        far.close()
        self._unsent: SimpleQueue[bytes | None] = SimpleQueue()
        arguments = (self.connection, self._unsent)
        threading.Thread(target=_send, args=arguments, daemon=True).start()

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended.

        Its sentinel does not say: that is the end of a pipe too, which its children may hold open.
        """
        return self._process.exitcode is not None

    @property
    def pid(self) -> int:
        """The id of the process."""
        return int(self._process.pid)

    @property
    def limits(self) -> Limits | None:
        """The limits of the job, once the process has begun with it."""
        return self.job.limits if self.job is not None and self.has_begun else None

    def exceeds_limit(self, memory: Mapping[int, int]) -> TrialDone | None:
        """Return the end of a job that has exceeded a limit; `memory` is what processes hold."""
        if self.job is None or self.limits is None:
            return None
        seconds = time.monotonic() - self.began
        return limits.failure(self.job, seconds, memory.get(self.pid, 0))

    def receive(self) -> "TrialEvent | _Begun":
        """Return the next message; raises EOFError or OSError when there will be none."""
        # A process that has ended writes nothing more, though a child may hold its pipe open.
        if self.has_ended and not self.connection.poll():
            raise EOFError
        # The bytes that follow a message are received where it refers to them.
        event: TrialEvent | _Begun = pickle.loads(
            self.connection.recv_bytes(), buffers=iter(self.connection.recv_bytes, None)
        )
        return event

    def start(self, job: Job) -> None:
        """Send a job."""
        self.job, self.has_begun = job, False
        if (context := job.pruning) is not None:
            # The whole history with each job would soon take longer than the job.
            known = self._known if context.retries == self._retries else 0
            job = replace(job, pruning=context.after(known))
            self._known, self._retries = max(known, context.known), context.retries
        self.post(job)

    def post(self, message: Job | str) -> None:
        """Send a message in a thread: a worker that does not read must not block the driver."""
        self._unsent.put(pickle.dumps(message))

    def cause_of_crash(self) -> str:
        """Return what is known about the end of the process."""
        last = time.monotonic() + 10
        while not self.has_ended and time.monotonic() < last:
            time.sleep(0.01)  # its pipe closes a moment before it ends
        code = self._process.exitcode
        if code is None:
            return "it closed its connection"
        names = {-number: number.name for number in signal.Signals}
        return f"{names.get(code, 'EXIT' if code >= 0 else 'SIGNAL')}({code})"

    def end(self) -> None:
        """Kill the process and its group; release what the driver holds of it."""
        # The id of a process that ended long ago, while it was idle, may be another's by now.
        if self.job is not None or not self.has_ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # none is left
                os.killpg(self._process.pid, signal.SIGKILL)
        self._executor.shutdown(wait=True, kill_workers=True)
        self._unsent.put(None)


def _send(connection: Connection, unsent: "SimpleQueue[bytes | None]") -> None:
    while (message := unsent.get()) is not None:
        with contextlib.suppress(OSError):  # the worker has crashed, which `events` reports
            connection.send_bytes(message)
    connection.close()  # here, since it must not be closed while it is written to


@dataclass(frozen=True)
class _Begun:
    """A worker has begun with its job: until then, its end says nothing about the job."""

    trial: int
    attempt: int


# The worker's side. Its state is the process's: one connection, one flag.

_connection: Connection
_stopping = threading.Event()
_jobs: SimpleQueue[Job] = SimpleQueue()


def _initialize(connection: Connection, path: list[str]) -> None:
    """Prepare a fresh worker process."""
    global _connection
    _connection = connection
    sys.path[:] = path
    leave_process_group()
    ignore_signals()
    stdout_to_stderr()
    # Children of the objective must not hold the pipe open after this process has crashed.
    os.set_inheritable(connection.fileno(), False)
    os.register_at_fork(after_in_child=connection.close)
    threading.Thread(target=_receive, daemon=True).start()


def _receive() -> None:
    """Receive messages from the driver; exit at once when it has ended."""
    while True:
        try:
            message: Any = _connection.recv()
        except BaseException:  # mostly EOFError; a worker without a driver must not train on
            end_marked({os.environ[MARK]})  # everything it started
            os.killpg(os.getpgrp(), signal.SIGKILL)
        if isinstance(message, Job):
            _stopping.clear()
            _jobs.put(message)
        else:
            _stopping.set()


def _send_event(event: "TrialEvent | _Begun") -> None:
    """Send an event to the driver; what is packed follows in messages of its own.

    Within a pickle, the driver would have it in memory twice: in the message and in the event.
    """
    apart: list[pickle.PickleBuffer] = []
    match event:
        case EpochDone(state=bytes() as state):
            event = replace(event, state=pickle.PickleBuffer(state))  # type: ignore[arg-type]
        case TrialDone(model=PackedModel(arrays=arrays) as model):
            buffer: Any = pickle.PickleBuffer(arrays)
            files: Any = {path: pickle.PickleBuffer(file) for path, file in model.files.items()}
            event = replace(event, model=replace(model, arrays=buffer, files=files))
    _connection.send_bytes(pickle.dumps(event, protocol=5, buffer_callback=apart.append))
    for part in apart:
        _connection.send_bytes(part)


def _serve() -> None:
    """Run one job after another."""
    try:
        from studies.workers.attempt import run

        while True:
            job = _jobs.get()
            _send_event(_Begun(job.trial, job.attempt))
            run(job, _send_event, _stopping.is_set)
    except BaseException:  # the driver has ended, or must see a crash: never silence
        os._exit(1)
