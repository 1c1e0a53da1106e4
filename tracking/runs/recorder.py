"""The recorder: a thread that follows the ledger and keeps MLflow up to date.

The search never waits for it. An outage of MLflow does not slow the search: epochs and outcomes
stay in the ledger until this recorder or the next one can deliver them.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from nets.errors import InputError
from tracking.ledger import Ledger
from tracking.records import Environment, SearchEnd, StudyRecord
from tracking.runs.delivery import Delivery, Draw
from tracking.store.errors import StoreUnavailable, StudyNotFound
from tracking.store.outage import is_outage
from tracking.store.plain_values import ranges
from tracking.store.store import one_line, open_store

STATUS: dict[SearchEnd, str] = {
    "finished": "FINISHED",
    "stopped": "KILLED",
    "timeout": "KILLED",
    "failed": "FAILED",
}
"""MLflow's status of a study's run for each way a search can end."""

INTERVAL = 1.0
"""Seconds between two deliveries: one request carries all that a run got meanwhile."""

WAITING = 0.5
"""Seconds between two calls of the function that says what a recorder is waited for."""

LONGEST_PAUSE = 30.0
"""Seconds between two attempts in a long outage; the pauses double up to it."""


class Recorder:
    """Records a study of the ledger in `ledger_path` to the MLflow of the store in `store_root`.

    `environment` describes the driver. `draw` draws the curves of trials in other processes.
    """

    def __init__(
        self,
        ledger_path: Path,
        store_root: Path,
        study: str,
        environment: Environment,
        draw: Draw | None = None,
    ) -> None:
        self._ledger_path = ledger_path
        self._store_root = store_root
        self._study = study
        self._environment = environment
        self._draw = draw
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._news = threading.Event()
        self._opened = threading.Event()
        self._finishing = threading.Event()
        self._stopped = threading.Event()
        self._status = STATUS["stopped"]
        self._deadline = 0.0
        self._delivery: Delivery | None = None
        self._rejection: InputError | None = None
        self.notice: str | None = None
        """What was recorded again, in one sentence."""
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """The last delivery's problem in one line; None when everything has been delivered."""
        return self._problem

    def start(self) -> None:
        """Start to open the store and to deliver; returns at once."""
        self._thread.start()

    def wait_until_open(self) -> None:
        """Wait until the store is open, or in an outage; raise InputError if it refuses.

        A search must not begin to train before this returns, seconds after `start`.
        """
        self._opened.wait()
        if self._rejection is not None:
            raise self._rejection

    def notify(self) -> None:
        """Report that the ledger has news; otherwise the recorder looks a second later."""
        self._news.set()

    def finish(
        self,
        status: SearchEnd,
        patience: float = 60.0,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """Deliver everything, end the runs, and join the thread; call `waiting` meanwhile.

        Trials that are still open become KILLED; a later recorder sets them RUNNING again. If
        MLflow is unreachable for `patience` seconds, or `stop` is called, the rest stays in the
        ledger, `problem` says why, and the next recorder of the study delivers it.
        """
        self._status = STATUS[status]
        self._deadline = time.monotonic() + patience
        self._finishing.set()
        self._news.set()
        join(self._thread, waiting)

    def stop(self) -> None:
        """Let `finish` return after the trial that is being delivered."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            with Ledger(self._ledger_path, create=False) as ledger, contextlib.ExitStack() as stack:
                self._follow(ledger, stack)
        except InputError as error:
            self._rejection = error
            self._problem = str(error)
        finally:
            self._opened.set()

    def _follow(self, ledger: Ledger, stack: contextlib.ExitStack) -> None:
        """Deliver until the search has ended; raise InputError for a store that refuses."""
        pause = INTERVAL
        while True:
            finishing = self._finishing.is_set()
            self._news.clear()
            failure = self._attempt(ledger, stack, finishing)
            delivery = self._delivery
            problem = one_line(failure) if failure else delivery and delivery.problem
            self._problem = None if problem is None else f"MLflow: {problem}"
            self._opened.set()  # the search does not wait for the end of an outage
            if finishing and failure is None:
                done, total = ledger.recorded(self._study)
                if self._stopped.is_set() and done < total:
                    self._problem = f"MLflow: it lacks {total - done:,} of {total:,} trials"
                return
            if finishing and (self._stopped.is_set() or time.monotonic() > self._deadline):
                with contextlib.suppress(Exception):  # the outage may last
                    if delivery is not None:
                        delivery.end(self._status)
                return
            pause = INTERVAL if failure is None else min(2 * pause, LONGEST_PAUSE)
            if finishing:
                # Nothing sets the other events any more.
                self._stopped.wait(min(pause, max(0.0, self._deadline - time.monotonic())))
            else:
                self._finishing.wait(pause)
                self._news.wait(INTERVAL)

    def _attempt(
        self, ledger: Ledger, stack: contextlib.ExitStack, finishing: bool
    ) -> Exception | None:
        """Deliver, and end the study when it is time; return what failed.

        Raises InputError for a store that refuses.
        """
        try:
            if self._delivery is None:
                self._delivery = self._open(ledger, stack)
            self._opened.set()
            failure = self._delivery.deliver(self._stopped.is_set)
            if finishing and failure is None:
                self._delivery.end("KILLED" if self._stopped.is_set() else self._status)
        except InputError:
            raise
        except Exception as error:
            return error
        return failure

    def _open(self, ledger: Ledger, stack: contextlib.ExitStack) -> Delivery:
        """Open the store; raise InputError if it refuses, and other errors in an outage."""
        try:
            store = stack.enter_context(open_store(self._store_root))
            study = _study(ledger, self._study)
            delivery = Delivery(store, ledger, study, self._environment, self._draw)
        except StoreUnavailable as error:
            if error.__cause__ is not None and is_outage(error.__cause__):
                raise error.__cause__ from error
            raise
        except Exception as error:
            if isinstance(error, InputError) or is_outage(error):
                raise
            raise StoreUnavailable("store", problem=f"cannot record: {one_line(error)}") from error
        if delivery.missing:
            self.notice = (
                f"MLflow had lost trials that it had before ({ranges(delivery.missing)}): they are "
                "recorded again from the ledger, without their models, which it does not keep"
            )
        return delivery


def join(thread: threading.Thread, waiting: Callable[[], None]) -> None:
    """Wait for the end of a thread, and call a function again and again until then."""
    thread.join(WAITING)
    while thread.is_alive():
        waiting()
        thread.join(WAITING)


def _study(ledger: Ledger, name: str) -> StudyRecord:
    study = ledger.study(name)
    if study is None:
        raise StudyNotFound.among(name, ledger.study_names(), ledger.path)
    return study
