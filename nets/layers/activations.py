"""Activations: the nonlinearity between two affine layers, without which both would be one.

Every class here applies a function of `nets.functions` elementwise, in any shape; its backward pass
multiplies by the function's derivative. Only softmax operates on whole rows.
"""

from dataclasses import dataclass

import numpy as np

from nets import functions
from nets.arrays import Array, Shape
from nets.errors import InputError
from nets.functions import GELU_CUBIC, GELU_SCALE
from nets.layers.base import Carry, Function


@dataclass(frozen=True)
class Activation(Function):
    """Base of the activations, which do not change the shape."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the same shape."""
        return input_shape


@dataclass(frozen=True)
class Identity(Activation):
    """``y = x``: the output layer of regression, and no activation.

    >>> import numpy as np
    >>> Identity().forward(np.array([[-1.0, 2.0]]), {}, training=False)[0]
    array([[-1.,  2.]])
    """

    def apply(self, x: Array) -> tuple[Array, Carry]:
        """Use the derivative 1."""
        return functions.identity(x), lambda gradient: gradient


@dataclass(frozen=True)
class Step(Activation):
    """``y = 1`` where x > 0, else 0; its derivative is taken as zero everywhere.

    No layer before it can learn by gradients; it exists to demonstrate this.

    >>> import numpy as np
    >>> output, backward = Step().forward(np.array([[-1.0, 2.0]]), {}, training=False)
    >>> output, backward(np.ones((1, 2)))[0]
    (array([[0., 1.]]), array([[0., 0.]]))
    """

    def apply(self, x: Array) -> tuple[Array, Carry]:
        """Use the derivative 0."""
        return functions.step(x), np.zeros_like


@dataclass(frozen=True)
class Sigmoid(Activation):
    """``y = 1 / (1 + exp(-x))``, with derivative ``y (1 - y)``, at most 1/4.

    >>> import numpy as np
    >>> output, backward = Sigmoid().forward(np.zeros((1, 1)), {}, training=False)
    >>> output, backward(np.ones((1, 1)))[0]
    (array([[0.5]]), array([[0.25]]))
    """

    def apply(self, x: Array) -> tuple[Array, Carry]:
        """Use the derivative y (1 - y)."""
        y = functions.sigmoid(x)
        return y, lambda gradient: gradient * y * (1 - y)


@dataclass(frozen=True)
class Tanh(Activation):
    """``y = tanh(x)``, with derivative ``1 - y^2``.

    >>> import numpy as np
    >>> output, backward = Tanh().forward(np.full((1, 1), 0.5), {}, training=False)
    >>> output.round(4), backward(np.ones((1, 1)))[0].round(4)
    (array([[0.4621]]), array([[0.7864]]))
    """

    def apply(self, x: Array) -> tuple[Array, Carry]:
        """Use the derivative 1 - y^2."""
        y = functions.tanh(x)
        return y, lambda gradient: gradient * (1 - y * y)


@dataclass(frozen=True)
class ReLU(Activation):
    """``y = max(x, 0)``, with derivative 1 where x > 0, else 0 (at 0 itself, 0).

    >>> import numpy as np
    >>> output, backward = ReLU().forward(np.array([[-1.0, 0.0, 2.0]]), {}, training=False)
    >>> output, backward(np.ones((1, 3)))[0]
    (array([[0., 0., 2.]]), array([[0., 0., 1.]]))
    """

    def apply(self, x: Array) -> tuple[Array, Carry]:
        """Use the derivative 1 where y > 0, else 0."""
        y = functions.relu(x)
        return y, lambda gradient: gradient * (y > 0)


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """``y = x`` where x > 0, else ``slope * x``: inactive units still get a small gradient.

    Parameters
    ----------
    slope
        In [0, 1); the derivative where x <= 0.

    >>> import numpy as np
    >>> output, backward = LeakyReLU(0.1).forward(np.array([[-1.0, 2.0]]), {}, training=False)
    >>> output, backward(np.ones((1, 2)))[0]
    (array([[-0.1,  2. ]]), array([[0.1, 1. ]]))
    """

    slope: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.slope < 1:
            raise InputError(f"{self.name}.slope", self.slope, "a number in [0, 1)")

    def apply(self, x: Array) -> tuple[Array, Carry]:
        """Use the derivative 1 where x > 0, else the slope."""
        slope = x.dtype.type(self.slope)
        above = x > 0
        return (
            functions.leaky_relu(x, self.slope),
            lambda gradient: np.where(above, gradient, slope * gradient),
        )


@dataclass(frozen=True)
class GELU(Activation):
    """``y = x/2 (1 + t)`` with ``t = tanh(u)``, ``u = sqrt(2/pi) (x + 0.044715 x^3)``.

    A smooth ReLU, in its form with tanh; see `nets.functions.gelu`. Its derivative is
    ``(1 + t)/2 + x/2 (1 - t^2) du/dx``.

    >>> import numpy as np
    >>> output, backward = GELU().forward(np.array([[1.0]]), {}, training=False)
    >>> output.round(4), backward(np.ones((1, 1)))[0].round(4)
    (array([[0.8412]]), array([[1.083]]))
    """

    def apply(self, x: Array) -> tuple[Array, Carry]:
        """Use the derivative of the product of x/2 and 1 + t."""
        square = x * x
        t = np.tanh(GELU_SCALE * x * (1 + GELU_CUBIC * square))

        def carry(gradient: Array) -> Array:
            slope = GELU_SCALE * (1 + 3 * GELU_CUBIC * square)
            derivative: Array = (1 + t) / 2 + x / 2 * (1 - t * t) * slope
            return gradient * derivative

        return x / 2 * (1 + t), carry


@dataclass(frozen=True)
class Softmax(Activation):
    """``y_i = exp(x_i) / sum over j of exp(x_j)`` along the last axis: scores to probabilities.

    With D the gradient with respect to y, backward returns ``y (D - sum over j of D_j y_j)``.
    In training the last layer returns scores instead: `nets.losses.CrossEntropy` contains this
    function, and the combined derivative is shorter and more exact than the two in sequence.

    >>> import numpy as np
    >>> Softmax().forward(np.array([[0.3, 2.9, 4.0]]), {}, training=False)[0].round(3)
    array([[0.018, 0.245, 0.737]])
    """

    def apply(self, x: Array) -> tuple[Array, Carry]:
        """Use the derivative of a whole row."""
        y = functions.softmax(x)

        def carry(gradient: Array) -> Array:
            product = gradient * y
            product -= y * product.sum(axis=-1, keepdims=True)
            return product

        return y, carry


ACTIVATIONS: dict[str, type[Activation]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "gelu": GELU,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "identity": Identity,
}
"""The values of ``Settings.activation``."""
