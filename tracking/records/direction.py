"""In which direction values improve."""

import math
from collections.abc import Iterable
from enum import StrEnum


class Direction(StrEnum):
    """Whether a study's metric is maximized or minimized; stored as its text."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"

    @property
    def sign(self) -> int:
        """1 where higher values are better, -1 where lower ones are."""
        return 1 if self is Direction.MAXIMIZE else -1

    def better(self, one: float, other: float) -> bool:
        """Return whether a value is better than another; every number is better than NaN.

        >>> Direction.MAXIMIZE.better(0.9, 0.8), Direction.MINIMIZE.better(0.9, math.nan)
        (True, True)
        """
        if math.isnan(other):
            return not math.isnan(one)
        return self.sign * one > self.sign * other

    def best(self, values: Iterable[float]) -> float:
        """Return the best of some values.

        >>> Direction.MINIMIZE.best([0.3, 0.1, 0.2])
        0.1
        """
        return max(values, key=lambda value: self.sign * value)
