"""Correlation of images with few multiplications: Winograd's algorithm along the height.

F(m, k) computes m outputs of a correlation with k taps from n = m + k - 1 inputs with n instead of
m * k multiplications. Inputs and kernel are taken as polynomials and evaluated at n points, the
values are multiplied, and the outputs are interpolated::

    y = A^T ((G w) * (B^T x))

For 3 taps this file uses F(4, 3): 6 instead of 12 multiplications.

Only the height is transformed. Along the width the k columns that a kernel touches lie side by side
in memory, so a window of k * channels numbers is a row of a matrix, and a strided view lists all
windows without copying one. The correlation is then, for x ``(rows, height, width, channels)``::

    V = B^T x      n planes of columns; the rows of x of one tile are combined
    M = V U        per plane and column, (tiles, k * channels) times (k * channels, filters)
    y = A^T M + b  each tile's m rows of outputs; b rides along as one more plane

with ``U = G w`` computed once a mini-batch. Padding costs nothing in the height: where a tile
reaches beyond the image, the columns of B^T for the missing rows are left out. In the width, a row
of a plane begins with its padding, and the padding of the next row ends it.

All products are batches of small ones through ``np.matmul(..., out=)``.

Sources: Winograd, Arithmetic Complexity of Computations (1980); Blahut, Fast Algorithms for Signal
Processing (2010), section 5.2 (Cook-Toom); Lavin and Gray, Fast Algorithms for Convolutional Neural
Networks (CVPR 2016), who transform both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.polynomial import polynomial

from nets.arrays import Array
from nets.kernels.views import strided

Product: TypeAlias = tuple[Array, Array, Array]
"""A small matrix, the array that it multiplies, and where the result goes."""

POINTS = (0, 1, -1, 2, -2, 0.5, -0.5)
"""Where polynomials are evaluated, the harmless points first; infinity is always the last."""


@dataclass(frozen=True)
class Matrices:
    """The three matrices of F(m, k): B^T ``(n, n)``, G ``(n, k)`` and A^T ``(m, n)``."""

    inputs: Array
    kernel: Array
    outputs: Array


@cache
def cook_toom(outputs: int, taps: int) -> Matrices:
    """Return the matrices of F(outputs, taps), in float64.

    Row j of G and column j of A^T are powers of point j, divided (in G) by the product of its
    distances to the other points; row j of B^T holds the polynomial whose roots are these others.
    The last point is infinity, where a polynomial has the value of its highest coefficient.

    >>> matrices = cook_toom(2, 3)
    >>> signal, kernel = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 0.0, -1.0])
    >>> matrices.outputs @ ((matrices.kernel @ kernel) * (matrices.inputs @ signal))
    array([-2., -2.])
    """
    n = outputs + taps - 1
    points = np.array(POINTS[: n - 1], np.float64)
    inputs, kernel, rebuild = np.zeros((n, n)), np.zeros((n, taps)), np.zeros((outputs, n))
    for j, point in enumerate(points):
        others = np.delete(points, j)
        inputs[j, : n - 1] = polynomial.polyfromroots(others)
        kernel[j] = point ** np.arange(taps) / np.prod(point - others)
        rebuild[:, j] = point ** np.arange(outputs)
    inputs[-1] = polynomial.polyfromroots(points)
    kernel[-1, -1] = rebuild[-1, -1] = 1
    return Matrices(inputs, kernel, rebuild)


def tile_height(taps: int) -> int:
    """Return m, the rows of outputs in a tile, or 0 for kernels too tall to be worth it.

    At most 8 points: with more, the powers of the points cost float32 its precision. So tiles have
    four rows, or fewer for kernels of six to eight taps; a single tap needs no tile at all.

    >>> [tile_height(taps) for taps in (1, 3, 5, 7, 9)]
    [1, 4, 4, 2, 0]
    """
    return 1 if taps == 1 else max(0, min(4, 9 - taps))


@dataclass(frozen=True)
class Geometry:
    """Sizes of one correlation with stride 1.

    ``kernel_height * kernel_width`` taps, ``padding`` rows and columns of zeros on every side (less
    than the taps in that direction).
    """

    rows: int
    height: int
    width: int
    channels: int
    filters: int
    kernel_height: int
    kernel_width: int
    padding_height: int
    padding_width: int

    @property
    def tile(self) -> int:
        """M of F(m, k): rows of outputs in a tile."""
        return tile_height(self.kernel_height)

    @property
    def points(self) -> int:
        """N of F(m, k): planes."""
        return self.tile + self.kernel_height - 1

    @property
    def out_height(self) -> int:
        """Rows of an output."""
        return self.height + 2 * self.padding_height - self.kernel_height + 1

    @property
    def out_width(self) -> int:
        """Columns of an output."""
        return self.width + 2 * self.padding_width - self.kernel_width + 1

    @property
    def tiles(self) -> int:
        """Tiles of an image, the last perhaps with outputs to spare."""
        return -(-self.out_height // self.tile)

    @property
    def pitch(self) -> int:
        """Columns from one row of a plane to the next: its padding on the left, then the image."""
        return self.padding_width + self.width

    @property
    def columns(self) -> int:
        """Columns of all rows of a plane."""
        return self.rows * self.tiles * self.pitch

    @property
    def plane(self) -> int:
        """Columns of a plane: a window may begin in the last one of the rows."""
        return self.columns + self.kernel_width - 1

    @property
    def window(self) -> int:
        """Numbers under one row of the kernel."""
        return self.kernel_width * self.channels

    def mirrored(self) -> Geometry:
        """Return the geometry of the gradient's way back: from y's shape to x's."""
        return Geometry(
            self.rows,
            self.out_height,
            self.out_width,
            self.filters,
            self.channels,
            self.kernel_height,
            self.kernel_width,
            self.kernel_height - 1 - self.padding_height,
            self.kernel_width - 1 - self.padding_width,
        )


class Correlation:
    """``y = x * w + b`` from one array into another, ready to be called.

    Parameters
    ----------
    x, y
        ``(rows, height, width, channels)`` and ``(rows, out_height, out_width, filters)``.
    planes
        Where V goes: ``(points, plane, channels)``.
    products
        Where M goes: ``(points [+ 1], rows * tiles, out_width, filters)``, with one more plane if
        there is a bias.
    bias
        Whether there is one.
    """

    def __init__(
        self, sizes: Geometry, x: Array, y: Array, planes: Array, products: Array, *, bias: bool
    ) -> None:
        self.sizes = sizes
        matrices = cook_toom(sizes.tile, sizes.kernel_height)
        self.into_planes = self._input_steps(matrices.inputs.astype(x.dtype), x, planes)
        self.windows = strided(
            planes,
            (sizes.points, sizes.out_width, sizes.rows * sizes.tiles, sizes.window),
            (sizes.plane * sizes.channels, sizes.channels, sizes.pitch * sizes.channels, 1),
        )
        self.products = products[: sizes.points].swapaxes(1, 2)
        self.bias_plane = products[-1].reshape(-1, sizes.out_width * sizes.filters)
        outputs = matrices.outputs
        if bias:
            outputs = np.hstack([outputs, np.ones((sizes.tile, 1))])
        self.into_outputs = self._output_steps(outputs.astype(x.dtype), products, y)
        rows = planes[:, : sizes.columns].reshape(
            sizes.points, sizes.rows * sizes.tiles, sizes.pitch, sizes.channels
        )
        self.padding = [rows[:, :, : sizes.padding_width], planes[:, sizes.columns :]]

    def __call__(self, kernel: Array, bias: Array | None = None) -> None:
        """Fill y.

        Parameters
        ----------
        kernel
            U, ``(points, 1, kernel_width * channels, filters)``.
        bias
            b, repeated for every column: ``(out_width * filters,)``.
        """
        multiply(self.into_planes)
        np.matmul(self.windows, kernel, out=self.products)
        if bias is not None:
            self.bias_plane[...] = bias
        multiply(self.into_outputs)

    def clear_padding(self) -> None:
        """Set V's padding to zero: once for planes that nobody else uses, otherwise each time."""
        for columns in self.padding:
            columns[...] = 0

    def _input_steps(self, matrix: Array, x: Array, planes: Array) -> list[Product]:
        """Return (part of B^T, rows of x, their place in V) for runs of tiles that are alike.

        Tiles differ in which of their n input rows exist: the first and the last ones of an image
        reach into the padding, all between them are complete.
        """
        s = self.sizes
        line = s.width * s.channels
        steps: list[Product] = []
        for first, count, low, high in runs_of_tiles(s):
            source = strided(
                x,
                (s.rows, count, high - low, line),
                (s.height * line, s.tile * line, line, 1),
                (first * s.tile - s.padding_height + low) * line,
            )
            target = strided(
                planes,
                (s.rows, count, s.points, line),
                (
                    s.tiles * s.pitch * s.channels,
                    s.pitch * s.channels,
                    s.plane * s.channels,
                    1,
                ),
                (first * s.pitch + s.padding_width) * s.channels,
            )
            steps.append((np.ascontiguousarray(matrix[:, low:high]), source, target))
        return steps

    def _output_steps(self, matrix: Array, products: Array, y: Array) -> list[Product]:
        """Return (part of A^T, tiles of M, their rows of y), complete tiles before the last one."""
        s = self.sizes
        line = s.out_width * s.filters
        steps: list[Product] = []
        for first, count, height in tiles_by_height(s):
            source = strided(
                products,
                (s.rows, count, matrix.shape[1], line),
                (s.tiles * line, line, s.rows * s.tiles * line, 1),
                first * line,
            )
            target = strided(
                y,
                (s.rows, count, height, line),
                (s.out_height * line, s.tile * line, line, 1),
                first * s.tile * line,
            )
            steps.append((np.ascontiguousarray(matrix[:height]), source, target))
        return steps


def multiply(products: Sequence[Product]) -> None:
    """Compute each product."""
    for matrix, source, target in products:
        np.matmul(matrix, source, out=target)


def runs_of_tiles(sizes: Geometry) -> list[tuple[int, int, int, int]]:
    """Return (first tile, tiles, low, high): tiles whose input rows low..high-1 of n exist.

    >>> runs_of_tiles(Geometry(1, 28, 28, 1, 1, 3, 3, 1, 1))
    [(0, 1, 1, 6), (1, 5, 0, 6), (6, 1, 0, 5)]
    """
    runs: list[tuple[int, int, int, int]] = []
    for tile in range(sizes.tiles):
        top = tile * sizes.tile - sizes.padding_height
        low, high = max(0, -top), min(sizes.points, sizes.height - top)
        if runs and runs[-1][2:] == (low, high):
            first, count, *_ = runs[-1]
            runs[-1] = (first, count + 1, low, high)
        else:
            runs.append((tile, 1, low, high))
    return runs


def tiles_by_height(sizes: Geometry) -> list[tuple[int, int, int]]:
    """Return (first tile, tiles, rows of outputs in each): the complete ones, then the rest.

    >>> tiles_by_height(Geometry(1, 14, 14, 1, 1, 3, 3, 1, 1))
    [(0, 3, 4), (3, 1, 2)]
    """
    complete, rest = divmod(sizes.out_height, sizes.tile)
    steps = [(0, complete, sizes.tile)] if complete else []
    return [*steps, (complete, 1, rest)] if rest else steps


def transformed(kernel: Array, dtype: Any) -> Array:
    """Return U = G w for a kernel ``(kernel_height, kernel_width, channels, filters)``.

    Its shape is ``(points, 1, kernel_width * channels, filters)``.
    """
    height, width, channels, filters = kernel.shape
    matrix = cook_toom(tile_height(height), height).kernel.astype(dtype)
    planes: Array = matrix @ kernel.reshape(height, -1)
    return planes.reshape(-1, 1, width * channels, filters)
