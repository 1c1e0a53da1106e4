"""What does each part of a trial's record cost?

Trains trials of the digits, then delivers the record to MLflow step by step, as during a search:
when a trial starts, after its epochs, when it has finished. Prints the median milliseconds of each
part per trial, as wall-clock and as processor time of this process, and the cost per study. In a
search a separate process draws figures; here they are drawn in turn.

With ``MLFLOW_TRACKING_URI`` the record goes to that server, whose time counts in wall-clock only.

    python -m benchmarks.parts [--trials 20]
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.copies import STUDY, copy_study, copy_trial, train
from studies.analysis.stored_study import StoredStudy
from studies.figures.drawing import draw
from tracking.figures.curves import curves_png
from tracking.ledger import Ledger
from tracking.runs import trial_run
from tracking.runs.delivery import Delivery
from tracking.runs.study_run import log_study_figures
from tracking.store import names
from tracking.store.client import Files
from tracking.store.store import open_store

PARTS: dict[str, tuple[ModuleType | type, str]] = {
    "create": (trial_run, "create"),
    "files": (Files, "write"),
    "model": (trial_run, "log_model"),
    "end": (trial_run, "end"),
}
"""The functions that are timed. Time spent in a nested one counts for the nested one only."""

FIGURE = "figure"
LEDGER = "ledger and other"


@dataclass
class Spent:
    """Seconds of wall-clock time, and of processor time of this process."""

    wall: float = 0.0
    process: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.wall + other.wall, self.process + other.process)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.wall - other.wall, self.process - other.process)


class Stopwatch:
    """Adds up the time spent in each part; nested parts do not count twice."""

    def __init__(self) -> None:
        self.spent: dict[str, Spent] = defaultdict(Spent)
        self._inner = [Spent()]
        """Time spent in parts nested in the current one, and in each of those around it."""

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time spent in the block to a part, without parts nested in it."""
        self._inner.append(Spent())
        began = _now()
        try:
            yield
        finally:
            whole = _now() - began
            self.spent[name] += whole - self._inner.pop()
            self._inner[-1] += whole

    @contextlib.contextmanager
    def watching(self, parts: dict[str, tuple[ModuleType | type, str]]) -> Iterator[None]:
        """Time functions of modules and classes within the block."""
        with contextlib.ExitStack() as stack:
            for name, (module, function) in parts.items():
                original = getattr(module, function)
                setattr(module, function, self._watched(name, original))
                stack.callback(setattr, module, function, original)
            yield

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return watched


def _now() -> Spent:
    return Spent(time.perf_counter(), time.process_time())


def by_part(trained: Path, root: Path, trials: int) -> tuple[list[dict[str, Spent]], Stopwatch]:
    """Record copies of trained trials into an empty store.

    Returns the time of each trial by part, and the time spent once per study.
    """
    root.mkdir()
    with contextlib.ExitStack() as stack:
        once = Stopwatch()
        with once.part("open the store"):
            store = stack.enter_context(open_store(root))
        source = stack.enter_context(contextlib.closing(Ledger(trained / names.LEDGER)))
        ledger = stack.enter_context(contextlib.closing(Ledger(root / names.LEDGER)))
        study = copy_study(source, ledger, STUDY, trials)
        watch = Stopwatch()

        def drawn(*what: Any) -> Future[bytes]:
            future: Future[bytes] = Future()
            with watch.part(FIGURE):
                future.set_result(curves_png(*what))
            return future

        with once.part("create its run"):
            delivery = Delivery(store, ledger, study, study.environment, drawn)
        originals = source.trials(STUDY)
        spent = []
        for number in range(trials):
            watch.spent.clear()
            with watch.watching(PARTS):
                for _ in copy_trial(source, ledger, originals[number % len(originals)], number):
                    with watch.part(LEDGER):
                        assert (failure := delivery.deliver()) is None, failure
            assert delivery.problem is None, delivery.problem
            spent.append(dict(watch.spent))
        with once.part("draw its figures"):
            record = ledger.study(STUDY)
            assert record is not None
            figures = draw(StoredStudy(ledger, record))
        with once.part("attach its figures"):
            log_study_figures(store, STUDY, figures)
        with once.part("end its run"):
            delivery.end("FINISHED")
    return spent, once


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=20)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        trained = Path(folder) / "trained"
        train(trained, 10)
        spent, once = by_part(trained, Path(folder) / "store", options.trials)
    print(f"{'per trial':24}   clock  process")
    for name in [*PARTS, FIGURE, LEDGER]:
        part = [trial.get(name, Spent()) for trial in spent]
        _print(name, part)
    _print("total", [sum(trial.values(), Spent()) for trial in spent])
    print(f"{'once per study':24}")
    for name, seconds in once.spent.items():
        _print(name, [seconds])


def _print(name: str, spent: list[Spent]) -> None:
    wall, process = (
        1000 * statistics.median(getattr(one, clock) for one in spent)
        for clock in ("wall", "process")
    )
    print(f"  {name:22} {wall:5.0f} ms {process:5.0f} ms", flush=True)


if __name__ == "__main__":
    main()
