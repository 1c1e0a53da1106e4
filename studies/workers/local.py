"""Workers on this machine: one loky executor of one process each.

One process per executor, so that a death names its trial and costs no other. Each worker has a
pipe of its own to the driver, never a shared queue, which a worker killed in the middle of a
message would leave locked.
"""

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import get_context

from studies.workers.engine import EngineLost
from studies.workers.messages import Event, Job, TrialDone, TrialEvent, TrialStopped, WorkerDied
from studies.workers.processes import ignore_signals, signals_held, stand_apart
from studies.workers.stdio import output_is_errors
from tracking.provenance import source_code

ONE_THREAD = {
    # The bits of a float32 product depend on the number of BLAS threads, so it is always one.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class LocalEngine:
    """`count` worker processes of this machine.

    `environment` is set in each worker before it loads NumPy. `code` are digests of the modules
    that trials are recorded with: a worker keeps what it has imported, but one that takes a dead
    one's place would import what is there by then.
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
        try:
            for i in range(count):
                self._workers.append(_Worker(f"worker {i}", self._environment))
        except BaseException:  # Ctrl-C among them; Python would wait for these workers at its end
            self.close()
            raise

    @property
    def free(self) -> int:
        """How many jobs can be started now."""
        return sum(worker.job is None for worker in self._workers)

    def start(self, job: Job) -> str:
        """Start a job on a free worker and return the worker's name."""
        worker = next(worker for worker in self._workers if worker.job is None)
        if not worker.start(job):  # it died while it was idle, which is no death of this trial
            self._renew(worker).start(job)  # of another death `events` tells
        return worker.name

    def events(self, timeout: float) -> Iterable[Event]:
        """Return what happened; wait up to `timeout` seconds for the first event."""
        busy = [worker for worker in self._workers if worker.job is not None]
        ready = wait([worker.connection for worker in busy], timeout) if busy else ()
        for worker in busy:
            assert worker.job is not None
            trial, attempt = worker.job.trial, worker.job.attempt
            if worker.connection not in ready and not worker.is_gone:
                continue
            try:
                event = worker.receive()
            except (EOFError, OSError):
                reason = worker.cause_of_death()
                self._renew(worker)
                yield WorkerDied(trial, attempt, reason)
                continue
            if (event.trial, event.attempt) != (trial, attempt):
                continue  # of an attempt that is over
            if isinstance(event, WorkerDied):
                self._renew(worker)  # a fresh one has nothing left in memory, and no file open
            elif isinstance(event, TrialDone | TrialStopped):
                worker.job = None
            yield event

    def stop_trials(self) -> None:
        """Tell all running trials to stop at the end of their epoch."""
        for worker in self._workers:
            if worker.job is not None:
                worker.tell_stop()

    def close(self) -> None:
        """End all workers, at once."""
        for worker in self._workers:
            worker.end()

    def _renew(self, worker: "_Worker") -> "_Worker":
        """Replace a dead worker's process under the same name.

        Raises EngineLost where the code has changed since.
        """
        for name, began in self._code.items():
            if source_code.digest(name) != began:
                raise EngineLost(
                    f"{worker.name} died, and the code of {name} has changed since this search "
                    "began, so that another one would not train what is recorded; the same command "
                    "continues, with the code that is there now"
                )
        worker.end()
        fresh = _Worker(worker.name, self._environment)
        self._workers[self._workers.index(worker)] = fresh
        return fresh


class _Worker:
    """The driver's side of one worker process."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        self.name = name
        self.job: Job | None = None
        self._heard = 0
        context = get_context("loky")
        self.connection, far = context.Pipe(duplex=True)
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            context=context,
            initializer=_initialize,
            initargs=(far, list(sys.path)),
            env=environment,
        )
        # The process starts with the first submission; only then is its end of the pipe copied.
        with signals_held():
            self._executor.submit(_serve)
        (self._process,) = self._executor._processes.values()
        far.close()
        self._unsent: SimpleQueue[bytes | None] | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the process has ended.

        Its sentinel does not tell: that is the end of a pipe too, which children of it may hold.
        """
        return self._process.exitcode is not None

    def receive(self) -> TrialEvent:
        """Return the next message; raises EOFError or OSError where there will be none."""
        # A process that is gone writes nothing more, though a child of it may hold the pipe open.
        if self.is_gone and not self.connection.poll():
            raise EOFError
        event: TrialEvent = self.connection.recv()
        return event

    def start(self, job: Job) -> bool:
        """Send a job; returns False when the process is gone."""
        if self.is_gone or self.connection.poll():  # who is idle has nothing to say but its end
            return False
        self.job = job
        if (judge := job.judge) is not None:
            # The whole history with each job would soon take longer than the job.
            job = replace(job, judge=judge.after(self._heard))
            self._heard = max(self._heard, judge.known)
        self._post(job)
        return True

    def tell_stop(self) -> None:
        """Tell the running trial to stop at the end of its epoch."""
        self._post("stop")

    def _post(self, message: Job | str) -> None:
        """Have a message sent by a thread: a worker that takes nothing holds up no other."""
        if self._unsent is None:
            self._unsent = SimpleQueue()
            arguments = (self.connection, self._unsent)
            threading.Thread(target=_send, args=arguments, daemon=True).start()
        self._unsent.put(pickle.dumps(message))

    def cause_of_death(self) -> str:
        """Say in a few words what is known about the end of the process."""
        last = time.monotonic() + 10
        while not self.is_gone and time.monotonic() < last:
            time.sleep(0.01)  # its pipe ends a moment before it does
        code = self._process.exitcode
        if code is None:
            return "it closed its connection"
        names = {-number: number.name for number in signal.Signals}
        return f"{names.get(code, 'EXIT' if code >= 0 else 'SIGNAL')}({code})"

    def end(self) -> None:
        """Kill the process and what it has started; release what the driver holds of it."""
        # Of a process that ended long ago, while it was idle, the number may be another's by now.
        if self.job is not None or not self.is_gone:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
                os.killpg(self._process.pid, signal.SIGKILL)
        self._executor.shutdown(wait=True, kill_workers=True)
        if self._unsent is None:
            self.connection.close()
        else:
            self._unsent.put(None)


def _send(connection: Connection, unsent: "SimpleQueue[bytes | None]") -> None:
    while (message := unsent.get()) is not None:
        with contextlib.suppress(OSError):  # the worker is dead, which `events` finds out
            connection.send_bytes(message)
    connection.close()  # here, as nobody may close it while it is written to


# The worker's side. Its state is the process's own: one connection, one flag.

_connection: Connection
_stopping = threading.Event()
_jobs: deque[Job] = deque()
_arrived = threading.Semaphore(0)


def _initialize(connection: Connection, path: list[str]) -> None:
    """Prepare a fresh worker process."""
    global _connection
    _connection = connection
    sys.path[:] = path
    stand_apart()
    ignore_signals()
    output_is_errors()
    # What the objective starts shall not hold the pipe open when this process has died.
    os.set_inheritable(connection.fileno(), False)
    os.register_at_fork(after_in_child=connection.close)
    threading.Thread(target=_listen, daemon=True).start()


def _listen() -> None:
    """Take messages of the driver; when it is gone, end at once rather than train on unheard."""
    while True:
        try:
            message: Any = _connection.recv()
        except BaseException:  # mostly EOFError; a worker that cannot hear must not train on
            os.killpg(os.getpgrp(), signal.SIGKILL)  # nor what it has started
        if isinstance(message, Job):
            _stopping.clear()
            _jobs.append(message)
            _arrived.release()
        else:
            _stopping.set()


def _serve() -> None:
    """Run one job after another."""
    from studies.workers.attempt import run

    while True:
        _arrived.acquire()
        try:
            run(_jobs.popleft(), _connection.send, _stopping.is_set)
        except BaseException:  # the driver is gone, or it will hear of a death: never of nothing
            os._exit(1)
