"""Strided views and aligned memory, and the sizes at which matrix products are fast."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from nets.arrays import Array, Shape

CACHE_LINE = 64
"""In bytes. Vector instructions of this width are slow on data that spans two lines."""

SMALL_PRODUCT = 1_000_000
"""Multiplications up to which OpenBLAS computes a product without copying the arrays."""

LARGE_PRODUCT = 16_000_000
"""Multiplications above which it pays that OpenBLAS first copies both arrays to a packed form.

Between the two limits, a product is faster in pieces.
"""

LONG_ROW = 4096
"""A row that is broadcast over an array should have more numbers than this.

For shorter rows, NumPy's loops use a buffer of 8,192 numbers, at half the speed.
"""


def allocate(shape: Shape, dtype: Any) -> Array:
    """Return zeros that begin on a cache line (NumPy itself guarantees 16 bytes).

    >>> allocate((3, 5), np.float32).ctypes.data % CACHE_LINE
    0
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + CACHE_LINE, np.uint8)  # np.zeros does not request huge pages
    memory[...] = 0
    start = -memory.ctypes.data % CACHE_LINE
    aligned: Array = memory[start : start + size].view(dtype).reshape(shape)
    return aligned


def in_cache_lines(size: int) -> int:
    """Return a number of bytes, rounded up to a multiple of cache lines.

    >>> in_cache_lines(1), in_cache_lines(64)
    (64, 64)
    """
    return -(-size // CACHE_LINE) * CACHE_LINE


def strided(array: Array, shape: Shape, strides: Sequence[int], offset: int = 0) -> Array:
    """Return a view of a contiguous array with strides in numbers instead of bytes.

    Element (i, j, ...) of the view is number ``offset + i * strides[0] + j * strides[1] + ...`` of
    the array. Building a view takes some microseconds, so kernels build theirs once.

    Raises
    ------
    ValueError
        If the array is not contiguous, or the view would extend beyond it.

    >>> strided(np.arange(6.0), (3, 2), (1, 2), offset=1)
    array([[1., 3.],
           [2., 4.],
           [3., 5.]])
    """
    if not array.flags.c_contiguous:
        raise ValueError(f"a strided view needs a contiguous array, got strides {array.strides}")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if min(shape) > 0 and not 0 <= last < array.size:
        raise ValueError(f"the view reaches number {last}, the array has {array.size}")
    flat = array.reshape(-1)[offset:]
    return as_strided(flat, shape, [stride * array.itemsize for stride in strides])


def pieces(length: int, cost: int, at_least: int = 1) -> int:
    """Return the number of equal pieces into which to cut one axis of a matrix product.

    Parameters
    ----------
    length
        Length of the axis.
    cost
        Multiplications of the whole product.
    at_least
        Shortest piece that is worth a separate product. If the length has no suitable divisor, the
        product is not cut.

    >>> pieces(16, 16 * 1568 * 128), pieces(8, 8 * 1024 * 50), pieces(13, 4_000_000, at_least=2)
    (4, 1, 1)
    """
    if cost > LARGE_PRODUCT:
        return 1
    for count in range(1, length // at_least + 1):
        if length % count == 0 and cost // count <= SMALL_PRODUCT:
            return count
    return 1


def repeats(units: int, unit: int) -> int:
    """Return how often to repeat a row of ``unit`` numbers to get a long row, a divisor of units.

    >>> repeats(28 * 28, 16), repeats(3, 100)
    (392, 3)
    """
    enough = LONG_ROW // unit + 1
    return next(count for count in range(min(enough, units), units + 1) if units % count == 0)
