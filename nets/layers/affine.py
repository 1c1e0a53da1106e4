"""Affine: every output is a weighted sum of all inputs."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from nets.arrays import Array, Shape
from nets.errors import InputError
from nets.layers.base import Backward, Layer, Parameter


@dataclass(frozen=True)
class Affine(Layer):
    """The fully connected layer, ``y = x W + b``.

    x is ``(batch, inputs)``, W ``(inputs, outputs)``, b ``(outputs,)``, y ``(batch, outputs)``.
    With D the gradient of the loss with respect to y, backward returns
    ``dx = D W^T``, ``dW = x^T D`` and ``db`` = the sum of D over the batch.

    Parameters
    ----------
    outputs
        Number of outputs, at least 1.
    bias
        Whether there is b. A layer directly before batch normalization needs none: the
        normalization would subtract it again.

    >>> import numpy as np
    >>> weights = {"weight": np.array([[1.0, 0.0], [2.0, -1.0]]), "bias": np.array([0.5, 0.0])}
    >>> output, backward = Affine(2).forward(np.array([[3.0, 4.0]]), weights, training=True)
    >>> output
    array([[11.5, -4. ]])
    >>> input_gradient, gradients = backward(np.array([[1.0, 1.0]]))
    >>> input_gradient, gradients["weight"]
    (array([[1., 1.]]), array([[3., 3.],
           [4., 4.]]))
    """

    outputs: int
    bias: bool = True

    def __post_init__(self) -> None:
        if self.outputs < 1:
            raise InputError(f"{self.name}.outputs", self.outputs, "an integer of at least 1")

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(outputs,)``; one input must be a row of numbers."""
        self.check_shape(input_shape, "inputs")
        return (self.outputs,)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        """Return W and b."""
        (inputs,) = input_shape
        weight = Parameter((inputs, self.outputs), inputs, self.outputs, "weight")
        if not self.bias:
            return {"weight": weight}
        return {"weight": weight, "bias": Parameter((self.outputs,), inputs, self.outputs, "bias")}

    def forward(
        self,
        x: Array,
        parameters: dict[str, Array],
        *,
        training: bool,
        noise: NDArray[Any] | None = None,
        statistics: dict[str, Array] | None = None,
    ) -> tuple[Array, Backward]:
        """Multiply and add; backward computes two products and a sum."""
        weight = parameters["weight"]
        self.check(x, weight.shape[0])
        output = x @ weight
        if self.bias:
            output += parameters["bias"]

        def backward(gradient: Array) -> tuple[Array, dict[str, Array]]:
            gradients: dict[str, Array] = {"weight": x.T @ gradient}
            if self.bias:
                gradients["bias"] = gradient.sum(axis=0)
            return gradient @ weight.T, gradients

        return output, backward
