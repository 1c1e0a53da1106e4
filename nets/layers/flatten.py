"""Flatten: from images to the rows of an affine layer."""

import math
from dataclasses import dataclass

from nets.arrays import Array, Shape
from nets.layers.base import Carry, Function


@dataclass(frozen=True)
class Flatten(Function):
    """Reshape each input to one row, in (row, column, channel) order.

    ``(batch, height, width, channels) -> (batch, height * width * channels)``; any other shape is
    flattened in the same way, last axis fastest. Frameworks with channels first flatten in
    (channel, row, column) order: `nets.weights.load_foreign` converts.

    >>> import numpy as np
    >>> output, backward = Flatten().forward(np.zeros((2, 8, 8, 3)), {}, training=False)
    >>> output.shape, backward(output)[0].shape
    ((2, 192), (2, 8, 8, 3))
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the length of a row."""
        return (math.prod(input_shape),)

    def apply(self, x: Array) -> tuple[Array, Carry]:
        """Reshape; carry restores the shape."""
        return x.reshape(len(x), -1), lambda gradient: gradient.reshape(x.shape)
