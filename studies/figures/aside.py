"""Figures are drawn by a process of their own.

Drawn in the driver, they would wait for its recorder's lock and it for theirs, and what the
recorder has left to do would keep a search waiting at its end, while cores that trained are free.
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

from studies.engines.local import ONE_THREAD
from studies.following import follow, signals_held
from tracking.figures import curves_png, draw_here
from tracking.ledger import EpochRecord

P = ParamSpec("P")
T = TypeVar("T")


class Aside:
    """Draws the figures of a study in the ledger at a path, and the curves of its trials.

    The process starts with the first figure that is wanted. Any thread may ask for one.
    """

    def __init__(self, ledger: Path, study: str) -> None:
        self._ledger, self._study = ledger, study
        # The context this library starts its workers in: nothing is forked that has threads.
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            context=get_context("loky"),
            env=ONE_THREAD,
            initializer=_initialize,
            initargs=(os.getpid(), list(sys.path)),
        )

    def curves(
        self, title: str, epochs: Sequence[EpochRecord], kept: int | None
    ) -> "Future[bytes]":
        """Begin to draw the curves of a trial; see `tracking.figures.curves`."""
        with contextlib.suppress(Exception):  # its process was killed, or none can be had
            return self._submit(curves_png, title, epochs, kept)
        return draw_here(title, epochs, kept)

    def study(self) -> "Future[dict[str, bytes]]":
        """Begin to draw the figures of the study; see `drawing.draw`."""
        return self._submit(_draw_study, self._ledger, self._study)

    def close(self) -> None:
        """End the process, whether it is done or not."""
        self._executor.shutdown(wait=True, kill_workers=True)

    def _submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        with signals_held():
            future: Future[T] = self._executor.submit(function, *args, **kwargs)
        return future


def _initialize(driver: int, path: list[str]) -> None:
    follow(driver)
    sys.path[:] = path  # the settings class may be the user's


def _draw_study(ledger: Path, study: str) -> dict[str, bytes]:
    from studies.figures.drawing import draw_study

    return draw_study(ledger, study)
