"""Winograd's algorithm: correlation with few multiplications, along the height of an image.

F(m, k) computes m outputs of a correlation with k taps from n = m + k - 1 inputs with n instead of
m * k multiplications. Inputs and kernel are treated as polynomials and evaluated at n points, the
values are multiplied, and the outputs are interpolated::

    y = A^T ((G w) * (B^T x))

For 3 taps and 8 outputs, two tiles of F(4, 3) take 12 instead of 24 multiplications.

Sources: Winograd, Arithmetic Complexity of Computations (1980); Blahut, Fast Algorithms for Signal
Processing (2010), section 5.2 (Cook-Toom); Lavin and Gray, Fast Algorithms for Convolutional Neural
Networks (CVPR 2016), who transform height and width. `nets.kernels.correlation` transforms the
height only: along the width, strided views need no transform.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.polynomial import polynomial

from nets.arrays import Array

POINTS = (0, 1, -1, 2, -0.5, -2, 0.5)
"""The points of evaluation, in the order in which more outputs need them; the last is infinity.

A point and its negative inverse keep numbers of similar size in all three matrices: F(4, 3) with
2 and -1/2 has two thirds of the rounding error of F(4, 3) with 2 and -2.
"""


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


def tile_height(taps: int, outputs: int) -> int:
    """Return the best m of F(m, taps) for this number of outputs, or 0 if there is none.

    With m outputs in a tile, ``ceil(outputs / m)`` tiles have ``m + taps - 1`` lines each. All the
    work is proportional to the lines; m itself is added because its matrices grow too. There are at
    most 8 points: with 10, float32 loses another digit. A single tap needs no tiles.

    >>> [tile_height(3, outputs) for outputs in (28, 14, 8)]
    [4, 5, 4]
    >>> tile_height(5, 14), tile_height(1, 14), tile_height(9, 14)
    (4, 1, 0)
    """
    most = 1 if taps == 1 else len(POINTS) + 2 - taps
    return min(
        range(1, min(most, outputs) + 1),
        key=lambda m: -(-outputs // m) * (m + taps - 1) + m,
        default=0,
    )


@dataclass(frozen=True)
class Geometry:
    """Sizes of one correlation with stride 1, and of its planes.

    The kernel has ``kernel_height * kernel_width`` taps; ``padding_height`` rows and
    ``padding_width`` columns of zeros are on either side of an image, fewer than the taps.

    An image is cut into tiles of m rows of outputs. A *line* is one of the n rows, each as wide as
    the image, that a transform computes from a tile, one for each point. The lines of all tiles and
    images at one point, one below the other, are a *plane*.
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
    def out_height(self) -> int:
        """Rows of an output."""
        return self.height + 2 * self.padding_height - self.kernel_height + 1

    @property
    def out_width(self) -> int:
        """Columns of an output."""
        return self.width + 2 * self.padding_width - self.kernel_width + 1

    @cached_property
    def tile(self) -> int:
        """The m of F(m, k): rows of outputs in a tile."""
        return tile_height(self.kernel_height, self.out_height)

    @property
    def points(self) -> int:
        """The n of F(m, k): rows of inputs in a tile, and planes."""
        return self.tile + self.kernel_height - 1

    @property
    def tiles(self) -> int:
        """Tiles of an image; the last may have more outputs than needed."""
        return -(-self.out_height // self.tile)

    @property
    def lines(self) -> int:
        """Lines of a plane."""
        return self.rows * self.tiles

    @property
    def pitch(self) -> int:
        """Columns from one line of a plane to the next.

        A line of inputs begins with its padding, and the padding of the next line ends it. A line
        of output gradients begins with ``back_padding`` zeros; its pitch is the same.
        """
        return self.padding_width + self.width

    @property
    def back_padding(self) -> int:
        """Columns of zeros on either side of an output gradient, in backward."""
        return self.kernel_width - 1 - self.padding_width

    @property
    def columns(self) -> int:
        """Columns of all lines of a plane."""
        return self.lines * self.pitch
