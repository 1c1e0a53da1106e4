"""Augmentation: in every epoch each image is shifted, rotated and bent a little differently.

A digit shifted by a pixel is still the same digit, so distorted images are additional examples at
no cost, and a network trained on them overfits later. Shift, rotation, scale and shear are one
affine map; the elastic distortion adds a smooth random displacement of every pixel. All of them
only determine from where in the image each pixel is fetched, so they are combined first and the
image is resampled once (see `nets.resampling`), which is fast and blurs only once.

Sources: P. Simard, D. Steinkraus, J. Platt, "Best practices for convolutional neural networks
applied to visual document analysis" (ICDAR 2003), section 2.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array, Shape, check_floats
from nets.errors import InputError
from nets.resampling import Resampler
from nets.settings import Settings

ImageShape = tuple[int, int, int]

AFFINE_NUMBERS = 5
"""Random numbers per image for its affine map: shift down and right, angle, scale, shear."""
SMOOTHNESS = 1 / 7
"""Standard deviation of the Gaussian that smooths an elastic distortion, in image sizes: 4 pixels
in 28, as Simard et al. found best for digits."""


def wanted(strengths: Settings) -> bool:
    """Whether any strength is above zero.

    >>> wanted(Settings()), wanted(Settings(shear=0.1))
    (False, True)
    """
    return any(
        (strengths.shift, strengths.rotation, strengths.scale, strengths.shear, strengths.elastic)
    )


@dataclass(frozen=True, eq=False)
class Distortion:
    """The distortion of each of n images, drawn at random or given explicitly.

    Parameters
    ----------
    shift
        ``(n, 2)``: pixels down and to the right.
    rotation
        ``(n,)``: degrees counterclockwise, as one looks at the image.
    scale
        ``(n,)``: 1 keeps the size, 2 doubles it.
    shear
        ``(n,)``: pixels that a row moves to the right relative to the row below it.
    displacement
        ``(n, 2, height, width)``: additional offset, in pixels down and to the right, from which
        each pixel is fetched; None for an affine map alone.
    """

    shift: NDArray[np.floating[Any]]
    rotation: NDArray[np.floating[Any]]
    scale: NDArray[np.floating[Any]]
    shear: NDArray[np.floating[Any]]
    displacement: Array | None = None

    @classmethod
    def none(cls, count: int) -> Self:
        """Return the distortion that does not change any image."""
        zeros, ones = np.zeros(count), np.ones(count)
        return cls(np.zeros((count, 2)), zeros, ones, zeros)

    def inverse(self) -> NDArray[np.float64]:
        """Return the matrices ``(n, 2, 3)`` that map each pixel to the position it is fetched from.

        The content is sheared, rotated, scaled, then shifted, all about the image's centre:
        ``p = M q + shift`` with ``M = scale * rotation @ shear``, positions (down, right) from the
        centre. A pixel at p is therefore fetched from ``q = M^-1 (p - shift)``; with 1 as the third
        coordinate of p this is one matrix.
        """
        angle = np.deg2rad(self.rotation)
        cos, sin = np.cos(angle) / self.scale, np.sin(angle) / self.scale
        # The inverse of a rotation turns back; the inverse of a shear slides back.
        matrix = np.empty((len(angle), 2, 3))
        matrix[:, 0, 0] = cos
        matrix[:, 0, 1] = sin
        matrix[:, 1, 0] = self.shear * cos - sin
        matrix[:, 1, 1] = self.shear * sin + cos
        matrix[:, :, 2] = -np.einsum("nij,nj->ni", matrix[:, :, :2], self.shift)
        return matrix


def draw(
    strengths: Settings, count: int, image_shape: ImageShape, generator: np.random.Generator
) -> Distortion:
    """Draw a distortion for each of ``count`` images.

    Every value is uniform: shifts within ``+-shift``, angles within ``+-rotation``, scales in
    ``1 +- scale``, shears within ``+-shear``. The elastic displacement is uniform noise smoothed by
    a Gaussian and scaled to a standard deviation of ``elastic`` pixels everywhere.

    The numbers are drawn in one call, row by row, so the distortion of an image does not depend on
    how many images are drawn together: drawing 3 and then 5 equals drawing 8.

    >>> drawn = draw(Settings(shift=2), 100, (28, 28, 1), np.random.default_rng(0))
    >>> bool(np.abs(drawn.shift).max() <= 2), bool(np.ptp(drawn.rotation) == 0)
    (True, True)
    """
    height, width, _ = image_shape
    pixels = 2 * height * width if strengths.elastic else 0
    # float32 takes half the time, and 24 bits are enough for an angle.
    numbers = generator.random((count, AFFINE_NUMBERS + pixels), dtype=np.float32)
    numbers *= 2
    numbers -= 1
    affine = numbers[:, :AFFINE_NUMBERS].astype(np.float64)
    displacement = None
    if strengths.elastic:
        noise = numbers[:, AFFINE_NUMBERS:].reshape(count, 2, height, width)
        # Numbers uniform in [-1, 1) have variance 1/3.
        displacement = smooth(noise) * np.float32(strengths.elastic * np.sqrt(3))
    return Distortion(
        shift=strengths.shift * affine[:, :2],
        rotation=strengths.rotation * affine[:, 2],
        scale=1 + strengths.scale * affine[:, 3],
        shear=strengths.shear * affine[:, 4],
        displacement=displacement,
    )


def smooth(noise: Array) -> Array:
    """Smooth independent noise ``(..., height, width)`` and keep its variance, pixel by pixel.

    A Gaussian blur is two matrix products, one per axis. Each row of both matrices has length one,
    so that a sum of independent numbers of equal variance keeps this variance, at the edges too.
    """
    rows, columns = (_blur(size, noise.dtype) for size in noise.shape[-2:])
    return np.asarray(rows @ noise @ columns.T)


def _blur(size: int, dtype: Any) -> Array:
    position = np.arange(size)
    distance = (position[:, np.newaxis] - position) / (SMOOTHNESS * size)
    weights = np.exp(-(distance**2) / 2)
    lengths = np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return np.asarray(weights / lengths, dtype)


class Augmenter:
    """Distorts mini-batches of images; pixels outside of an image are 0.

    Parameters
    ----------
    strengths
        The settings; their shift, rotation, scale, shear and elastic are read.
    image_shape
        ``(height, width, channels)``.
    dtype
        Of the images, float32 or float64.

    Examples
    --------
    >>> images = np.ones((2, 4, 4, 1), np.float32)
    >>> augmenter = Augmenter(Settings(shift=1, rotation=15), (4, 4, 1))
    >>> augmenter(images, np.random.default_rng(0)).shape
    (2, 4, 4, 1)
    """

    def __init__(self, strengths: Settings, image_shape: Shape, dtype: Any = np.float32) -> None:
        self.strengths = strengths
        height, width, channels = image_shape
        self.image_shape: ImageShape = (height, width, channels)
        self._resampler = Resampler(self.image_shape, dtype)
        down, right = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        self._centre = np.array([[(height - 1) / 2], [(width - 1) / 2]])
        positions = np.stack([down.ravel(), right.ravel()]) - self._centre
        self._positions = np.concatenate([positions, np.ones((1, height * width))]).astype(dtype)

    def __call__(
        self, images: Array, generator: np.random.Generator, out: Array | None = None
    ) -> Array:
        """Return the images ``(n, height, width, channels)``, each with its own random distortion.

        Parameters
        ----------
        out
            Array for the result, not `images` itself; a new array by default.

        Raises
        ------
        TypeError
            If the images are not float32 or float64.
        InputError
            If the images have another shape.
        """
        return self.distort(
            images, draw(self.strengths, len(images), self.image_shape, generator), out
        )

    def distort(self, images: Array, distortion: Distortion, out: Array | None = None) -> Array:
        """Return the images with a given distortion."""
        check_floats("augmentation: images", images)
        if images.shape[1:] != self.image_shape:
            shape = ", ".join(map(str, self.image_shape))
            raise InputError("augmentation.images", images.shape, f"(n, {shape})")
        matrix = distortion.inverse()
        matrix[:, :, 2:] += self._centre
        dtype = self._positions.dtype
        # (2n, 3) @ (3, pixels): the source of every pixel of every image in one product.
        sources = matrix.reshape(-1, 3).astype(dtype) @ self._positions
        sources = sources.reshape(len(images), 2, self._positions.shape[1])
        if distortion.displacement is not None:
            sources += distortion.displacement.reshape(sources.shape)
        return self._resampler(images, sources, out)
