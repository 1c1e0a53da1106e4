"""Parameter importances: PED-ANOVA.

Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
Arbitrary Subspaces" (2023), written for one number per parameter. Optuna has it too, and agrees
(see the tests), but importing it loads scikit-learn for fANOVA, two seconds that `retrial show` and
the end of every search would wait for. fANOVA itself takes half a minute at 1,000 trials.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution

from studies.definition.space import Parameter, Space
from tracking.records import TrialRecord

FEWEST_VALUES = 4
"""Distinct values that complete trials need before importances are computed."""

_MOST_CELLS = 50


def importances(space: Space, ranked: Sequence[TrialRecord]) -> dict[str, float]:
    """Return each parameter's importance, largest first.

    `ranked` are the complete trials, best first. The good ones are the best tenth, or the best five
    while these are more, but never more than half. A parameter's importance is how much its density
    among good trials differs from its density among all; the shares sum to 1.

    Empty with too few trials.
    """
    if len({trial.value for trial in ranked}) < FEWEST_VALUES:
        return {}
    share = max(0.1, min(0.5, 5 / len(ranked)))
    last = ranked[math.ceil(share * len(ranked)) - 1].value
    # Including all that are equal to the last: the order among equals means nothing.
    count = max(i + 1 for i, trial in enumerate(ranked) if trial.value == last)
    found = {p.name: _importance(p, ranked[:count], ranked) for p in space.parameters}
    total = sum(found.values())
    if total == 0:
        return {}
    return {name: value / total for name, value in sorted(found.items(), key=lambda i: -i[1])}


def _importance(
    parameter: Parameter, good: Sequence[TrialRecord], everyone: Sequence[TrialRecord]
) -> float:
    """Return Pearson's divergence of good trials from all: Σ q (p / q - 1)².

    A conditional parameter exists only in some trials; their divergence is weighted by how many of
    the good trials have it.
    """
    having_good, having = (
        [t.parameters[parameter.name] for t in trials if parameter.name in t.parameters]
        for trials in (good, everyone)
    )
    if not having_good:
        return 0.0
    p, q = density(parameter, having_good), density(parameter, having)
    share_good, share = len(having_good) / len(good), len(having) / len(everyone)
    return share_good**2 / share * float(q @ (p / q - 1) ** 2)


def density(parameter: Parameter, values: Sequence[object]) -> NDArray[np.float64]:
    """Return the smoothed share of values in each cell of a parameter's range; it sums to 1.

    One Gaussian kernel per value, with the width of Scott's rule, and a uniform one over the whole
    range, so that no cell is empty.
    """
    places = np.array([parameter.place(value) for value in values])
    if isinstance(parameter.distribution, CategoricalDistribution):
        cells = len(parameter.distribution.choices)
        counts = np.bincount((places * cells).astype(int), minlength=cells)
        return (counts + 1 / cells) / (len(places) + 1)
    first, third = np.percentile(places, [25, 75])
    spread = min(places.std(ddof=1) if len(places) > 1 else 0.0, (third - first) / 1.34)
    cells = min(_MOST_CELLS, max(2, parameter.count or _MOST_CELLS))
    # Wide enough that nine tenths of a kernel lie in its own cell.
    width = max(1.059 * spread * len(places) ** -0.2, 0.5 / 1.64 / (cells - 1))
    centers = np.linspace(0, 1, cells)
    kernels = np.exp(-0.5 * ((centers - places[:, None]) / width) ** 2)
    kernels /= kernels.sum(axis=1, keepdims=True)
    return np.asarray((kernels.sum(axis=0) + 1 / cells) / (len(places) + 1))
