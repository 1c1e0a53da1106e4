"""The correlation of a convolution, and its gradients: each a few batches of small products.

Forward, for x ``(rows, height, width, channels)``, in three steps::

    V = B^T x       each tile's rows of x become one line in each of n planes
    M = V U         per plane and column, windows (lines, taps * channels) times
                    U (taps * channels, filters)
    y = A^T M       each tile's lines become its m rows of outputs

U = G w is the transformed kernel. Only the height is transformed. Along the width, the columns
under the kernel are adjacent in memory: a window of taps * channels numbers is a row of a matrix,
and a strided view lists the windows of all lines without copying.

Padding costs nothing. Along the height, the columns of B^T for rows outside of the image are
omitted; along the width, the lines of a plane share their zeros.

Backward is the same three steps transposed, in reverse order::

    D = A dy        each tile's rows of dy become one line in each plane
    dU = V^T D      tap by tap: V shifted by a column is the same memory with another offset
    dV = D U^T      per plane and column, windows (lines, taps * filters) of D
    dx = B dV       each tile's lines become n rows, the last of which overlap with the next tile's

The columns of D that belong to no output are zero, so dU is computed over all columns of a plane at
once.

The bias is added in the plane of point 1, whose column of A^T is all ones: a number added there is
added to every row of outputs, and in backward this plane holds the sum of each tile's rows of dy.

Where a window is blank (all its numbers are zero), y is the bias. But its tile may not be blank,
and then the others' numbers cancel only up to rounding. That matters where the bias is exactly
zero, as at the start of a training: a ReLU passes gradients through rounding errors above zero.
`blank` finds these windows.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nets.arrays import Array
from nets.kernels.tiles import Product, from_lines, into_planes, multiply
from nets.kernels.views import allocate, pieces, strided
from nets.kernels.winograd import Geometry, Matrices, cook_toom
from nets.kernels.workspace import Workspace


class Weights:
    """A convolution's weights in the form of the products: once for all parts and threads.

    Attributes
    ----------
    forward
        U, ``(points, 1, taps * channels, filters)``.
    backward
        U^T with its taps in reverse, ``(points, 1, taps * filters, channels)``.
    bias
        b repeated for every column, ``(out_width * filters,)``; None if there is none.
    has_zeros
        Whether a filter has no bias, or one that is exactly zero.
    """

    def __init__(self, sizes: Geometry, dtype: np.dtype[np.floating], *, bias: bool) -> None:
        s = self.sizes = sizes
        self.matrix = cook_toom(s.tile, s.kernel_height).kernel.astype(dtype)
        self.forward = allocate((s.points, 1, s.kernel_width * s.channels, s.filters), dtype)
        self.backward = allocate((s.points, 1, s.kernel_width * s.filters, s.channels), dtype)
        self.bias = allocate((s.out_width * s.filters,), dtype) if bias else None
        self.has_zeros = True

    def set(self, weight: Array, bias: Array | None) -> None:
        """Set a kernel ``(height, width, channels, filters)`` and a bias ``(filters,)``."""
        s = self.sizes
        rows = weight.reshape(s.kernel_height, -1)
        np.matmul(self.matrix, rows, out=self.forward.reshape(s.points, -1))
        taps = self.forward.reshape(s.points, s.kernel_width, s.channels, s.filters)
        turned = taps[:, ::-1].swapaxes(2, 3)
        self.backward.reshape(turned.shape)[...] = turned
        if bias is not None and self.bias is not None:
            self.bias.reshape(-1, s.filters)[...] = bias
            self.has_zeros = not bias.all()

    def gradient(self, planes: Array, out: Array) -> None:
        """Transform a gradient of U back to one of the kernel: dw = G^T dU."""
        s = self.sizes
        np.matmul(self.matrix.T, planes.reshape(s.points, -1), out=out.reshape(s.kernel_height, -1))


class Correlation:
    """``y = x * w + b`` from and into fixed arrays.

    Parameters
    ----------
    x, y
        ``(rows, height, width, channels)`` and ``(rows, out_height, out_width, filters)``.
    planes
        Receives V, in the shape of `planes_shape`; zero where nothing is written.
    workspace
        Provides the memory for M.
    exact_zeros
        Whether y must be exactly zero where the plain form has zeros, see `blank`.
    """

    def __init__(
        self,
        sizes: Geometry,
        x: Array,
        y: Array,
        planes: Array,
        workspace: Workspace,
        *,
        exact_zeros: bool,
    ) -> None:
        s = self.sizes = sizes
        # A tile of one row is exactly one window high.
        self.exact_zeros = exact_zeros and s.tile > 1
        self.x, self.y = x, y
        matrices = cook_toom(s.tile, s.kernel_height)
        self.into_planes = into_planes(
            s,
            matrices.inputs.astype(x.dtype),
            x,
            planes,
            offset=-s.padding_height,
            margin=s.padding_width,
        )
        self.windows = windows(s, planes, s.out_width, s.channels)
        lines = workspace.scratch("lines", (s.lines, s.points, s.out_width, s.filters))
        self.products = lines.transpose(1, 2, 0, 3)
        self.bias_lines = lines[:, point_one(matrices)].reshape(s.lines, -1)
        self.into_outputs = from_lines(s, matrices.outputs.astype(x.dtype), lines, y, offset=0)

    def __call__(self, weights: Weights) -> None:
        """Fill y."""
        multiply(self.into_planes)
        np.matmul(self.windows, weights.forward, out=self.products)
        if weights.bias is not None:
            np.add(self.bias_lines, weights.bias, out=self.bias_lines)
        multiply(self.into_outputs)
        if self.exact_zeros and weights.has_zeros:
            bias = 0 if weights.bias is None else weights.bias[: self.sizes.filters]
            self.y[blank(self.sizes, self.x)] = bias


class CorrelationGradients:
    """Adds dU and db of one micro-batch to a lane, and fills dx.

    Parameters
    ----------
    planes
        V, as filled by the forward call.
    dy, dx
        In the shapes of y and x; dx is None if it is not needed.
    sums
        ``(lanes, sums_size(sizes))``.
    """

    def __init__(
        self,
        sizes: Geometry,
        planes: Array,
        dy: Array,
        dx: Array | None,
        workspace: Workspace,
        sums: Array,
    ) -> None:
        s = sizes
        matrices = cook_toom(s.tile, s.kernel_height)
        # The name contains the sizes, so that all users of this memory have the same zeros.
        spread = workspace.scratch(f"spread {s}", (s.points, s.columns + s.back_padding, s.filters))
        self.into_spread = into_planes(
            s,
            matrices.outputs.T.astype(dy.dtype),
            dy,
            spread,
            offset=0,
            margin=s.back_padding,
        )

        count = pieces(s.columns, s.channels * s.filters * s.columns, at_least=64)
        length = s.columns // count
        shifted = strided(
            planes,
            (count, s.points, s.kernel_width, s.channels, length),
            (length * s.channels, planes[0].size, s.channels, 1, s.channels),
        )
        outputs = strided(
            spread,
            (count, s.points, 1, length, s.filters),
            (length * s.filters, spread[0].size, 0, s.filters, 1),
            s.back_padding * s.filters,
        )
        self.pieces = list(zip(shifted, outputs, strict=True))
        shape = (s.points, s.kernel_width, s.channels, s.filters)
        self.share = workspace.scratch("share", shape)
        size = self.share.size
        self.kernel_sums = sums[:, :size].reshape(-1, *shape)

        self.tile_sums = spread[point_one(matrices), : s.columns].reshape(s.lines, -1)
        self.ones = workspace.keep((s.lines,))
        self.ones[...] = 1
        self.bias_share = workspace.keep((s.pitch * s.filters,))
        self.bias_sums = sums[:, size:]

        self.into_inputs: list[Product] = []
        if dx is not None:
            self.windows = windows(s, spread, s.width, s.filters)
            lines = workspace.scratch("lines", (s.lines, s.points, s.width, s.channels))
            self.products = lines.transpose(1, 2, 0, 3)
            self.into_inputs = from_lines(
                s, matrices.inputs.T.astype(dy.dtype), lines, dx, offset=-s.padding_height
            )

    def __call__(self, weights: Weights, lane: int, *, first: bool) -> None:
        """Assign or add to the sums of a lane, and fill dx."""
        multiply(self.into_spread)
        if weights.bias is not None:
            bias = self.bias_sums[lane]
            np.matmul(self.ones, self.tile_sums, out=bias if first else self.bias_share)
            if not first:
                np.add(bias, self.bias_share, out=bias)
        total = self.kernel_sums[lane]
        for shifted, outputs in self.pieces:
            np.matmul(shifted, outputs, out=total if first else self.share)
            if not first:
                np.add(total, self.share, out=total)
            first = False
        if self.into_inputs:
            np.matmul(self.windows, weights.backward, out=self.products)
            multiply(self.into_inputs)


def blank(sizes: Geometry, images: Array) -> NDArray[np.bool_]:
    """Return which windows contain only zeros, ``(rows, out_height, out_width)``.

    >>> blank(
    ...     Geometry(1, 1, 4, 1, 1, 1, 2, 0, 0), np.array([0.0, 0.0, 0.0, 5.0]).reshape(1, 1, 4, 1)
    ... )
    array([[[ True,  True, False]]])
    """
    padding = ((0, 0), (sizes.padding_height,) * 2, (sizes.padding_width,) * 2)
    used: NDArray[np.bool_] = np.pad(images.any(axis=3), padding)
    for axis, taps in ((1, sizes.kernel_height), (2, sizes.kernel_width)):
        used = np.logical_or.reduce(sliding_window_view(used, taps, axis=axis), axis=3)
    return ~used


def planes_shape(sizes: Geometry) -> tuple[int, int, int]:
    """Return the shape of V, with a tail for windows that begin in the last column of a line."""
    return (sizes.points, sizes.columns + sizes.kernel_width - 1, sizes.channels)


def sums_size(sizes: Geometry) -> int:
    """Return the number of values that the gradients sum: dU, and the columns of db."""
    taps = sizes.points * sizes.kernel_width
    return taps * sizes.channels * sizes.filters + sizes.pitch * sizes.filters


def point_one(matrices: Matrices) -> int:
    """Return the plane of point 1, or with a single output per tile an equivalent one.

    >>> point_one(cook_toom(4, 3)), point_one(cook_toom(1, 1))
    (1, 0)
    """
    return int(np.flatnonzero((matrices.outputs == 1).all(axis=0))[0])


def windows(sizes: Geometry, planes: Array, width: int, channels: int) -> Array:
    """Return the windows of all lines that begin in each column: (points, width, lines, window)."""
    return strided(
        planes,
        (sizes.points, width, sizes.lines, sizes.kernel_width * channels),
        (planes[0].size, channels, sizes.pitch * channels, 1),
    )
