"""Score a network on images that it is not trained on."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array, scaled
from nets.losses import CrossEntropy

ROWS = 200
"""Images per prediction: enough for long matrix products, few enough to stay in the cache."""


class Predictor(Protocol):
    """Returns scores for a batch of images: a network, or its fast form."""

    def predict(self, x: Array) -> Array:
        """Return the scores, ``(batch, classes)``."""
        ...


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy (without label smoothing) and the fraction of images classified right."""

    loss: float
    accuracy: float


def evaluate(
    network: Predictor,
    images: NDArray[Any],
    labels: NDArray[Any],
    full_scale: int,
    rows: NDArray[np.int64] | None = None,
) -> Score:
    """Score a network on images, `ROWS` at a time and without dropout.

    Parameters
    ----------
    images, labels
        ``(n, height, width, channels)`` of 0..full_scale, and ``(n,)``.
    rows
        Indices of the images to use; None means all.
    """
    chosen = np.arange(len(images)) if rows is None else rows
    loss, hits = 0.0, 0
    for start in range(0, len(chosen), ROWS):
        part = chosen[start : start + ROWS]
        outputs = network.predict(scaled(images[part], full_scale))
        targets = labels[part]
        loss += CrossEntropy()(outputs, targets, count=len(chosen))[0]
        hits += int((outputs.argmax(axis=1) == targets).sum())
    return Score(loss, hits / len(chosen))
