"""The form every data set has once it is loaded."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nets.randomness import stream

ARRAYS = ("images", "labels", "test_images", "test_labels")


class Content(NamedTuple):
    """What the original files of a data set hold: arrays by the names of `Dataset`'s fields."""

    arrays: dict[str, NDArray[np.uint8]]
    classes: int
    full_scale: int
    label_names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Images with labels, in a training and a test part, kept in their 8-bit original form.

    Pixels become numbers in [0, 1] only when a mini-batch is cut (``images[rows] / full_scale``),
    so 60,000 MNIST images stay 47 MB, which all processes of a machine share when the arrays are
    mapped from files. The test part is looked at once, when a study is over.

    Parameters
    ----------
    name
        One of `DATASETS`, or any name for data of your own.
    images, test_images
        uint8, ``(count, height, width, channels)``, from 0 to `full_scale`.
    labels, test_labels
        uint8, ``(count,)``, from 0 to ``classes - 1``.
    classes
        Number of classes.
    full_scale
        The pixel value that stands for 1.0: 255 for MNIST, 16 for the 8x8 digits.
    label_names
        What the classes are called, one text each, or none.
    path
        The cache folder that `open_cached` opens again, or None for arrays that live in memory.
        A data set with a path is pickled as that path.

    Raises
    ------
    ValueError
        For arrays that do not fit each other or this description.

    Examples
    --------
    >>> dots = Dataset(
    ...     name="dots",
    ...     images=np.zeros((5, 2, 2, 1), np.uint8),
    ...     labels=np.array([0, 1, 0, 1, 0], np.uint8),
    ...     test_images=np.ones((1, 2, 2, 1), np.uint8),
    ...     test_labels=np.ones(1, np.uint8),
    ...     classes=2,
    ...     full_scale=1,
    ... )
    >>> train, validation = dots.split(validation=2, seed=0)
    >>> len(train), len(validation)
    (3, 2)
    """

    name: str
    images: NDArray[np.uint8] = field(repr=False)
    labels: NDArray[np.uint8] = field(repr=False)
    test_images: NDArray[np.uint8] = field(repr=False)
    test_labels: NDArray[np.uint8] = field(repr=False)
    classes: int
    full_scale: int
    label_names: tuple[str, ...] = ()
    path: Path | None = None

    def __post_init__(self) -> None:
        for part in ("", "test_"):
            images, labels = getattr(self, f"{part}images"), getattr(self, f"{part}labels")
            _check(f"{part}images", images, "uint8 (count, height, width, channels)", 4)
            _check(f"{part}labels", labels, "uint8 (count,)", 1)
            if len(images) != len(labels):
                raise ValueError(
                    f"{self.name}: {len(images)} {part}images but {len(labels)} {part}labels, "
                    "accepted is one label an image"
                )
            if len(labels) and int(labels.max()) >= self.classes:
                raise ValueError(
                    f"{self.name}: {part}labels contain {labels.max()}, "
                    f"accepted are 0 to {self.classes - 1}"
                )
        if self.test_images.shape[1:] != self.image_shape:
            raise ValueError(
                f"{self.name}: test images have shape {self.test_images.shape[1:]}, "
                f"training images {self.image_shape}"
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @cached_property
    def sha256(self) -> str:
        """Checksum of the content, whatever file format it came in.

        SHA-256 over, for each of images, labels, test_images and test_labels in this order, one
        ASCII line ``name rows x columns ...`` (for example ``images 60000x28x28x1``) ended by a
        line feed, followed by the array's bytes in C order. A data set opened from a cache knows
        its checksum from there and does not read all pixels again.
        """
        return content_sha256({name: getattr(self, name) for name in ARRAYS})

    def split(self, validation: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Divide the training images into those trained on and those held out.

        The split is a shuffle by `seed` of which the first `validation` rows are held out, so the
        two parts never overlap and together are all training images. Test images take no part.

        Returns
        -------
        train, validation
            Row numbers, int64.

        Raises
        ------
        ValueError
            Unless ``0 <= validation < number of training images``.
        """
        count = len(self.images)
        if not 0 <= validation < count:
            raise ValueError(
                f"validation: got {validation}, accepted is 0 to {count - 1}, so that at least one "
                f"of the {count} training images of {self.name} is left to train on"
            )
        order = stream(seed, "split").permutation(count).astype(np.int64, copy=False)
        return order[validation:], order[:validation]

    def __reduce__(self) -> tuple[Callable[[Path], "Dataset"], tuple[Path]] | Any:
        """Pickle as the path where there is one: a worker maps the file instead of copying it."""
        if self.path is None:
            return super().__reduce__()
        from nets.data.cache import open_cached

        return open_cached, (self.path,)


def content_sha256(arrays: dict[str, NDArray[np.uint8]]) -> str:
    """Return the checksum that `Dataset.sha256` describes."""
    digest = hashlib.sha256()
    for name in ARRAYS:
        array = arrays[name]
        digest.update(f"{name} {'x'.join(map(str, array.shape))}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _check(name: str, array: NDArray[Any], accepted: str, rank: int) -> None:
    if array.dtype != np.uint8 or array.ndim != rank:
        raise ValueError(f"{name}: got {array.dtype} {array.shape}, accepted is {accepted}")
