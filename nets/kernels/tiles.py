"""Tiles: products from the rows of images to the lines of planes, and back.

Every transform of `nets.kernels.correlation` is a small matrix times the rows (or lines) of a tile.
Tile t of an image covers the rows from ``t * tile + offset`` on; the first and the last tiles may
extend beyond the image. Most tiles are alike, so a few products with strided views compute all
tiles of all images.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TypeAlias

import numpy as np

from nets.arrays import Array
from nets.kernels.views import strided
from nets.kernels.winograd import Geometry

Product: TypeAlias = tuple[Array, Array, Array]
"""A small matrix, the array that it multiplies, and the array for the result."""


def multiply(products: Sequence[Product]) -> None:
    """Compute each product."""
    for matrix, source, target in products:
        np.matmul(matrix, source, out=target)


def into_planes(
    sizes: Geometry, matrix: Array, images: Array, planes: Array, *, offset: int, margin: int
) -> list[Product]:
    """Return the products that fill planes from images: V from x, or D from dy.

    Rows that do not exist count as zeros: the columns of the matrix for them are omitted.

    Parameters
    ----------
    matrix
        ``(points, rows of a tile)``.
    images
        ``(rows, height, width, channels)``.
    planes
        ``(points, columns and a tail, channels)``.
    offset
        Of the first tile's first row in the image.
    margin
        Columns of a line before the image begins.
    """
    rows, height, width, channels = images.shape
    line = width * channels
    pitch = sizes.pitch * channels
    products = []
    for first, count, low, high in runs(sizes, matrix.shape[1], height, offset):
        source = strided(
            images,
            (rows, count, high - low, line),
            (height * line, sizes.tile * line, line, 1),
            (first * sizes.tile + offset + low) * line,
        )
        target = strided(
            planes,
            (rows, count, sizes.points, line),
            (sizes.tiles * pitch, pitch, planes[0].size, 1),
            first * pitch + margin * channels,
        )
        products.append((np.ascontiguousarray(matrix[:, low:high]), source, target))
    return products


def runs(
    sizes: Geometry, tile_rows: int, height: int, offset: int
) -> Iterator[tuple[int, int, int, int]]:
    """Yield (first tile, tiles, low, high): tiles of which rows low to high - 1 exist.

    >>> sizes = Geometry(1, 28, 28, 1, 1, 3, 3, 1, 1)
    >>> list(runs(sizes, tile_rows=6, height=28, offset=-1))
    [(0, 1, 1, 6), (1, 5, 0, 6), (6, 1, 0, 5)]
    """

    def extent_of(tile: int) -> tuple[int, int]:
        top = tile * sizes.tile + offset
        return max(0, -top), min(tile_rows, height - top)

    for extent, alike in groupby(range(sizes.tiles), extent_of):
        first, *others = alike
        yield first, 1 + len(others), *extent


def from_lines(
    sizes: Geometry, matrix: Array, lines: Array, images: Array, *, offset: int
) -> list[Product]:
    """Return the products that fill images from the lines of tiles: y from M, or dx from dV.

    The rows that a tile contributes to may overlap with those of the tiles before it. A block of
    ``tile`` rows is then a sum over several tiles, which is also one product: their lines are
    adjacent in memory, and the matrices of a tile's first, second, ... block are concatenated.

    Parameters
    ----------
    matrix
        ``(rows of a tile, lines of a tile)``.
    lines
        ``(tiles of all images, lines of a tile, width, channels)``.
    images
        ``(rows, height, width, channels)``.
    offset
        Of the first tile's first row in the image.
    """
    rows, height, width, channels = images.shape
    line, of_a_tile = width * channels, matrix.shape[1]
    products = []
    for first, count, low, high, oldest, youngest in blocks(sizes, len(matrix), height, offset):
        parts = [
            shifted(matrix, age * sizes.tile, low, high) for age in range(youngest, oldest + 1)
        ]
        source = strided(
            lines,
            (rows, count, len(parts) * of_a_tile, line),
            (sizes.tiles * of_a_tile * line, of_a_tile * line, line, 1),
            (first - oldest) * of_a_tile * line,
        )
        target = strided(
            images,
            (rows, count, high - low, line),
            (height * line, sizes.tile * line, line, 1),
            (first * sizes.tile + offset + low) * line,
        )
        products.append((np.ascontiguousarray(np.hstack(parts[::-1])), source, target))
    return products


def blocks(
    sizes: Geometry, tile_rows: int, height: int, offset: int
) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Yield (first block, blocks, low, high, oldest, youngest).

    Of these blocks, rows low to high - 1 exist, and the tiles that contribute are those from
    ``oldest`` before the block to ``youngest`` before it.

    >>> sizes = Geometry(1, 28, 28, 1, 1, 3, 3, 1, 1)
    >>> list(blocks(sizes, tile_rows=6, height=28, offset=-1))
    [(0, 1, 1, 4, 0, 0), (1, 6, 0, 4, 1, 0), (7, 1, 0, 1, 1, 1)]
    """
    overlap = -(-tile_rows // sizes.tile)

    def extent_of(block: int) -> tuple[int, int, int, int]:
        top = block * sizes.tile + offset
        low, high = max(0, -top), min(sizes.tile, height - top)
        return low, high, min(block, overlap - 1), max(0, block - sizes.tiles + 1)

    for extent, alike in groupby(range(sizes.tiles + overlap - 1), extent_of):
        low, high, *_ = extent
        first, *others = alike
        if low < high:
            yield first, 1 + len(others), *extent


def shifted(matrix: Array, start: int, low: int, high: int) -> Array:
    """Return rows start + low to start + high - 1, with zeros below the last row."""
    part = np.zeros((high - low, matrix.shape[1]), matrix.dtype)
    rows = matrix[start + low : start + high]
    part[: len(rows)] = rows
    return part
