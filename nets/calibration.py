"""Calibration: whether probabilities match accuracy: of answers with 0.9, nine in ten right."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array


@dataclass(frozen=True)
class Reliability:
    """Answers in bins of equal width by their confidence, which is the highest probability.

    ``edges`` has one entry more than the others. ``confidence`` and ``accuracy`` are means over a
    bin's answers, 0 for an empty bin.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error, from 0 to 1.

        The mean over all answers of ``|accuracy - confidence|`` of their bin (Guo et al. 2017, "On
        Calibration of Modern Neural Networks", equation 3).
        """
        gaps = np.abs(self.accuracy - self.confidence)
        return float((self.counts * gaps).sum() / self.counts.sum())


def reliability(probabilities: Array, labels: NDArray[Any], bins: int = 10) -> Reliability:
    """Compare the confidence of the answers with their accuracy.

    Parameters
    ----------
    probabilities
        ``(n, classes)``, n at least 1.
    labels
        ``(n,)``.
    bins
        Number of bins that divide the range 0 to 1; each bin includes its upper edge.

    >>> scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7]])
    >>> found = reliability(scores, np.array([0, 1, 1]), bins=2)
    >>> found.counts, round(found.error, 3)
    (array([0, 3]), 0.167)
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    divisor = np.maximum(counts, 1)
    return Reliability(
        edges=np.linspace(0, 1, bins + 1),
        counts=counts,
        confidence=np.bincount(place, weights=confidence, minlength=bins) / divisor,
        accuracy=np.bincount(place, weights=right, minlength=bins) / divisor,
    )
