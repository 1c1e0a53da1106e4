"""Perceptrons: one neuron, the logic it can compute, and the rule by which it learns.

A perceptron adds up its inputs, each times a weight, and answers 1 if the sum is above a threshold.
With weights chosen by hand it is a logic gate; the learning rule finds weights from examples
whenever there are any. For XOR there are none: it needs a second layer, and with it everything else
in this package.

Sources: F. Rosenblatt, "The perceptron", Psychological Review 65 (1958); A. Novikoff, "On
convergence proofs for perceptrons" (1962); M. Minsky, S. Papert, Perceptrons (1969).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

INPUTS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
"""All inputs of a gate with two inputs, in the order of the examples below."""


@dataclass(frozen=True)
class Perceptron:
    """``y = 1 if w . x + b > 0 else 0``, in other words ``w . x > threshold`` with threshold = -b.

    Parameters
    ----------
    weights
        One for each input.
    bias
        Added to the weighted sum: above 0, the answer for inputs of zero is 1.

    Examples
    --------
    A bias is a threshold with the opposite sign; the two gates are equal.

    >>> Perceptron((0.5, 0.5), bias=-0.75) == Perceptron.with_threshold((0.5, 0.5), 0.75)
    True
    >>> Perceptron((1, -1), bias=0)([[3, 2], [2, 2], [2, 3]])
    array([1, 0, 0])
    """

    weights: tuple[float, ...]
    bias: float

    @classmethod
    def with_threshold(cls, weights: tuple[float, ...], threshold: float) -> Self:
        """Return the perceptron that answers 1 where ``w . x > threshold``."""
        return cls(weights, -threshold)

    @property
    def threshold(self) -> float:
        """The value that the weighted sum must exceed."""
        return -self.bias

    def __call__(self, x: ArrayLike) -> NDArray[np.int64]:
        """Return the answers, zeros and ones ``(...)``, for inputs ``(..., inputs)``.

        Raises
        ------
        ValueError
            If the last axis does not have one number per weight.
        """
        x = np.asarray(x)
        if x.shape[-1:] != (len(self.weights),):
            raise ValueError(
                f"perceptron: got inputs of shape {x.shape}, expected "
                f"(..., {len(self.weights)}), one number per weight"
            )
        answers: NDArray[np.bool_] = x @ np.array(self.weights) + self.bias > 0
        return np.asarray(answers, np.int64)


AND = Perceptron.with_threshold((0.5, 0.5), 0.75)
"""Both halves are needed to exceed three quarters."""
OR = Perceptron.with_threshold((0.5, 0.5), 0.25)
"""One half is enough to exceed a quarter."""
NAND = Perceptron((-0.5, -0.5), bias=0.75)
"""AND with every sign changed: the bias gives 1 unless both inputs are 1."""


def xor(x: ArrayLike) -> NDArray[np.int64]:
    """XOR from two layers: ``AND(NAND(x), OR(x))``, "not both, but one".

    No single perceptron computes it. It would need ``b <= 0``, ``w1 + b > 0``, ``w2 + b > 0`` and
    ``w1 + w2 + b <= 0``; the middle two add up to ``w1 + w2 + 2b > 0``, the outer two to
    ``w1 + w2 + 2b <= 0``.

    >>> xor(INPUTS)
    array([0, 1, 1, 0])
    """
    return AND(np.stack([NAND(x), OR(x)], axis=-1))


@dataclass(frozen=True, eq=False)
class Lesson:
    """The result of learning.

    Parameters
    ----------
    path
        Weights, bias last, at the start and after each correction:
        ``(corrections + 1, inputs + 1)``.
    epochs
        Number of passes through the examples, including the last one.
    learned
        Whether the last epoch made no mistake. If not, it ended with the same weights as an earlier
        epoch, so from there on everything repeats forever.
    """

    path: NDArray[np.int64]
    epochs: int
    learned: bool

    @property
    def corrections(self) -> int:
        """Number of mistakes, each of which changed the weights."""
        return len(self.path) - 1

    @property
    def perceptron(self) -> Perceptron:
        """The perceptron with the last weights."""
        *weights, bias = self.path[-1].tolist()
        return Perceptron(tuple(weights), bias)


def learn(x: ArrayLike, labels: ArrayLike) -> Lesson:
    """Learn weights from examples by Rosenblatt's rule, or prove that it never succeeds.

    Starting from zero, example after example: ``w <- w + (t - y) x`` and ``b <- b + (t - y)``,
    which changes nothing where the answer y equals the label t.

    This always ends. If some perceptron separates the examples, the rule makes at most
    `correction_bound` corrections (Novikoff). If none does, the weights still stay bounded (Minsky
    and Papert, the perceptron cycling theorem), and bounded integers must repeat. The inputs are
    therefore integers: the arithmetic is exact, and weights seen twice are a proof.

    Parameters
    ----------
    x
        Integers, ``(examples, inputs)``.
    labels
        Zeros and ones, ``(examples,)``.

    Raises
    ------
    TypeError
        For inputs that are not integers.
    ValueError
        For other shapes or labels.

    Examples
    --------
    >>> lesson = learn(INPUTS, [0, 0, 0, 1])
    >>> lesson.learned, lesson.perceptron
    (True, Perceptron(weights=(1, 2), bias=-2))
    >>> learn(INPUTS, [0, 1, 1, 0]).learned
    False
    """
    x, labels = np.asarray(x), np.asarray(labels)
    _check(x, labels)
    examples = np.concatenate([x, np.ones((len(x), 1), np.int64)], axis=1).astype(np.int64)
    weights = np.zeros(examples.shape[1], np.int64)
    path = [weights]
    seen = {weights.tobytes()}
    epochs = 0
    while True:
        epochs += 1
        corrections = len(path)
        for example, label in zip(examples, labels, strict=True):
            answer = int(weights @ example > 0)
            if answer != label:
                weights = weights + (label - answer) * example
                path.append(weights)
        learned = len(path) == corrections
        if learned or weights.tobytes() in seen:
            return Lesson(np.array(path), epochs, learned)
        seen.add(weights.tobytes())


def correction_bound(x: ArrayLike, labels: ArrayLike, separator: Perceptron) -> float:
    """Novikoff's bound ``(R |v| / m)^2`` on the corrections that `learn` makes.

    v are the weights and bias of any perceptron that separates the examples, R the greatest length
    of an input with a 1 appended for the bias, m the smallest margin ``|v . (x, 1)|`` from the
    decision. Proof: each correction moves the weights w by at least m along v, and adds at most R^2
    to |w|^2, because the answer was wrong; so after k of them
    ``k m <= w . v <= |w| |v| <= sqrt(k) R |v|``.

    Raises
    ------
    ValueError
        If the perceptron does not separate the examples, with no example on the boundary.

    Examples
    --------
    >>> correction_bound(INPUTS, [0, 0, 0, 1], AND)
    51.0
    """
    x, labels = np.asarray(x), np.asarray(labels)
    _check(x, labels)
    examples = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    v = np.array([*separator.weights, separator.bias])
    margins = np.where(labels == 1, 1, -1) * (examples @ v)
    if not margins.min() > 0:
        raise ValueError(
            f"{separator} does not separate the examples: example {margins.argmin()} has the "
            f"margin {margins.min()}, expected one above 0"
        )
    return float((examples**2).sum(axis=1).max() * (v @ v) / margins.min() ** 2)


def _check(x: NDArray[np.generic], labels: NDArray[np.generic]) -> None:
    if not np.issubdtype(x.dtype, np.integer):
        raise TypeError(f"the inputs must be integers, got {x.dtype}")
    if x.ndim != 2 or labels.shape != x.shape[:1] or len(x) == 0:
        raise ValueError(
            f"got inputs {x.shape} and labels {labels.shape}, "
            "expected (examples, inputs) and (examples,) with at least one example"
        )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1, got {sorted(set(labels.tolist()))}")
