"""Bilinear resampling: each pixel is fetched from an arbitrary position in an image."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array

CHUNK = 32
"""Images per call of NumPy: ten buffers of 28x28 float32 pixels each fit a second-level cache."""


class Resampler:
    """Fetches pixels from positions between pixels; pixels outside of an image are 0.

    With integers i, j and a, b in [0, 1), a pixel fetched from row ``i + a``, column ``j + b`` is::

        (1 - a) ((1 - b) x[i, j]   + b x[i, j+1])
            + a ((1 - b) x[i+1, j] + b x[i+1, j+1])

    The images are first copied into a frame of zeros, one row and column before and two after.
    Sources are clipped to that frame, so that all four neighbours of each exist and no pixel needs
    a condition. Buffers are reused from call to call.

    Parameters
    ----------
    image_shape
        ``(height, width, channels)``.
    dtype
        Of images and sources, float32 or float64.
    """

    def __init__(self, image_shape: tuple[int, int, int], dtype: Any = np.float32) -> None:
        height, width, channels = image_shape
        pixels = height * width
        self.image_shape = image_shape
        self._limits = np.array([[height + 1], [width + 1]], dtype)
        self._stride = width + 3
        self._framed = np.zeros((CHUNK, height + 3, self._stride, channels), dtype)
        self._inside = self._framed[:, 1:-2, 1:-2]
        framed_pixels = (height + 3) * self._stride
        self._starts = np.arange(CHUNK, dtype=np.intp)[:, np.newaxis] * framed_pixels
        self._sources = np.empty((CHUNK, 2, pixels), dtype)
        self._whole = np.empty((CHUNK, 2, pixels), np.int32)
        self._index = np.empty((CHUNK, pixels), np.intp)
        self._corners = [np.empty((CHUNK * pixels, channels), dtype) for _ in range(4)]

    def __call__(self, images: Array, sources: Array, out: Array | None = None) -> Array:
        """Fetch every pixel from its source.

        Parameters
        ----------
        images
            ``(n, height, width, channels)``.
        sources
            ``(n, 2, height * width)``: row and column, in pixels from the upper left one; they need
            not be integers or inside the image.
        out
            Array for the result, not `images` itself; a new array by default.

        Examples
        --------
        >>> image = np.array([[10.0, 20.0]], np.float32).reshape(1, 1, 2, 1)
        >>> sources = np.array([[[0, 0], [0.25, 1.5]]], np.float32)
        >>> Resampler((1, 2, 1))(image, sources).ravel()
        array([12.5, 10. ], dtype=float32)
        """
        out = np.empty_like(images) if out is None else out
        for start in range(0, len(images), CHUNK):
            part = slice(start, start + CHUNK)
            self._resample(images[part], sources[part], out[part])
        return out

    def _resample(self, images: Array, sources: Array, out: Array) -> None:
        count = len(images)
        self._inside[:count] = images
        flat = self._framed.reshape(-1, self.image_shape[2])

        position = self._sources[:count]
        np.add(sources, 1, out=position)
        np.clip(position, 0, self._limits, out=position)
        whole = self._whole[:count]
        np.copyto(whole, position, casting="unsafe")  # nothing is negative: this is the floor
        position -= whole
        down = position[:, 0].reshape(-1, 1)
        right = position[:, 1].reshape(-1, 1)

        index = self._index[:count]
        np.multiply(whole[:, 0], self._stride, out=index)
        index += whole[:, 1]
        index += self._starts[:count]
        here, beside, below, across = self._fetch(flat, index.reshape(-1))

        np.subtract(beside, here, out=beside)
        beside *= right
        beside += here
        np.subtract(across, below, out=across)
        across *= right
        across += below
        across -= beside
        across *= down
        np.add(beside, across, out=out.reshape(beside.shape))

    def _fetch(self, flat: Array, index: NDArray[np.intp]) -> list[Array]:
        """Return the pixels at, right of, below, and diagonally below each index."""
        offsets = (0, 1, self._stride, self._stride + 1)
        corners = [corner[: len(index)] for corner in self._corners]
        for corner, offset in zip(corners, offsets, strict=True):
            # mode="clip" does not check each index first; none is out of range.
            np.take(flat[offset:], index, axis=0, out=corner, mode="clip")
        return corners
