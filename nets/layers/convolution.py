"""Convolution: the same small affine map applied at every position of an image.

An affine layer ignores which pixels are neighbours; a convolution uses only neighbours. Here it is
a matrix product: `im2col` copies the window of each output pixel into a row, the product with the
kernels computes all outputs at once, and `col2im` is the way back. This costs memory (each pixel is
copied once for every window that contains it) but needs only one long product. It is the plain
form, valid for every stride, padding and kernel; `nets.kernels` has faster ones.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nets.arrays import Array, Shape
from nets.errors import InputError
from nets.layers.base import Backward, Layer, Parameter

Pair = tuple[int, int]
"""One number for the rows and one for the columns."""


@dataclass(frozen=True)
class Convolution(Layer):
    """Slide each kernel over the image; at each position, multiply and sum.

    ``y[b, i, j, f] = sum over u, v, c of x[b, i s + u - p, j s + v - p, c] W[u, v, c, f] + b[f]``
    with stride s and padding p, x being zero outside of the image. (The kernel is not flipped:
    strictly, this is a cross-correlation.)

    x is ``(batch, height, width, channels)``, W ``(kernel height, kernel width, channels,
    filters)``, y ``(batch, output height, output width, filters)``, where an output length is
    ``(length + 2 padding - kernel) // stride + 1``. Rows and columns that the last step does not
    reach are ignored.

    Parameters
    ----------
    filters
        Number of kernels, which is the number of output channels.
    kernel, stride, padding
        ``(along the height, along the width)``, in pixels. Padding is on both sides.
    bias
        Whether there is b; directly before batch normalization it is not needed.

    Source: LeCun et al., Gradient-based learning applied to document recognition (1998).

    >>> image = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> edges = {"weight": np.array([-1.0, 1.0]).reshape(1, 2, 1, 1), "bias": np.zeros(1)}
    >>> layer = Convolution(filters=1, kernel=(1, 2))
    >>> output, backward = layer.forward(image, edges, training=False)
    >>> output[0, :, :, 0]
    array([[1., 1.],
           [1., 1.],
           [1., 1.]])
    """

    filters: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    bias: bool = True

    def __post_init__(self) -> None:
        check_pairs(self.name, {"kernel": self.kernel, "stride": self.stride}, least=1)
        check_pairs(self.name, {"padding": self.padding}, least=0)
        if self.filters < 1:
            raise InputError(f"{self.name}.filters", self.filters, "an integer of at least 1")

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(output height, output width, filters)``."""
        self.check_shape(input_shape, "height", "width", "channels")
        size = output_size(self.name, input_shape, self.kernel, self.stride, self.padding)
        return (*size, self.filters)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        """Return W and b."""
        channels, area = input_shape[2], self.kernel[0] * self.kernel[1]
        fans = (area * channels, area * self.filters)
        weight = Parameter((*self.kernel, channels, self.filters), *fans, "weight")
        if not self.bias:
            return {"weight": weight}
        return {"weight": weight, "bias": Parameter((self.filters,), *fans, "bias")}

    def forward(
        self,
        x: Array,
        parameters: dict[str, Array],
        *,
        training: bool,
        noise: NDArray[Any] | None = None,
        statistics: dict[str, Array] | None = None,
    ) -> tuple[Array, Backward]:
        """Multiply the windows by the kernels; backward differentiates both factors."""
        weight = parameters["weight"]
        self.check(x, "height", "width", weight.shape[2])
        height, width, _ = self.output_shape(x.shape[1:])
        kernels = weight.reshape(-1, self.filters)
        columns = im2col(x, self.kernel, self.stride, self.padding)
        output = columns @ kernels
        if self.bias:
            output += parameters["bias"]

        def backward(gradient: Array) -> tuple[Array, dict[str, Array]]:
            rows = gradient.reshape(-1, self.filters)
            gradients: dict[str, Array] = {"weight": (columns.T @ rows).reshape(weight.shape)}
            if self.bias:
                gradients["bias"] = rows.sum(axis=0)
            windows = rows @ kernels.T
            return col2im(windows, x.shape, self.kernel, self.stride, self.padding), gradients

        return output.reshape(len(x), height, width, self.filters), backward


def im2col(images: Array, kernel: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Array:
    """Copy the window of each output pixel into one row.

    Parameters
    ----------
    images
        ``(batch, height, width, channels)``.
    kernel, stride, padding
        ``(along the height, along the width)``; the padding is zeros.

    Returns
    -------
    array (batch * output height * output width, kernel height * kernel width * channels)
        Rows in the order of the output pixels; within a row, the window's numbers in (row, column,
        channel) order. A new array.

    >>> image = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> im2col(image, (2, 2))
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    rows, columns = output_size("im2col", images.shape[1:], kernel, stride, padding)
    if any(padding):
        images = np.pad(images, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    windows = sliding_window_view(images, kernel, axis=(1, 2))[:, :: stride[0], :: stride[1]]
    # (batch, row, column, channel, kernel row, kernel column): channels must come last in a row
    ordered = windows.transpose(0, 1, 2, 4, 5, 3)
    return ordered.copy().reshape(len(images) * rows * columns, -1)


def col2im(
    columns: Array, shape: Shape, kernel: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Add every row of windows back to the pixels it came from: the adjoint of `im2col`.

    For all images x and rows c, ``sum(im2col(x) * c) = sum(x * col2im(c))``, which is exactly what
    a backward pass needs. It is not the inverse: a pixel in several windows gets their sum.

    Parameters
    ----------
    columns
        What `im2col` returned for images of this shape, or a gradient of it.
    shape
        ``(batch, height, width, channels)`` of the images.
    kernel, stride, padding
        As given to `im2col`.

    Returns
    -------
    array of ``shape``
        A new array.

    >>> image = np.ones((1, 3, 3, 1))
    >>> col2im(im2col(image, (2, 2)), image.shape, (2, 2))[0, :, :, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    batch, height, width, channels = shape
    rows, places = output_size("col2im", shape[1:], kernel, stride, padding)
    windows = columns.reshape(batch, rows, places, *kernel, channels)
    (top, left), (down, right) = padding, stride
    images = np.zeros((batch, height + 2 * top, width + 2 * left, channels), columns.dtype)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            images[:, u : u + down * rows : down, v : v + right * places : right] += windows[
                :, :, :, u, v
            ]
    return images[:, top : top + height, left : left + width]


def output_size(
    name: str, input_shape: Shape, kernel: Pair, stride: Pair, padding: Pair = (0, 0)
) -> Pair:
    """Return the number of positions of a window along the height and along the width.

    ``(length + 2 padding - kernel) // stride + 1`` each. Raises `InputError`, with `name` as its
    key, for a kernel that is larger than its image.

    >>> output_size("pool", (28, 28, 1), (2, 2), (2, 2))
    (14, 14)
    >>> output_size("convolution3", (2, 4, 16), (5, 5), (1, 1), (1, 1))
    Traceback (most recent call last):
    nets.errors.InputError: convolution3: the kernel (5, 5) is larger than its image (2, 4) with \
padding (1, 1)
    """
    height, width = (
        (length + 2 * pad - size) // step + 1 if length + 2 * pad >= size else 0
        for length, size, step, pad in zip(input_shape, kernel, stride, padding, strict=False)
    )
    if not height or not width:
        raise InputError(
            name,
            problem=f"the kernel {kernel} is larger than its image {tuple(input_shape[:2])} "
            f"with padding {padding}",
        )
    return height, width


def check_pairs(name: str, pairs: dict[str, Pair], *, least: int) -> None:
    """Raise InputError unless each stride, kernel or padding is two integers, at least `least`."""
    for what, pair in pairs.items():
        if not (
            isinstance(pair, tuple)
            and len(pair) == 2
            and all(isinstance(number, int) and number >= least for number in pair)
        ):
            raise InputError(f"{name}.{what}", pair, f"two integers, each at least {least}")
