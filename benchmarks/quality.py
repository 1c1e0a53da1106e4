"""How good the best trial is after a number of trials: sequential TPE, TPE with a window, random.

Values are looked up in the recorded table, so that only the choice of trials differs. The measure
is the regret: the validation loss of the best trial so far minus the best loss in the table.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import recorded
from benchmarks.utilization import study
from studies.search.sampling_view import Result, View

TRIALS = 60
SHOWN = (20, 40, 60)
WAYS = {
    "TPE, one by one": ("tpe", 1),
    "TPE, window 8": ("tpe", 8),
    "TPE, window 32": ("tpe", 32),
    "random": ("random", 1),
}


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


def _mean(values: Sequence[float]) -> Mean:
    # 1.96 of the normal distribution is 2.05 of Student's with 29 degrees of freedom.
    half = 2.05 * statistics.stdev(values) / len(values) ** 0.5
    return Mean(statistics.mean(values), half)
