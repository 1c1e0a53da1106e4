"""Parameter importances: how much of the difference between trials each parameter explains.

Bagged regression trees (Breiman, "Bagging Predictors", 1996) predict a trial's value from its
parameters. A parameter's share is the part of the squared error that its splits remove. Each tree
grows on a bootstrap sample of the trials, so the trees' shares also say how certain they are.

`benchmarks.importances` compares this with Optuna's evaluators; the results are in docs/reading.md.
The criterion is how often the parameter that matters most is named first. PED-ANOVA, which compares
where good trials are with where all are, depends on where the sampler has looked. Functional ANOVA
takes half a minute at 1,000 trials, none of Optuna's has intervals, and importing them loads
scikit-learn, which takes two seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution

from studies.definition.space import Parameter, Space
from tracking.records import TrialRecord

FEWEST_VALUES = 4
"""Distinct values that complete trials need before importances are computed."""

TREES = 100
_DEPTH = 6
_SAMPLE = 1000
"""At most as many trials are in a tree's sample, so that 10,000 take half a second too."""
_FENCE = 3.0
"""Values that are farther than this from the middle half, in its widths, count as that far."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Importance:
    """The share of a parameter, and the interval that has 90 % of the trees' shares."""

    share: float
    low: float
    high: float


def importances(space: Space, ranked: Sequence[TrialRecord]) -> dict[str, Importance]:
    """Return each parameter's importance, largest first; the shares sum to 1.

    `ranked` are the complete trials, best first. Empty with too few trials, and where no parameter
    explains anything.
    """
    if len({trial.value for trial in ranked}) < FEWEST_VALUES or not space.parameters:
        return {}
    values = _values(ranked)
    places = np.array([[_place(p, trial) for p in space.parameters] for trial in ranked])
    generator = np.random.default_rng(0)
    shares = []
    for _ in range(TREES):
        rows = generator.integers(len(ranked), size=min(len(ranked), _SAMPLE))
        columns, owners = _columns(space.parameters, places[rows], generator)
        gains = np.zeros(len(owners))
        _grow(columns, values[rows], gains, _DEPTH)
        if (total := gains.sum()) > 0:
            shares.append(np.bincount(owners, gains, len(space.parameters)) / total)
    if not shares:
        return {}
    means = np.mean(shares, axis=0)
    lows, highs = np.percentile(shares, [5, 95], axis=0)
    return {
        space.parameters[i].name: Importance(float(means[i]), float(lows[i]), float(highs[i]))
        for i in np.argsort(-means, kind="stable")
    }


def are_ordered(found: dict[str, Importance]) -> bool:
    """Return whether the first parameter is the most important one beyond its interval."""
    first, second, *_ = [*found.values(), Importance(0.0, 0.0, 0.0)]
    return first.low > second.high


def _values(ranked: Sequence[TrialRecord]) -> Floats:
    """Return the values without those that are infinite or so far off that they decide alone."""
    values = np.array([trial.value for trial in ranked], dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(len(values))
    values[~finite] = values[finite][-1]  # the worst
    values /= 16  # differences of 1e308 would be infinite
    first, third = np.percentile(values, [25, 75])
    fence = _FENCE * (third - first)
    if fence > 0:
        values = np.clip(values, first - fence, third + fence)
    return values / (np.abs(values).max() or 1.0)  # as would squares


def _place(parameter: Parameter, trial: TrialRecord) -> float:
    """Return where a trial is in a parameter's range, NaN where it does not have the parameter."""
    if parameter.name not in trial.parameters:
        return np.nan
    return parameter.place(trial.parameters[parameter.name])


def _columns(
    parameters: Sequence[Parameter], places: Floats, generator: np.random.Generator
) -> tuple[Floats, NDArray[np.intp]]:
    """Return the columns to split by, and the parameter that each belongs to.

    A choice is a column of zeros and ones. A conditional parameter has random ones of its values in
    trials without it: a fixed value there would tell the condition.
    """
    columns, owners = [], []
    for owner, parameter in enumerate(parameters):
        column = places[:, owner].copy()
        absent = np.isnan(column)
        column[absent] = 0.0 if absent.all() else generator.choice(column[~absent], absent.sum())
        if isinstance(parameter.distribution, CategoricalDistribution):
            count = len(parameter.distribution.choices)
            found = [(column * count).astype(int) == choice for choice in range(count)]
        else:
            found = [column]
        columns += found
        owners += [owner] * len(found)
    return np.array(columns, dtype=np.float64).T, np.array(owners)


def _grow(columns: Floats, values: Floats, gains: Floats, depth: int) -> None:
    """Add to `gains` by how much the splits of a regression tree reduce the squared error."""
    count = len(values)
    if count < 2 or depth == 0 or values.min() == values.max():
        return
    order = np.argsort(columns, axis=0, kind="stable")
    placed = np.take_along_axis(columns, order, axis=0)
    left = np.cumsum(values[order] - values.mean(), axis=0)[:-1]
    sizes = np.arange(1, count)[:, None]
    gain = left**2 * (1 / sizes + 1 / (count - sizes))
    gain[placed[1:] == placed[:-1]] = 0.0  # nothing is between equal ones
    at, column = np.unravel_index(gain.argmax(), gain.shape)
    if gain[at, column] <= 0:
        return
    gains[column] += gain[at, column]
    is_left = columns[:, column] <= placed[at, column]
    for side in (is_left, ~is_left):
        _grow(columns[side], values[side], gains, depth - 1)
