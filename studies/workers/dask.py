"""Workers of an existing Dask cluster, which may join, leave and be killed while a search runs.

Every trial is a task bound to one worker, so that a crash identifies its trial and Dask does not
start it elsewhere by itself: that is the search's decision. A worker trains one trial at a time,
however many threads it has. Events of trials come through a queue that the scheduler keeps (see
`studies.workers.dask_worker`); Dask's event log only signals new messages, because it never
discards entries.
"""

import contextlib
import pickle
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import distributed

from studies.workers import dask_worker
from studies.workers.admission import Admission, Description
from studies.workers.dask_client import SECONDS_TO_CONNECT, connected
from studies.workers.limits import has_exceeded_limit
from studies.workers.messages import Event, Job, Notice, TrialDone, TrialStopped, WorkerCrashed
from tracking.provenance import source_code
from tracking.store.store import one_line

SECONDS_BETWEEN_COUNTS = 10.0
"""Workers that join and leave are reported at once; a regular count makes sure of it."""

_News = Callable[[], Iterable[Event]]


@dataclass
class _Worker:
    """What the driver knows of a worker; `description` is None until it has been admitted."""

    address: str
    description: Description | None = None
    job: Job | None = None
    task: Any = None
    """The future of the job, or before it is admitted that of its description."""


class DaskEngine:
    """The workers of a cluster that `admission` lets in, at most `limit` at a time.

    `modules` are the study's own, of which workers receive an archive. Everything happens in the
    thread that calls: Dask's threads only add to a queue.
    """

    def __init__(
        self,
        client: distributed.Client,
        admission: Admission,
        data: Sequence[dask_worker.Data] = (),
        modules: Sequence[str] = (),
        limit: int | None = None,
    ) -> None:
        self._admission = admission
        digests = {name: source_code.digest(name) for name in modules}
        archive = source_code.archive(digests) if modules else None
        self._code = dask_worker.key_of(archive)
        self._describe = partial(dask_worker.describe, tuple(data), tuple(modules), archive)
        self._limit = limit
        self._news: SimpleQueue[_News] = SimpleQueue()
        self._workers: dict[str, _Worker] = {}
        self._client = client
        self._queue = distributed.Queue(f"retrial-{uuid.uuid4().hex}", client=self._client)
        self._counted = 0.0
        self._is_without = False
        self._subscribe()
        self._count()

    @property
    def free(self) -> int:
        """How many jobs can be started now."""
        idle, busy = len(self._idle()), len(self._busy())
        return idle if self._limit is None else max(0, min(idle, self._limit - busy))

    def start(self, job: Job) -> str:
        """Start a job on a free worker and return the worker's address."""
        worker = self._idle()[0]
        worker.job = job
        worker.task = self._submit(
            dask_worker.train,
            (pickle.dumps(job), self._queue.name, self._client.id, self._code),
            worker.address,
            f"trial-{job.trial}-{job.attempt}",
        )
        worker.task.add_done_callback(self._callback(self._ended, worker.address))
        return worker.address

    def events(self, timeout: float) -> Iterable[Event]:
        """Return what happened; wait up to `timeout` seconds for the first event."""
        news = self._received(timeout)
        # In this order: what a trial sent before its worker left comes before its end.
        yield from self._trial_events()
        for item in news:
            yield from item()
        yield from self._missing_workers()
        if time.monotonic() - self._counted >= SECONDS_BETWEEN_COUNTS:
            self._count()

    def stop_trials(self) -> None:
        """Request that all running trials stop at the end of their epoch."""
        running = {worker.address: worker.task.key for worker in self._busy()}
        if running:
            # In a thread, because a worker that has left takes its time not to answer.
            threading.Thread(target=self._request_stop, args=(running,), daemon=True).start()

    def close(self) -> None:
        """Abandon all trials: each ends at its next epoch. Client and cluster are left alone."""
        for worker in self._workers.values():
            _release(worker)
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._queue.close()

    # Workers that come and go

    def _subscribe(self) -> None:
        """Subscribe to workers that join and leave, and to the signal that trials have events."""

        def received(event: tuple[float, Any]) -> None:
            message = event[1]
            action = message.get("action") if isinstance(message, dict) else None
            if action == "add-worker":
                self._news.put(partial(self._joined, message["worker"]))
            elif action == "remove-worker":
                self._news.put(partial(self._left, message["worker"], bool(message["expected"])))

        self._client.subscribe_topic("all", received)
        # The topic has the client's name, so that the scheduler drops it with the client. The
        # signal is no event itself: there is something in the trials' queue.
        self._client.subscribe_topic(self._client.id, lambda event: self._news.put(lambda: ()))

    def _count(self) -> None:
        """Compare the known workers with those of the scheduler."""
        self._counted = time.monotonic()
        with connected():
            info = self._client.scheduler_info(n_workers=-1)
        there = set(info["workers"])
        if len(there) != info["n_workers"]:
            return  # the client's own short update came between; the next count is as good
        for address in there - self._workers.keys():
            self._news.put(partial(self._joined, address))
        for address in self._workers.keys() - there:
            self._news.put(partial(self._left, address, False))

    def _joined(self, address: str) -> Iterator[Event]:
        """Ask a new worker to describe itself."""
        if address not in self._workers:
            worker = self._workers[address] = _Worker(address)
            worker.task = self._submit(self._describe, (), address, "describe")
            worker.task.add_done_callback(self._callback(self._described, address))
        yield from ()

    def _described(self, address: str, task: Any) -> Iterator[Event]:
        """Admit a worker that has described itself, or reject it for good."""
        worker = self._workers.get(address)
        if worker is None or worker.task is not task:
            return
        worker.task = None
        try:
            description = task.result(timeout=SECONDS_TO_CONNECT)
        except (TimeoutError, distributed.CancelledError):
            del self._workers[address]  # it is leaving; if not, the next count finds it again
            return
        except Exception as error:
            reason: str | None = f"it cannot run retrial: {one_line(error)}"
        else:
            reason = self._admission.rejection(description)
        if reason is None:
            worker.description = description
        else:
            yield Notice(f"worker {address} is rejected: {reason}")

    def _left(self, address: str, expected: bool) -> Iterator[Event]:
        """Forget a worker; its trial crashes with it unless the worker was asked to leave."""
        worker = self._workers.pop(address, None)
        if worker is None:
            return
        _release(worker)
        if worker.job is not None:
            yield _end(worker.job, None if expected else f"{address} has left")

    def _missing_workers(self) -> Iterator[Event]:
        """Report once that no worker may train."""
        # A worker with a task but no job is describing itself.
        without = all(w.description is None and w.task is None for w in self._workers.values())
        if without and not self._is_without:
            yield Notice("the cluster has no worker for this study; waiting for one to join")
        self._is_without = without

    # Trials

    def _idle(self) -> list[_Worker]:
        return [w for w in self._workers.values() if w.description is not None and w.job is None]

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers.values() if worker.job is not None]

    def _trial_events(self) -> Iterator[Event]:
        """Return what trials have put into the queue."""
        with connected():
            packed = self._queue.get(batch=True)
        for event in map(pickle.loads, packed):
            for worker in self._busy():
                job = worker.job
                if job is None or (job.trial, job.attempt) != (event.trial, event.attempt):
                    continue
                if isinstance(event, TrialDone):
                    assert worker.description is not None
                    trained = self._admission.record(worker.description)
                    event = replace(event, outcome=replace(event.outcome, environment=trained))
                if isinstance(event, TrialDone | TrialStopped | WorkerCrashed):
                    worker.job = None
                if has_exceeded_limit(event):
                    worker.description = None  # its process ends, and is no place for another job
                yield event

    def _ended(self, address: str, task: Any) -> Iterator[Event]:
        """End a trial whose task ended without an event of its own."""
        worker = self._workers.get(address)
        if worker is None or worker.task is not task or worker.job is None:
            return
        job, worker.job = worker.job, None
        if task.status == "cancelled":
            # The connection was interrupted, and the scheduler has dropped what was ours.
            self._subscribe()
            yield _end(job, None)
        else:
            error = task.exception()
            yield _end(job, "its task ended early" if error is None else one_line(error))

    # Talking to Dask

    def _submit(self, function: Any, arguments: tuple[Any, ...], address: str, name: str) -> Any:
        with connected():
            return self._client.submit(
                function,
                *arguments,
                key=f"retrial-{name}-{uuid.uuid4().hex}",
                workers=[address],
                allow_other_workers=False,
                pure=False,
            )

    def _callback(self, method: Callable[[str, Any], Iterator[Event]], address: str) -> Any:
        """Return a callback for a future that queues its end."""
        return lambda task: self._news.put(partial(method, address, task))

    def _request_stop(self, running: dict[str, str]) -> None:
        with contextlib.suppress(Exception):  # a worker that has left is reported by `events`
            self._client.run(
                dask_worker.stop, list(running.values()), workers=list(running), on_error="ignore"
            )

    def _received(self, timeout: float) -> list[_News]:
        """Return what has been queued; wait for the first of it."""
        news: list[_News] = []
        with contextlib.suppress(Empty):
            news.append(self._news.get(timeout=timeout))
            while True:
                news.append(self._news.get_nowait())
        return news


def _release(worker: _Worker) -> None:
    """Release a worker's task: its result is no longer wanted."""
    if worker.task is not None:
        with contextlib.suppress(Exception):
            worker.task.release()


def _end(job: Job, crash: str | None) -> Event:
    """Return the end of an attempt: a crash, or a stop, which does not count."""
    if crash is None:
        return TrialStopped(job.trial, job.attempt)
    return WorkerCrashed(job.trial, job.attempt, crash)
