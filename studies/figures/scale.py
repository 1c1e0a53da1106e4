"""The place of a value on an axis, from 0 to 1.

Every figure draws in these coordinates and writes its own ticks, so that an axis, parallel axes and
a colour bar all show a value in the same way.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from studies.definition.choices import decoded
from studies.definition.space import Parameter
from tracking.figures.style import fitted
from tracking.records import Direction, TrialRecord

Ticks = list[tuple[float, str]]
"""Places from 0 to 1, each with its label."""

_MOST_TICKS = 7
_LONGEST_CHOICE = 1.1
"""Inches."""
_LARGEST = 1e300
"""End of an axis: matplotlib computes with differences and multiples, which must be finite too."""
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class ValueScale:
    """An axis for the study's metric, from `low` to `high`.

    Differences among good trials are small compared with those to bad ones, so a linear axis often
    shows a line of equal points. Where values span much, ``logarithm`` places them by log10(v), and
    ``error`` places an accuracy by -log10(1 - v): from 0.9 to 0.99 is as far as from 0 to 0.9.
    A ``linear`` axis does not reach values far from the better half; they are drawn at its end.
    """

    kind: Literal["linear", "logarithm", "error"]
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float], metric: str, direction: Direction) -> "ValueScale | None":
        """Return the axis for some values; None when no value is finite."""
        known = np.array([value for value in values if math.isfinite(value)])
        known = np.clip(known, -_LARGEST, _LARGEST)
        if known.size == 0:
            return None
        low, high = float(known.min()), float(known.max())
        if low == high:
            margin = abs(low) / 20 or 1.0
            return cls("linear", low - margin, high + margin)
        is_maximized = direction == Direction.MAXIMIZE
        if metric.endswith("accuracy") and is_maximized and 0 <= low < high <= 1:
            errors = 1 - known
            # No error is placed as far above one error as one error above two.
            top = min(high, 1 - float(errors[errors > 0].min()) / 2)
            if (1 - low) / (1 - top) >= 5:
                return cls("error", low, top)
        elif low > 0 and high / low >= 20:
            return cls("logarithm", low, high)
        first, third = np.percentile(known, [25, 75])
        if third > first and is_maximized:
            low = max(low, float(first - 3 * (third - first)))
        elif third > first:
            high = min(high, float(third + 3 * (third - first)))
        return cls("linear", low, high)

    def place(self, values: float | Iterable[float]) -> NDArray[np.float64]:
        """Return the places of values; beyond an end it is that end, NaN stays NaN."""
        array = np.asarray(values if isinstance(values, float | int) else list(values), np.float64)
        low, high = self._position(np.array([self.low, self.high]))
        places = (self._position(np.clip(array, self.low, self.high)) - low) / (high - low)
        return np.asarray(places)

    def beyond(self, values: Iterable[float]) -> NDArray[np.int_]:
        """Return -1 for values below the axis, 1 for those above it, 0 for those on it."""
        array = np.asarray(list(values), np.float64)
        return (array > self.high).astype(int) - (array < self.low)

    def ticks(self) -> Ticks:
        """Return a few round values."""
        if self.kind == "linear":
            values = [float(v) for v in MaxNLocator(6).tick_values(self.low, self.high)]
        else:
            values = self._steps()
        kept = sorted(v for v in values if self.low <= v <= self.high)
        kept = kept[:: math.ceil(len(kept) / _MOST_TICKS) or 1]
        return [(float(self.place(value)), f"{value:.6g}") for value in kept]

    def label(self, metric: str) -> str:
        """Return the title of the axis."""
        endings = {"linear": "", "logarithm": " (log scale)", "error": " (log scale of the error)"}
        return metric + endings[self.kind]

    def _steps(self) -> list[float]:
        """Return powers of ten, with as many steps between them as there is room for."""
        powers = range(-15, 16)
        if self.kind == "logarithm":
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for digits in ((1, 2, 3, 5), (1, 2, 5), (1,)):
            values = [10.0**power * digit for power in powers for digit in digits]
            if self.kind == "error":
                values = [1 - value for value in values]
            if sum(self.low <= value <= self.high for value in values) <= _MOST_TICKS:
                break
        return values

    def _position(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.kind == "logarithm":
            return np.log10(values)
        return -np.log10(1 - values) if self.kind == "error" else values


def values_of(trials: list[TrialRecord]) -> list[float]:
    """Return the values of trials that have one."""
    return [trial.value for trial in trials if trial.value is not None]


def parameter_ticks(parameter: Parameter, most: int = 6) -> Ticks:
    """Return a few round values of a parameter, or all its choices, on its own scale."""
    distribution = parameter.distribution
    if isinstance(distribution, CategoricalDistribution):
        return [
            (parameter.place(c), fitted(str(decoded(c)), _LONGEST_CHOICE, 9))
            for c in distribution.choices
        ]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    if distribution.log and high / low >= 100:
        powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
        is_plain = powers[0] >= -3 and powers[-1] <= 3
        powers = powers[:: math.ceil(len(powers) / most)]
        if is_plain:
            return [(parameter.place(10.0**p), f"{10.0**p:g}") for p in powers]
        return [(parameter.place(10.0**p), f"10{str(p).translate(_SUPERSCRIPTS)}") for p in powers]
    if distribution.log and high / low >= 4:
        steps = [10.0**power * digit for power in range(-9, 9) for digit in (1, 2, 5)]
        return [(parameter.place(v), f"{v:g}") for v in steps if low <= v <= high]
    whole = isinstance(distribution, IntDistribution)
    locator = MaxNLocator(most - 1, integer=whole, steps=[1, 2, 2.5, 5, 10])
    values = locator.tick_values(low, high)
    slack = 1e-9 * (high - low)
    kept = [float(v) for v in values if low - slack <= v <= high + slack]
    return [(parameter.place(min(max(v, low), high)), f"{v:.4g}") for v in kept]
