"""Loss functions: how wrong the outputs are, as one number with a derivative.

Accuracy cannot replace a loss: it changes in jumps, and a small change of a weight usually does not
change it at all, so its derivative is zero almost everywhere.

Every loss is called as ``loss(outputs, targets, count=None) -> (value, backward)``: ``outputs`` is
what the network's last layer returns, ``(batch, classes)``; ``value`` is a Python float;
``backward()`` returns the derivative of that value with respect to the outputs, in their dtype.
Value and gradient are sums over the given rows, divided by ``count``, by default the number of
rows. A caller who cuts a mini-batch into parts passes the size of the whole, so that the parts add
up.

Targets are labels, integers ``(batch,)`` in 0..classes-1, or rows ``(batch, classes)``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array, check_floats
from nets.errors import InputError
from nets.functions import log_softmax

LossBackward: TypeAlias = Callable[[], Array]


class Loss(Protocol):
    """The interface of every loss; see the docstring of this module."""

    def __call__(
        self, outputs: Array, targets: NDArray[Any], count: int | None = None
    ) -> tuple[float, LossBackward]:
        """Return the loss and the function that computes its gradient."""
        ...


@dataclass(frozen=True)
class MeanSquaredError:
    """``sum over i, j of (y_ij - t_ij)^2 / (count * classes)``: the mean over rows and columns.

    There is no factor one half, so the gradient is ``2 (y - t) / (count * classes)``. Labels are
    converted to one-hot rows.

    >>> loss, backward = MeanSquaredError()(np.array([[0.1, 0.9]]), np.array([[0.0, 1.0]]))
    >>> round(loss, 6), backward()
    (0.01, array([[ 0.1, -0.1]]))
    """

    def __call__(
        self, outputs: Array, targets: NDArray[Any], count: int | None = None
    ) -> tuple[float, LossBackward]:
        """Return the loss and the function that computes its gradient."""
        difference = outputs - target_rows("mean squared error", targets, outputs)
        divisor = outputs.shape[1] * (len(outputs) if count is None else count)
        value = float(np.square(difference, dtype=np.float64).sum()) / divisor
        return value, lambda: difference * outputs.dtype.type(2 / divisor)


@dataclass(frozen=True)
class CrossEntropy:
    """``-sum over i, k of t_ik log(softmax(y_i)_k) / count``, from scores (logits) y.

    Softmax and loss in one: the gradient of the two together is ``(softmax(y) - t) / count``, and
    the logarithm is never taken of a probability that was rounded to zero.

    Parameters
    ----------
    label_smoothing
        e in [0, 1): the target becomes ``(1 - e) t + e / classes``, which keeps the
        network from becoming overconfident. Source: Szegedy et al., Rethinking the Inception
        Architecture (CVPR 2016), section 7.

    Targets are labels, or rows of probabilities (one-hot rows among them).

    >>> loss, backward = CrossEntropy()(np.log([[0.7, 0.2, 0.1]]), np.array([0]))
    >>> round(loss, 4), backward().round(4)
    (0.3567, array([[-0.3,  0.2,  0.1]]))
    >>> round(CrossEntropy(label_smoothing=0.3)(np.log([[0.7, 0.2, 0.1]]), np.array([0]))[0], 4)
    0.6765
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise InputError("label_smoothing", self.label_smoothing, "a number in [0, 1)")

    def __call__(
        self, outputs: Array, targets: NDArray[Any], count: int | None = None
    ) -> tuple[float, LossBackward]:
        """Return the loss and the function that computes its gradient."""
        distribution = target_rows("cross-entropy", targets, outputs)
        if targets.ndim == 2:
            check_probabilities(distribution)
        rows, classes = outputs.shape
        divisor = rows if count is None else count
        if self.label_smoothing:
            distribution = (1 - self.label_smoothing) * distribution + (
                self.label_smoothing / classes
            )
        logarithms = log_softmax(outputs)
        value = -float(np.multiply(distribution, logarithms, dtype=np.float64).sum()) / divisor

        def backward() -> Array:
            gradient = np.exp(logarithms)
            gradient -= distribution
            gradient /= divisor
            return gradient

        return value, backward


def one_hot(labels: NDArray[Any], classes: int, dtype: Any = np.float64) -> Array:
    """Return rows that are one at the label and zero elsewhere, ``(batch, classes)``.

    Raises
    ------
    TypeError
        The labels are not integers.
    InputError
        A label is not in 0..classes-1, or there are none.

    >>> one_hot(np.array([2, 0]), 3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    check_labels(labels, classes)
    rows = np.zeros((len(labels), classes), dtype)
    rows[np.arange(len(labels)), labels] = 1
    return rows


def check_labels(labels: NDArray[Any], classes: int) -> None:
    """Raise TypeError or InputError unless labels are integers in 0..classes-1."""
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    if len(labels) == 0:
        raise InputError("labels", problem="got none", expected="at least one")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise InputError("labels", low if low < 0 else high, f"integers in 0..{classes - 1}")


def target_rows(name: str, targets: NDArray[Any], outputs: Array) -> Array:
    """Return the targets as rows like the outputs; errors about either begin with `name`."""
    check_floats(f"{name}: outputs", outputs)
    if outputs.ndim != 2 or 0 in outputs.shape:
        raise InputError(f"{name}.outputs", outputs.shape, "(batch, classes) with at least one row")
    if targets.shape == outputs.shape[:1]:
        return one_hot(targets, outputs.shape[1], outputs.dtype)
    if targets.shape == outputs.shape:
        return targets.astype(outputs.dtype, copy=False)
    raise InputError(
        f"{name}.targets", targets.shape, f"labels {outputs.shape[:1]} or rows {outputs.shape}"
    )


def check_probabilities(rows: Array) -> None:
    """Raise InputError unless rows are at least 0 everywhere and sum to 1 (within 0.001)."""
    wrong = ~((rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1) - 1) < 1e-3))
    if wrong.any():
        worst = int(wrong.argmax())
        raise InputError(
            f"cross-entropy.targets[{worst}]", rows[worst].tolist(), "probabilities that sum to 1"
        )
