"""Pooling: one number for each window of an image, so that small shifts matter less.

Both layers slide a window over each channel. An output length is
``(length - window) // stride + 1``; rows and columns that the last step does not reach are ignored.
Shapes: ``(batch, height, width, channels) -> (batch, output height, output width, channels)``.
"""

from dataclasses import dataclass

import numpy as np

from nets.arrays import Array, Shape
from nets.layers.base import Carry, Function
from nets.layers.convolution import Pair, check_pairs, col2im, im2col, output_size


@dataclass(frozen=True)
class Pooling(Function):
    """Base of both: a window, its stride, and the shapes.

    Parameters
    ----------
    window, stride
        ``(along the height, along the width)``, in pixels. If both are equal, windows tile the
        image.
    """

    window: Pair = (2, 2)
    stride: Pair = (2, 2)

    def __post_init__(self) -> None:
        check_pairs(self.name, {"window": self.window, "stride": self.stride}, least=1)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(output height, output width, channels)``."""
        self.check_shape(input_shape, "height", "width", "channels")
        return (*output_size(self.name, input_shape, self.window, self.stride), input_shape[2])

    def _windows(self, x: Array) -> tuple[Array, Shape]:
        """Return ``(output pixels, numbers in a window, channels)`` and the output's shape."""
        self.check(x, "height", "width", "channels")
        shape = (len(x), *self.output_shape(x.shape[1:]))
        numbers = self.window[0] * self.window[1]
        return im2col(x, self.window, self.stride).reshape(-1, numbers, x.shape[3]), shape


@dataclass(frozen=True)
class MaxPooling(Pooling):
    """Take the largest number of each window.

    The gradient is passed to that number alone: to the first one, in (row, column) order, if
    several are equal.

    >>> x = np.array([[3.0, 3.0], [1.0, 2.0]]).reshape(1, 2, 2, 1)
    >>> output, backward = MaxPooling().forward(x, {}, training=False)
    >>> output.ravel(), backward(np.full((1, 1, 1, 1), 5.0))[0].ravel()
    (array([3.]), array([5., 0., 0., 0.]))
    """

    def apply(self, x: Array) -> tuple[Array, Carry]:
        """Find the largest numbers; carry passes each the gradient of its window."""
        windows, shape = self._windows(x)
        winners = windows.argmax(axis=1, keepdims=True)
        output = np.take_along_axis(windows, winners, axis=1)

        def carry(gradient: Array) -> Array:
            shares = np.zeros(windows.shape, gradient.dtype)
            np.put_along_axis(shares, winners, gradient.reshape(output.shape), axis=1)
            return col2im(shares, x.shape, self.window, self.stride)

        return output.reshape(shape), carry


@dataclass(frozen=True)
class AveragePooling(Pooling):
    """Take the mean of each window; every number gets an equal share of the gradient.

    >>> x = np.array([[3.0, 3.0], [1.0, 2.0]]).reshape(1, 2, 2, 1)
    >>> output, backward = AveragePooling().forward(x, {}, training=False)
    >>> output.ravel(), backward(np.full((1, 1, 1, 1), 4.0))[0].ravel()
    (array([2.25]), array([1., 1., 1., 1.]))
    """

    def apply(self, x: Array) -> tuple[Array, Carry]:
        """Average; carry divides the gradient equally."""
        windows, shape = self._windows(x)

        def carry(gradient: Array) -> Array:
            share = gradient.reshape(len(windows), 1, -1) / windows.shape[1]
            shares = np.broadcast_to(share, windows.shape)
            return col2im(shares, x.shape, self.window, self.stride)

        return windows.mean(axis=1).reshape(shape), carry
