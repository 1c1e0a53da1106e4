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

from studies.workers.local import ONE_THREAD
from studies.workers.processes import exit_with, signals_held
from tracking.figures.curves import CurvesInTurn
from tracking.records import EpochRecord

P = ParamSpec("P")
T = TypeVar("T")


class Aside:
    """Draws the figures of a study in the ledger at a path, and the curves of its trials.

    Any thread may ask for one. The process starts with the first one, or with `prepare`.
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

    def prepare(self) -> None:
        """Start the process, which needs a second before it can draw."""
        with contextlib.suppress(Exception):
            self._submit(_names)

    def curves(
        self, title: str, epochs: Sequence[EpochRecord], kept: int | None
    ) -> "Future[bytes]":
        """Begin to draw the curves of a trial; see `tracking.figures.curves.curves`.

        Raises where the process was killed, or none can be had.
        """
        return self._submit(_draw_curves, title, epochs, kept)

    def study(self) -> dict[str, bytes]:
        """Return the figures of the study by their names; see `drawing.draw`.

        Drawn one after another, so that curves wanted meanwhile wait for one of them, not for all.
        """
        names = self._submit(_names).result()
        drawn = {
            name: self._submit(_draw_one, name, self._ledger, self._study).result()
            for name in names
        }
        return {name: figure for name, figure in drawn.items() if figure is not None}

    def close(self) -> None:
        """End the process, whether it is done or not."""
        self._executor.shutdown(wait=True, kill_workers=True)

    def _submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        with signals_held():  # the first one starts the process
            future: Future[T] = self._executor.submit(function, *args, **kwargs)
        return future


def _initialize(driver: int, path: list[str]) -> None:
    exit_with(driver)
    sys.path[:] = path  # the settings class may be the user's


# In that process; the library of figures is loaded there, and not in the driver.

_curves = CurvesInTurn()


def _draw_curves(title: str, epochs: Sequence[EpochRecord], kept: int | None) -> bytes:
    return _curves.png(title, epochs, kept)


def _names() -> list[str]:
    from studies.figures.drawing import FIGURES

    return list(FIGURES)


def _draw_one(name: str, ledger: Path, study: str) -> bytes | None:
    from studies.figures.drawing import draw_one

    return draw_one(name, ledger, study)
