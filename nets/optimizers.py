"""Optimizers: how a gradient becomes a step, from the simplest to the most widely used.

An optimizer of each class here is created for a vector of ``size`` numbers and updates it in place:
``optimizer.update(parameters, gradients, learning_rate)``. A network keeps all its parameters in
one flat vector, so a step is a few vector operations into one preallocated scratch vector. No
gradient is modified. Every optimizer starts from zero state.

In the formulas w is the parameter, g its gradient, r the learning rate; products, squares and
roots are elementwise.

``state()`` returns copies of the optimizer's state and ``restore(state)`` sets it, so that a
resumed training is identical to the bit.

Weight decay. Adding ``decay * w`` to the gradient ("plain" or L2 decay) is done by the trainer and
works with any optimizer. In AdaGrad, RMSProp and Adam it is then divided by the same root as
the gradient; `AdamW` decouples it instead.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from nets.arrays import Array
from nets.settings import Settings


class Optimizer(Protocol):
    """The interface of every optimizer; see the docstring of this module."""

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step: change the parameters in place."""
        ...

    def state(self) -> dict[str, Any]:
        """Return copies of the optimizer's state: arrays and integers."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Set the state that `state` returned."""
        ...


class SGD:
    """Stochastic gradient descent: ``w <- w - r g``.

    Simple, but slow where the gradient does not point towards the minimum: in a long valley it
    zigzags between the walls.

    >>> w = np.array([1.0, -2.0])
    >>> SGD(2).update(w, np.array([0.5, 0.5]), 0.1)
    >>> w
    array([ 0.95, -2.05])
    """

    def __init__(self, size: int, dtype: Any = np.float64) -> None:
        self.scratch = np.empty(size, dtype)

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step."""
        np.multiply(gradients, learning_rate, out=self.scratch)
        parameters -= self.scratch

    def state(self) -> dict[str, Any]:
        """Return an empty dict: SGD has no state."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Do nothing: SGD has no state."""


class Momentum:
    """``v <- m v + g``, ``w <- w - r v``: steps accumulate like the speed of a rolling ball.

    The velocity v does not contain the learning rate, so a schedule acts on the whole step at once.
    (Textbooks often write ``v <- m v - r g``, ``w <- w + v``: the same while r is constant.)

    Source: Polyak (1964); this form: Sutskever et al. (ICML 2013), with r factored out.

    >>> w = np.array([1.0])
    >>> optimizer = Momentum(1, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.update(w, np.array([1.0]), 0.1)
    >>> w.round(6)  # 1 - 0.1 * 1 - 0.1 * 1.5
    array([0.75])
    """

    def __init__(self, size: int, dtype: Any = np.float64, *, momentum: float = 0.9) -> None:
        self.momentum = momentum
        self.velocity = np.zeros(size, dtype)
        self.scratch = np.empty(size, dtype)

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step."""
        self.velocity *= self.momentum
        self.velocity += gradients
        np.multiply(self.velocity, learning_rate, out=self.scratch)
        parameters -= self.scratch

    def state(self) -> dict[str, Any]:
        """Return the velocity."""
        return {"velocity": self.velocity.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Set the velocity."""
        self.velocity[:] = state["velocity"]


class Nesterov:
    """``v <- m v + g``, ``w <- w - r (g + m v)``: momentum that looks one step ahead.

    The gradient is meant to be taken at the point where the velocity is about to move w. This
    rearrangement is equivalent and takes the gradient at w itself: w then denotes the point ahead.

    Source: Nesterov (1983); this form: Bengio et al., Advances in Optimizing Recurrent Networks
    (2012), equation 7.

    >>> w = np.array([1.0])
    >>> optimizer = Nesterov(1, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.update(w, np.array([1.0]), 0.1)
    >>> w.round(6)  # 1 - 0.1 * (1 + 0.5 * 1) - 0.1 * (1 + 0.5 * 1.5)
    array([0.675])
    """

    def __init__(self, size: int, dtype: Any = np.float64, *, momentum: float = 0.9) -> None:
        self.momentum = momentum
        self.velocity = np.zeros(size, dtype)
        self.scratch = np.empty(size, dtype)

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step."""
        self.velocity *= self.momentum
        self.velocity += gradients
        np.multiply(self.velocity, self.momentum, out=self.scratch)
        self.scratch += gradients
        self.scratch *= learning_rate
        parameters -= self.scratch

    def state(self) -> dict[str, Any]:
        """Return the velocity."""
        return {"velocity": self.velocity.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Set the velocity."""
        self.velocity[:] = state["velocity"]


class AdaGrad:
    """``h <- h + g^2``, ``w <- w - r g / (sqrt(h) + eps)``: a learning rate for each w.

    Parameters with large past gradients take smaller steps. h only grows, so in the end all steps
    become small. Epsilon is outside the root.

    Source: Duchi, Hazan and Singer, Adaptive Subgradient Methods (JMLR 2011).

    >>> w = np.array([1.0, 1.0])
    >>> AdaGrad(2).update(w, np.array([100.0, 0.01]), 0.1)
    >>> w.round(6)  # the first step is r for every w, however steep
    array([0.9, 0.9])
    """

    def __init__(self, size: int, dtype: Any = np.float64, *, epsilon: float = 1e-10) -> None:
        self.epsilon = epsilon
        self.squares = np.zeros(size, dtype)
        self.scratch = np.empty(size, dtype)

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step."""
        np.square(gradients, out=self.scratch)
        self.squares += self.scratch
        np.sqrt(self.squares, out=self.scratch)
        self.scratch += self.epsilon
        np.divide(gradients, self.scratch, out=self.scratch)
        self.scratch *= learning_rate
        parameters -= self.scratch

    def state(self) -> dict[str, Any]:
        """Return the sums of squares."""
        return {"squares": self.squares.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Set the sums of squares."""
        self.squares[:] = state["squares"]


class RMSProp:
    """``h <- d h + (1 - d) g^2``, ``w <- w - r g / (sqrt(h) + eps)``: AdaGrad that forgets.

    h starts at zero without correction, so the first steps are up to ``1 / sqrt(1 - d)`` times as
    long as later ones. Epsilon is outside the root.

    Source: Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5 (2012).

    >>> w = np.array([1.0])
    >>> RMSProp(1, decay=0.75).update(w, np.array([3.0]), 0.1)
    >>> w.round(6)  # 1 - 0.1 * 3 / sqrt(0.25 * 9)
    array([0.8])
    """

    def __init__(
        self, size: int, dtype: Any = np.float64, *, decay: float = 0.99, epsilon: float = 1e-8
    ) -> None:
        self.decay = decay
        self.epsilon = epsilon
        self.squares = np.zeros(size, dtype)
        self.scratch = np.empty(size, dtype)

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step."""
        np.square(gradients, out=self.scratch)
        self.scratch *= 1 - self.decay
        self.squares *= self.decay
        self.squares += self.scratch
        np.sqrt(self.squares, out=self.scratch)
        self.scratch += self.epsilon
        np.divide(gradients, self.scratch, out=self.scratch)
        self.scratch *= learning_rate
        parameters -= self.scratch

    def state(self) -> dict[str, Any]:
        """Return the running means of squares."""
        return {"squares": self.squares.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Set the running means of squares."""
        self.squares[:] = state["squares"]


class Adam:
    """Momentum divided by RMSProp's root, both corrected for their start at zero.

    At step t (from 1)::

        m <- b1 m + (1 - b1) g          h <- b2 h + (1 - b2) g^2
        w <- w - r (m / (1 - b1^t)) / (sqrt(h / (1 - b2^t)) + eps)

    The two moments are stored without their factors ``1 - b1`` and ``1 - b2``, which are applied
    together with the corrections, as two scalars per step. The result is the same and two passes
    over the parameters are saved. Epsilon is as in the paper: outside the root, after the
    correction.

    Source: Kingma and Ba, Adam (ICLR 2015), algorithm 1.

    >>> w = np.array([1.0, 1.0])
    >>> Adam(2).update(w, np.array([100.0, 0.01]), 0.1)
    >>> w.round(6)  # the first step is r for every w, however steep
    array([0.9, 0.9])
    """

    def __init__(
        self,
        size: int,
        dtype: Any = np.float64,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.steps = 0
        self.mean = np.zeros(size, dtype)
        self.squares = np.zeros(size, dtype)
        self.scratch = np.empty(size, dtype)

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step."""
        self.steps += 1
        mean_factor = (1 - self.beta1) / (1 - self.beta1**self.steps)
        root_factor = math.sqrt((1 - self.beta2) / (1 - self.beta2**self.steps))
        self.mean *= self.beta1
        self.mean += gradients
        self.squares *= self.beta2
        np.square(gradients, out=self.scratch)
        self.squares += self.scratch
        np.sqrt(self.squares, out=self.scratch)
        self.scratch += self.epsilon / root_factor
        np.divide(self.mean, self.scratch, out=self.scratch)
        self.scratch *= learning_rate * mean_factor / root_factor
        parameters -= self.scratch

    def state(self) -> dict[str, Any]:
        """Return the number of steps and both moments."""
        return {
            "steps": self.steps,
            "mean": self.mean.copy(),
            "squares": self.squares.copy(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Set the number of steps and both moments."""
        self.steps = int(state["steps"])
        self.mean[:] = state["mean"]
        self.squares[:] = state["squares"]


class AdamW:
    """Adam with decoupled weight decay: first ``w <- w - r decay w``, then Adam's step.

    Decay that is added to the gradient is divided by sqrt(h): where gradients are large, weights
    hardly decay. Here every weight shrinks by the same factor. The factor contains the learning
    rate, including the schedule. Only the first ``weights`` numbers decay: a network stores its
    weights before its biases, scales and shifts.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization (ICLR 2019), algorithm 2,
    with the learning rate included in the schedule's factor.

    >>> w = np.array([1.0, 1.0])
    >>> AdamW(2, weight_decay=0.5, weights=1).update(w, np.array([1.0, 1.0]), 0.1)
    >>> w.round(6)  # 1 * (1 - 0.1 * 0.5) - 0.1, and 1 - 0.1
    array([0.85, 0.9 ])
    """

    def __init__(
        self,
        size: int,
        dtype: Any = np.float64,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        weights: int | None = None,
    ) -> None:
        self.adam = Adam(size, dtype, beta1=beta1, beta2=beta2, epsilon=epsilon)
        self.weight_decay = weight_decay
        self.weights = size if weights is None else weights

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step."""
        if self.weight_decay:
            parameters[: self.weights] *= 1 - learning_rate * self.weight_decay
        self.adam.update(parameters, gradients, learning_rate)

    def state(self) -> dict[str, Any]:
        """Return Adam's state."""
        return self.adam.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Set Adam's state."""
        self.adam.restore(state)


def clip_by_norm(gradients: Array, largest: float) -> float:
    """Scale a gradient in place to the norm ``largest`` if it is longer; return its old norm.

    The norm is that of the whole vector, so its direction does not change.

    Source: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks
    (ICML 2013), algorithm 1.

    >>> gradient = np.array([3.0, 4.0])
    >>> clip_by_norm(gradient, 1.0), gradient
    (5.0, array([0.6, 0.8]))
    """
    norm = float(np.linalg.norm(gradients))
    if norm > largest:
        gradients *= largest / norm
    return norm


def make(settings: Settings, size: int, weights: int, dtype: Any = np.float32) -> Optimizer:
    """Return the optimizer that the settings name, for ``size`` parameters.

    ``weights``: the number of leading parameters to which weight decay applies (only for AdamW).

    >>> type(make(Settings(optimizer="nesterov"), 10, 8)).__name__
    'Nesterov'
    """
    betas = {"beta1": settings.beta1, "beta2": settings.beta2}
    match settings.optimizer:
        case "sgd":
            return SGD(size, dtype)
        case "momentum":
            return Momentum(size, dtype, momentum=settings.momentum)
        case "nesterov":
            return Nesterov(size, dtype, momentum=settings.momentum)
        case "adagrad":
            return AdaGrad(size, dtype)
        case "rmsprop":
            return RMSProp(size, dtype, decay=settings.beta2)
        case "adam":
            return Adam(size, dtype, **betas)
        case "adamw":
            decay = settings.weight_decay
            return AdamW(size, dtype, **betas, weight_decay=decay, weights=weights)
