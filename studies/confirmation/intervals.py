"""What few repetitions can say: means and proportions with their 95 % confidence intervals."""

import math
from collections.abc import Sequence
from statistics import mean, variance

from tracking.records.confirmation import Estimate

LEVEL = 0.95


def mean_of(values: Sequence[float], low: float = -math.inf, high: float = math.inf) -> Estimate:
    """Return the mean of independent repetitions with Student's t-interval.

    ``mean ± t(n - 1) s / sqrt(n)``, s the standard deviation with divisor n - 1, within the range
    that a mean can have, `low` to `high`. One value has a mean and no interval, and so have equal
    values, which say nothing about their spread.

    >>> mean_of([0.96, 0.97, 0.98]).rounded(), mean_of([0.9, 1.0], 0.0, 1.0).rounded()
    ((0.97, 0.9452, 0.9948), (0.95, 0.3147, 1.0))
    """
    middle = mean(values)  # exact before it is rounded, so that equal means compare equal
    if len(values) < 2 or (spread := variance(values)) == 0:
        return Estimate(middle)
    margin = _t(len(values) - 1) * math.sqrt(spread / len(values))
    return Estimate(middle, max(low, middle - margin), min(high, middle + margin))


def difference_of(one: Sequence[float], other: Sequence[float]) -> Estimate:
    """Return the difference of two means with Welch's t-interval: variances may be unequal.

    The degrees of freedom are those of Welch and Satterthwaite (Welch 1947, "The generalization of
    'Student's' problem when several different population variances are involved"). Without spread
    on either side, or with a single value on one, there is no interval.

    >>> difference_of([0.97, 0.98], [0.95, 0.96]).rounded()
    (0.02, -0.0104, 0.0504)
    """
    difference = mean(one) - mean(other)
    if min(len(one), len(other)) < 2:
        return Estimate(difference)
    a, b = variance(one) / len(one), variance(other) / len(other)
    if a + b == 0:
        return Estimate(difference)
    freedom = (a + b) ** 2 / (a**2 / (len(one) - 1) + b**2 / (len(other) - 1))
    margin = _t(freedom) * math.sqrt(a + b)
    return Estimate(difference, difference - margin, difference + margin)


def proportion_of(hits: int, count: int) -> Estimate:
    """Return a proportion with Wilson's interval, which stays in [0, 1] and is right near its ends.

    ``(p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n)`` (Wilson 1927, "Probable
    inference, the law of succession, and statistical inference").

    >>> proportion_of(95, 100).rounded()
    (0.95, 0.8882, 0.9785)
    """
    z = 1.959963984540054  # the normal distribution's 97.5 % point
    p = hits / count
    middle = p + z**2 / (2 * count)
    margin = z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    scale = 1 + z**2 / count
    return Estimate(p, max(0.0, (middle - margin) / scale), min(1.0, (middle + margin) / scale))


def _t(freedom: float) -> float:
    """Return the two-sided 95 % point of Student's t-distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))
