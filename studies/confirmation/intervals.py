"""Means and proportions of few repetitions, with their 95 % confidence intervals."""

import math
import warnings
from collections.abc import Sequence
from statistics import mean

from tracking.records.confirmation import Estimate

LEVEL = 0.95


def mean_of(values: Sequence[float], low: float = -math.inf, high: float = math.inf) -> Estimate:
    """Return the mean of independent repetitions with Student's t-interval.

    The interval is cut to the range that a mean can have, `low` to `high`. One value has a mean and
    no interval, and so have equal values, which show no spread.

    >>> mean_of([0.96, 0.97, 0.98]).rounded(), mean_of([0.9, 1.0], 0.0, 1.0).rounded()
    ((0.97, 0.9452, 0.9948), (0.95, 0.3147, 1.0))
    """
    from scipy import stats

    middle = mean(values)  # rounded once, so that equal means compare equal
    if len(set(values)) < 2:
        return Estimate(middle)
    ends = stats.t.interval(LEVEL, len(values) - 1, loc=middle, scale=stats.sem(values))
    return Estimate(middle, max(low, float(ends[0])), min(high, float(ends[1])))


def difference_of(one: Sequence[float], other: Sequence[float]) -> Estimate:
    """Return the difference of two means with Welch's t-interval: variances may be unequal.

    Welch (1947), "The generalization of 'Student's' problem when several different population
    variances are involved". Without spread on either side, or with a single value on one, there is
    no interval.

    >>> difference_of([0.97, 0.98], [0.95, 0.96]).rounded()
    (0.02, -0.0104, 0.0504)
    """
    from scipy import stats

    difference = mean(one) - mean(other)
    if min(len(one), len(other)) < 2 or len(set(one)) == len(set(other)) == 1:
        return Estimate(difference)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        # SciPy warns of rounding where the values of one side are equal.
        ends = stats.ttest_ind(one, other, equal_var=False).confidence_interval(LEVEL)
    return Estimate(difference, float(ends.low), float(ends.high))


def proportion_of(hits: int, count: int) -> Estimate:
    """Return a proportion with Wilson's interval, which stays in [0, 1] and is right near its ends.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference".

    >>> proportion_of(95, 100).rounded()
    (0.95, 0.8882, 0.9785)
    """
    from scipy import stats

    ends = stats.binomtest(hits, count).proportion_ci(LEVEL, method="wilson")
    return Estimate(hits / count, float(ends.low), float(ends.high))
