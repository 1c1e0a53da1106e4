"""Softmax and cross-entropy for labels, in few passes over small arrays.

With z = y minus its row's largest number, E = exp(z) and S the sum of a row of E::

    loss     = sum over rows of (log S - z[label]) / count
    gradient = (E / S - onehot(label)) / count

Label smoothing e replaces z[label] by ``(1 - e) z[label]`` plus e times the mean of z, as in
`nets.losses.CrossEntropy`, which is the reference.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array
from nets.kernels.views import allocate


class SoftmaxCrossEntropy:
    """Computes loss and gradient from and into fixed arrays ``(rows, classes)``.

    ``dy`` may share the memory of ``y``.

    >>> y, dy = np.log([[0.7, 0.2, 0.1]]), np.empty((1, 3))
    >>> value = SoftmaxCrossEntropy(y, dy)(np.array([0]), count=1, smoothing=0.0)
    >>> round(value, 4), dy.round(4)
    (0.3567, array([[-0.3,  0.2,  0.1]]))
    """

    def __init__(self, y: Array, dy: Array) -> None:
        rows, self.classes = y.shape
        self.y, self.dy = y, dy
        self.shifted = allocate(y.shape, y.dtype)
        self.column = allocate((rows, 1), y.dtype)
        self.rows = np.arange(rows)

    def __call__(self, labels: NDArray[Any], count: int, smoothing: float) -> float:
        """Return the loss of these rows, their part of the mean over ``count``; fill ``dy``."""
        shifted, column, dy = self.shifted, self.column, self.dy
        np.maximum.reduce(self.y, axis=1, keepdims=True, out=column)
        np.subtract(self.y, column, out=shifted)
        np.exp(shifted, out=dy)
        np.add.reduce(dy, axis=1, keepdims=True, out=column)
        loss = float(np.log(column).sum(dtype=np.float64))
        loss -= (1 - smoothing) * float(shifted[self.rows, labels].sum(dtype=np.float64))
        np.multiply(column, count, out=column)
        np.divide(dy, column, out=dy)
        dy[self.rows, labels] -= (1 - smoothing) / count
        if smoothing:
            loss -= smoothing * float(shifted.mean(axis=1, dtype=np.float64).sum())
            dy -= smoothing / (self.classes * count)
        return loss / count
