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

import math
from typing import Any

import numpy as np

from nets.arrays import Array
from nets.settings import Settings

NEGLIGIBLE = 1e-30
"""Smaller numbers are set to zero, long before float32 rounds them to subnormal numbers."""


class Optimizer:
    """Base of all optimizers; see the docstring of this module.

    Parameters
    ----------
    size
        Number of parameters.
    dtype
        Of the parameters and of all vectors here.
    """

    def __init__(self, size: int, dtype: Any = np.float64) -> None:
        self.scratch = np.empty(size, dtype)
        self.vectors: dict[str, Array] = {}
        """The vectors of the state, by name."""

    def remember(self, name: str) -> Array:
        """Return a vector of zeros that is part of the state."""
        self.vectors[name] = np.zeros_like(self.scratch)
        return self.vectors[name]

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step: change the parameters in place."""
        raise NotImplementedError

    def zero_negligible(self, parameters: Array) -> None:
        """Set numbers below `NEGLIGIBLE` to zero, in the parameters and in the state.

        Weights that nothing uses, those of a pixel that is always black for example, decay for
        ever, and so do moments without a gradient. Below 1.2e-38 a float32 number is subnormal.
        Intel's processors compute so slowly with such numbers that a training with many of them
        takes up to four times as long (docs/kernels.md).
        """
        for vector in (parameters, *self.vectors.values()):
            np.abs(vector, out=self.scratch)
            np.copyto(vector, 0, where=self.scratch < NEGLIGIBLE)

    def state(self) -> dict[str, Any]:
        """Return copies of the optimizer's state: arrays and integers."""
        return {name: vector.copy() for name, vector in self.vectors.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Set the state that `state` returned."""
        for name, vector in self.vectors.items():
            vector[:] = state[name]

    def step_by_root(
        self, parameters: Array, direction: Array, squares: Array, epsilon: float, rate: float
    ) -> None:
        """Subtract ``rate * direction / (sqrt(squares) + epsilon)`` from the parameters."""
        np.sqrt(squares, out=self.scratch)
        self.scratch += epsilon
        np.divide(direction, self.scratch, out=self.scratch)
        self.scratch *= rate
        parameters -= self.scratch


class SGD(Optimizer):
    """Stochastic gradient descent: ``w <- w - r g``.

    Simple, but slow where the gradient does not point towards the minimum: in a long valley it
    zigzags between the walls.

    >>> w = np.array([1.0, -2.0])
    >>> SGD(2).update(w, np.array([0.5, 0.5]), 0.1)
    >>> w
    array([ 0.95, -2.05])
    """

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step."""
        np.multiply(gradients, learning_rate, out=self.scratch)
        parameters -= self.scratch


class Momentum(Optimizer):
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
        super().__init__(size, dtype)
        self.momentum = momentum
        self.velocity = self.remember("velocity")

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step."""
        self.velocity *= self.momentum
        self.velocity += gradients
        np.multiply(self.velocity, learning_rate, out=self.scratch)
        parameters -= self.scratch


class Nesterov(Momentum):
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

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step."""
        self.velocity *= self.momentum
        self.velocity += gradients
        np.multiply(self.velocity, self.momentum, out=self.scratch)
        self.scratch += gradients
        self.scratch *= learning_rate
        parameters -= self.scratch


class AdaGrad(Optimizer):
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
        super().__init__(size, dtype)
        self.epsilon = epsilon
        self.squares = self.remember("squares")

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step."""
        np.square(gradients, out=self.scratch)
        self.squares += self.scratch
        self.step_by_root(parameters, gradients, self.squares, self.epsilon, learning_rate)


class RMSProp(Optimizer):
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
        super().__init__(size, dtype)
        self.decay = decay
        self.epsilon = epsilon
        self.squares = self.remember("squares")

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step."""
        np.square(gradients, out=self.scratch)
        self.scratch *= 1 - self.decay
        self.squares *= self.decay
        self.squares += self.scratch
        self.step_by_root(parameters, gradients, self.squares, self.epsilon, learning_rate)


class Adam(Optimizer):
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
        super().__init__(size, dtype)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.steps = 0
        self.mean = self.remember("mean")
        self.squares = self.remember("squares")

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
        rate = learning_rate * mean_factor / root_factor
        self.step_by_root(parameters, self.mean, self.squares, self.epsilon / root_factor, rate)

    def state(self) -> dict[str, Any]:
        """Return the number of steps and both moments."""
        return {"steps": self.steps, **super().state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Set the number of steps and both moments."""
        super().restore(state)
        self.steps = int(state["steps"])


class AdamW(Adam):
    """Adam with decoupled weight decay: first ``w <- w - r decay w``, then Adam's step.

    Decay that is added to the gradient is divided by sqrt(h): where gradients are large, weights
    hardly decay. Here every weight shrinks by the same factor. The factor contains the learning
    rate, including the schedule. Only the first ``weights`` numbers decay: a network stores its
    weights before its biases, scales and shifts. The other options are those of `Adam`.

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
        weight_decay: float = 0.01,
        weights: int | None = None,
        **of_adam: float,
    ) -> None:
        super().__init__(size, dtype, **of_adam)
        self.weight_decay = weight_decay
        self.weights = size if weights is None else weights

    def update(self, parameters: Array, gradients: Array, learning_rate: float) -> None:
        """Take one step."""
        if self.weight_decay:
            parameters[: self.weights] *= 1 - learning_rate * self.weight_decay
        super().update(parameters, gradients, learning_rate)


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
