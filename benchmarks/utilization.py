"""The share of time that workers train, under four ways to schedule the same trials.

Searches a study over the recorded table with half of its trials pruned; an epoch sleeps instead of
computing, so that only scheduling is measured. Trials of the same lengths are then scheduled by
Optuna's `optimize`, and in batches that wait for their last trial.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna

from benchmarks import recorded
from studies.definition import study_file
from studies.definition.study_file import Study
from studies.search.driver import Plan, Search
from studies.workers.local import LocalEngine
from tracking.ledger import Ledger
from tracking.records import Environment, EpochRecord, TrialRecord

JOBS = 2
WINDOW = 8
TRIALS = 60
EPOCH_SECONDS = 0.03


@dataclass(frozen=True)
class Measured:
    """The result of one run: share of time that workers trained, seconds, epochs per trial."""

    share: float
    seconds: float
    lengths: list[int]


def study(
    trials: int, window: int, space: dict[str, Any] = recorded.SPACE, **section: object
) -> Study:
    """Return a study over the recorded table."""
    return study_file.build(
        {
            "study": {
                "name": "recorded", "trials": trials, "window": window, "metric": "val_loss",
                "direction": "minimize", "objective": "benchmarks.recorded:wait_and_look_up",
                "settings": "benchmarks.recorded:Place", "sampler": {"name": "tpe"},
                "pruner": {"name": "median", "startup_trials": 4}, **section,
            },
            "settings": {"epoch_seconds": EPOCH_SECONDS},
            "space": space,
        }
    )  # fmt: skip


class Clock:
    """A listener that records the start of the first trial and the training time since then."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.trained = 0.0

    def started(self, trial: TrialRecord) -> None:
        """Start the clock with the first trial."""
        self.began = self.began or time.perf_counter()

    def epoch(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Add the time of an epoch."""
        self.trained += epoch.seconds

    def finished(self, trial: TrialRecord) -> None:
        """Do nothing."""

    def warned(self, message: str) -> None:
        """Do nothing."""

    def waited(self) -> None:
        """Do nothing."""


def ours(seed: int) -> Measured:
    """Search the study, with workers that are already started."""
    searched = study(TRIALS, WINDOW, seed=seed)
    clock = Clock()
    engine = LocalEngine(JOBS)
    try:
        with TemporaryDirectory() as folder:
            ledger = Ledger(Path(folder) / "ledger.db")
            ledger.add_study(searched.name, searched.definition, Environment())
            # One trial per worker first: the time of imports is not part of scheduling.
            _warm_up(engine)
            plan = Plan(study=searched, total=TRIALS, folders={})
            Search(plan, ledger, engine, [clock]).run()
            assert clock.began is not None
            seconds = time.perf_counter() - clock.began
            lengths = [len(ledger.epochs(searched.name, n)) for n in range(TRIALS)]
            ledger.close()
    finally:
        engine.close()
    return Measured(clock.trained / JOBS / seconds, seconds, lengths)


def _warm_up(engine: LocalEngine) -> None:
    searched = study(JOBS, JOBS, name="warm-up")
    with TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.db")
        ledger.add_study(searched.name, searched.definition, Environment())
        Search(Plan(study=searched, total=JOBS, folders={}), ledger, engine).run()
        ledger.close()


def free_running(lengths: list[int]) -> Measured:
    """Schedule trials of these lengths with Optuna's optimize(n_jobs=2)."""
    trained = _Sum()

    def objective(trial: optuna.Trial) -> float:
        place = recorded.Place(
            **{name: trial.suggest_int(name, **ends) for name, ends in recorded.SPACE.items()}
        )
        trained.add(_sleep(lengths[trial.number]))
        return recorded.curve(place)[lengths[trial.number] - 1]

    with_optuna = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    began = time.perf_counter()
    with_optuna.optimize(objective, n_trials=len(lengths), n_jobs=JOBS)
    seconds = time.perf_counter() - began
    return Measured(trained.value / JOBS / seconds, seconds, lengths)


def in_batches(lengths: list[int], size: int) -> Measured:
    """Schedule trials of these lengths in batches, each of which waits for its last trial."""
    trained = 0.0
    began = time.perf_counter()
    with ThreadPoolExecutor(JOBS) as pool:
        for start in range(0, len(lengths), size):
            trained += sum(pool.map(_sleep, lengths[start : start + size]))
    seconds = time.perf_counter() - began
    return Measured(trained / JOBS / seconds, seconds, lengths)


def _sleep(epochs: int) -> float:
    began = time.perf_counter()
    for _ in range(epochs):
        time.sleep(EPOCH_SECONDS)
    return time.perf_counter() - began


class _Sum:
    """A sum that threads add to."""

    def __init__(self) -> None:
        self.value = 0.0
        self._lock = threading.Lock()

    def add(self, value: float) -> None:
        with self._lock:
            self.value += value


def rows(repeats: int) -> Iterable[tuple[str, list[Measured]]]:
    """Measure all ways in turn; return the name of each with its measurements."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ways: dict[str, list[Measured]] = {
        "retrial, window 8": [],
        "Optuna's optimize(n_jobs=2)": [],
        "batches of 8": [],
        "batches of 2": [],
    }
    for seed in range(repeats):
        first = ours(seed)
        measured = (
            first, free_running(first.lengths), in_batches(first.lengths, 8),
            in_batches(first.lengths, 2),
        )  # fmt: skip
        for way, one in zip(ways.values(), measured, strict=True):
            way.append(one)
    return ways.items()
