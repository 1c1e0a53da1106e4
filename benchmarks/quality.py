"""How good the best trial is: after a number of trials, and after a number of epochs.

After equal numbers of trials: sequential TPE, TPE with a window, random search. After equal numbers
of epochs: TPE with Hyperband, TPE, random search, and the grid that a person would try.

Values are looked up in the recorded table, so that only the choice of trials differs. The measure
is the regret: the validation loss of the best trial so far minus the best loss in the table.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from benchmarks import recorded, simulation
from benchmarks.utilization import study
from studies.search.sampling_view import Result, View

TRIALS = 60
WINDOW = 8
SHOWN = (20, 40, 60)
WAYS = {
    "TPE, one by one": ("tpe", 1),
    "TPE, window 8": ("tpe", 8),
    "TPE, window 32": ("tpe", 32),
    "random": ("random", 1),
}
SEARCHES: dict[str, dict[str, Any]] = {
    "TPE, Hyperband": {"sampler": {"name": "tpe"}, "pruner": {"name": "hyperband"}},
    "within the grid": {
        "sampler": {"name": "tpe"}, "pruner": {"name": "hyperband"},
        "space": {
            "rate": {"low": 5, "high": 14}, "decay": {"low": 0, "high": 4},
            "dropout": {"low": 0, "high": 6},
        },
    },
    "TPE": {"sampler": {"name": "tpe"}, "pruner": {"name": "none"}},
    "random": {"sampler": {"name": "random"}, "pruner": {"name": "none"}},
    "narrow grid": {
        "sampler": {"name": "grid"}, "pruner": {"name": "none"},
        # 1e-4, 3e-4, 1e-3, 3e-3, 1e-2; 1e-8, 2.5e-6, 4e-5, 6e-4; 0, 0.27, 0.54
        "space": {
            "rate": {"choices": [5, 7, 10, 12, 14]}, "decay": {"choices": [0, 2, 3, 4]},
            "dropout": {"choices": [0, 3, 6]},
        },
    },
}  # fmt: skip
"""Sections of a study, each with a window of `WINDOW` trials."""


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with the half width of its 95 % interval."""

    value: float
    half_width: float


def regrets(way: str, seeds: int) -> list[Mean]:
    """Return the mean regret after each of the `SHOWN` numbers of trials."""
    runs = [_run(*WAYS[way], seed) for seed in range(seeds)]
    return [_mean([run[count - 1] for run in runs]) for count in SHOWN]


def difference(one: str, other: str, seeds: int) -> Mean:
    """Return the mean paired difference of two ways after all trials."""
    last = [[_run(*WAYS[way], seed)[-1] for seed in range(seeds)] for way in (one, other)]
    return _mean([a - b for a, b in zip(*last, strict=True)])


def _run(sampler: str, window: int, seed: int) -> list[float]:
    """Return the regret after each trial of one search."""
    view = View(study(TRIALS, window, sampler={"name": sampler}, seed=seed))
    best_there_is = float(recorded.table()[..., -1].min())
    values: list[float] = []
    for _ in range(TRIALS):
        while view.known < view.needs:
            view.tell(Result("complete", values[view.known], {}, {}))
        values.append(recorded.curve(recorded.Place(**view.ask().parameters))[-1])
    return [min(values[: count + 1]) - best_there_is for count in range(TRIALS)]


def by_epochs(way: str, seeds: int) -> tuple[list[Mean], float]:
    """Return the mean regret after the epochs of `SHOWN` full trials, and the trials they took."""
    count = TRIALS if SEARCHES[way]["pruner"]["name"] == "none" else 4 * TRIALS
    best_there_is = float(recorded.table()[..., -1].min())
    regrets: list[list[float]] = []
    numbers = []
    for seed in range(seeds):
        searched = study(count, WINDOW, seed=seed, **SEARCHES[way])
        trials = simulation.run(searched, simulation.SimulatedEngine(2, 1.0))
        spent = list(accumulate(trial.outcome.epoch for trial in trials))
        if spent[-1] < SHOWN[-1] * recorded.EPOCHS:
            raise ValueError(f"{way}: {count} trials took only {spent[-1]} epochs")
        within = [bisect_right(spent, full * recorded.EPOCHS) for full in SHOWN]
        numbers.append(within[-1])
        complete = [t.outcome.value if t.state == "complete" else math.inf for t in trials]
        regrets.append([min(complete[:reached]) - best_there_is for reached in within])
    return [_mean(column) for column in zip(*regrets, strict=True)], statistics.mean(numbers)


def _mean(values: Sequence[float]) -> Mean:
    # 1.96 of the normal distribution is 2.05 of Student's with 29 degrees of freedom.
    half = 2.05 * statistics.stdev(values) / len(values) ** 0.5
    return Mean(statistics.mean(values), half)
