"""A process that draws figures, so that the driver does not.

In the driver, drawing would compete with the recorder for Python's lock, and the figures left to
draw at the end would keep a search waiting while the cores that trained are idle.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import ParamSpec, TypeVar

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import get_context

from studies.workers.local import ONE_THREAD
from studies.workers.processes import exit_with, signals_held
from tracking.records import EpochRecord

P = ParamSpec("P")
T = TypeVar("T")


class DrawingProcess:
    """Draws the figures of a study in the ledger at a path, and the curves of its trials.

    Any thread may call it. The process starts with the first figure, or with `prepare`.
    """

    def __init__(self, ledger: Path, study: str) -> None:
        self._ledger, self._study = ledger, study
        # The context in which loky starts its workers: it never forks a process with threads.
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            context=get_context("loky"),
            env=ONE_THREAD,
            initializer=_initialize,
            initargs=(os.getpid(), list(sys.path)),
        )

    def prepare(self) -> None:
        """Start the process, which takes a second to load matplotlib."""
        with contextlib.suppress(Exception):
            self._submit(_names)

    def curves(
        self, title: str, epochs: Sequence[EpochRecord], kept: int | None
    ) -> "Future[bytes]":
        """Begin to draw the curves of a trial; see `tracking.figures.curves.curves_png`.

        Raises what loky raises if the process was killed or cannot be started.
        """
        return self._submit(_draw_curves, title, epochs, kept)

    def study(self) -> dict[str, bytes]:
        """Return the figures of the study as PNG files by their names; see `drawing.draw`.

        They are drawn one by one: curves requested meanwhile wait for one of them, not for all.
        """
        return {
            name: figure
            for name in self._submit(_names).result()
            if (figure := self._submit(_draw_one, name, self._ledger, self._study).result())
        }

    def close(self) -> None:
        """End the process, even while it draws."""
        self._executor.shutdown(wait=True, kill_workers=True)

    def _submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        with signals_held():  # the first call starts the process
            future: Future[T] = self._executor.submit(function, *args, **kwargs)
        return future


def _initialize(driver: int, path: list[str]) -> None:
    exit_with(driver)
    sys.path[:] = path  # the settings class may be the user's


# These functions run in the process: matplotlib is loaded there, not in the driver.


def _draw_curves(title: str, epochs: Sequence[EpochRecord], kept: int | None) -> bytes:
    from tracking.figures.curves import curves_png

    return curves_png(title, epochs, kept)


def _names() -> list[str]:
    from studies.figures.drawing import FIGURES

    return list(FIGURES)


def _draw_one(name: str, ledger: Path, study: str) -> bytes | None:
    from studies.figures.drawing import draw_one

    return draw_one(name, ledger, study)
