"""A process that draws figures, so that the driver does not.

In the driver, drawing would compete with the recorder for Python's lock, and the figures left to
draw at the end would keep a search waiting while the cores that trained are idle.

It reads the study from the ledger and imports nothing of the user's: a settings class may load a
large library, or not be importable there.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from joblib.externals.loky.backend import get_context

from studies.workers.local import ONE_THREAD
from studies.workers.processes import exit_with, signals_held
from tracking.ledger import Ledger
from tracking.records import EpochRecord

if TYPE_CHECKING:
    from studies.analysis.stored_study import StoredStudy

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_DRAWING = 60.0
"""Seconds within which a figure is drawn; the process is ended after that, as it may never be."""


class DrawingProcess:
    """Draws the figures of a study in the ledger at a path, and the curves of its trials.

    Any thread may call it. The process starts with the first figure, or with `prepare`. If it ends,
    killed for its memory for example, it is started once more; then there are no more figures.
    """

    def __init__(self, ledger: Path, study: str) -> None:
        self._ledger = ledger
        self._study = study
        self._thread = ThreadPoolExecutor(1)
        self._process: Any = None
        self._connection: Connection | None = None
        self._has_restarted = False
        self._is_closing = False

    def prepare(self) -> None:
        """Start the process, which takes a second to load matplotlib."""
        with contextlib.suppress(RuntimeError):  # the system has no thread left
            self._submit(_names)

    def curves(
        self, title: str, epochs: Sequence[EpochRecord], kept: int | None
    ) -> "Future[bytes]":
        """Begin to draw the curves of a trial; see `tracking.figures.curves.curves_png`."""
        return self._submit(_draw_curves, title, epochs, kept)

    def study(self) -> dict[str, bytes]:
        """Return the figures of the study as PNG files by their names; see `drawing.draw`.

        They are drawn one by one: curves requested meanwhile wait for one of them, not for all.
        Raises EOFError or OSError when the process has ended.
        """
        return {
            name: figure
            for name in self._submit(_names).result()
            if (figure := self._submit(_draw_one, name, self._ledger, self._study).result())
        }

    def close(self) -> None:
        """End the process, even while it draws."""
        self._is_closing = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._kill()
        self._thread.shutdown(wait=True)
        self._kill()  # it may have been started meanwhile

    def _submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        return self._thread.submit(self._ask, function, args, kwargs)

    def _ask(self, function: Callable[..., T], args: Any, kwargs: Any) -> T:
        """Let the process call a function, in the only thread that speaks with it."""
        answer: T | Exception
        try:
            answer = self._exchange(function, args, kwargs)
        except (EOFError, OSError):
            if self._has_restarted or self._is_closing:
                raise
            self._has_restarted = True
            self._kill()
            self._connection = None
            answer = self._exchange(function, args, kwargs)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _exchange(self, *request: Any) -> Any:
        """Send a request and return the answer; raises EOFError or OSError without one."""
        if self._connection is None:
            self._connection = self._start()
        self._connection.send(request)
        if not self._connection.poll(LONGEST_DRAWING):
            self._kill()
        return self._connection.recv()

    def _start(self) -> Connection:
        # The context in which loky starts its workers: it never forks a process with threads.
        context = get_context("loky")
        here: Connection
        here, far = context.Pipe(duplex=True)
        process = context.Process(target=_serve, args=(far, os.getpid()), env=ONE_THREAD)
        try:
            with signals_held():
                process.start()
            self._process = process
        finally:
            far.close()  # its end is then noticed here, also where it could not be started
        return here

    def _kill(self) -> None:
        if self._process is not None and self._process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._process.join()


# These functions run in the process: matplotlib is loaded there, not in the driver.


def _serve(connection: Connection, driver: int) -> None:
    """Answer one request after another, until the driver has ended."""
    with contextlib.suppress(EOFError, OSError):
        exit_with(driver)
        while True:
            function, args, kwargs = connection.recv()
            try:
                answer = function(*args, **kwargs)
            except Exception as error:
                answer = error
            connection.send(answer)


def _draw_curves(title: str, epochs: Sequence[EpochRecord], kept: int | None) -> bytes:
    from tracking.figures.curves import curves_png

    return curves_png(title, epochs, kept)


def _names() -> list[str]:
    from studies.figures.drawing import FIGURES

    return list(FIGURES)


def _draw_one(name: str, ledger: Path, study: str) -> bytes | None:
    from studies.figures.drawing import draw

    stored = _stored(ledger, study)
    return None if stored is None else draw(stored, [name]).get(name)


@cache  # all figures of the one study are drawn after its search
def _stored(path: Path, study: str) -> "StoredStudy | None":
    from studies.analysis.stored_study import StoredStudy

    ledger = Ledger(path, create=False)
    record = ledger.study(study)
    return None if record is None else StoredStudy(ledger, record)
