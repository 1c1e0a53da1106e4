"""A loaded data set, in memory or mapped from its folder in the cache (`nets.data.cache`)."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nets.errors import InputError
from nets.randomness import stream

ARRAYS = ("images", "labels", "test_images", "test_labels")
MANIFEST = "dataset.json"
"""In a cache folder: everything about a data set except its arrays."""


class Content(NamedTuple):
    """What a data set's original files contain; arrays by the names of `Dataset`'s fields."""

    arrays: dict[str, NDArray[Any]]
    classes: int
    full_scale: int
    label_names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Images or rows of a table with labels, in a training and a test part.

    Images are in their original 8-bit form. Pixels become numbers in [0, 1] mini-batch by
    mini-batch (``images[rows] / full_scale``), so 60,000 MNIST images take 47 MB, which all
    processes of a machine share when the arrays are mapped from files. The test part is used once,
    when a study is over.

    Parameters
    ----------
    name
        One of `DATASETS`, or any name for your own data.
    images, test_images
        uint8, ``(count, height, width, channels)``, from 0 to `full_scale`; or a table: float32,
        ``(count, features)``.
    labels, test_labels
        uint8, ``(count,)``, from 0 to ``classes - 1``.
    classes
        Number of classes.
    full_scale
        The pixel value that stands for 1.0: 255 for MNIST, 16 for the 8x8 digits; 1 for a table.
    label_names
        The names of the classes, one string each; may be empty.
    path
        The cache folder that `open_cached` opens, or None for arrays in memory. A data set with a
        path is pickled as that path.

    Raises
    ------
    InputError
        For arrays that do not match each other or this description.

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
    images: NDArray[Any] = field(repr=False)
    labels: NDArray[np.uint8] = field(repr=False)
    test_images: NDArray[Any] = field(repr=False)
    test_labels: NDArray[np.uint8] = field(repr=False)
    classes: int
    full_scale: int
    label_names: tuple[str, ...] = ()
    path: Path | None = None

    def __post_init__(self) -> None:
        for part in ("", "test_"):
            images, labels = getattr(self, f"{part}images"), getattr(self, f"{part}labels")
            if not (isinstance(images, np.ndarray) and images.dtype == np.float32):
                _check(f"{part}images", images, "uint8 (count, height, width, channels)", 4)
            elif images.ndim != 2:
                _check(f"{part}images", images, "float32 (count, features)", 2)
            _check(f"{part}labels", labels, "uint8 (count,)", 1)
            if len(images) != len(labels):
                raise InputError(f"{part}labels", len(labels), f"{len(images)}, one per image")
            if len(labels) and (largest := int(labels.max())) >= self.classes:
                raise InputError(f"{part}labels", largest, f"0 to {self.classes - 1}")
        if (shape := self.test_images.shape[1:]) != self.image_shape:
            raise InputError(
                "test_images", shape, f"the shape of the training images, {self.image_shape}"
            )

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of one image, or the number of features of a table."""
        return self.images.shape[1:]

    @property
    def is_table(self) -> bool:
        """Whether it has rows of features instead of images."""
        return self.images.ndim == 2

    @cached_property
    def sha256(self) -> str:
        """Checksum of the content, independent of the file format it was read from.

        SHA-256 over, for each of images, labels, test_images and test_labels in this order, one
        ASCII line ``name rows x columns ...`` (for example ``images 60000x28x28x1``) ended by a
        line feed, followed by the array's bytes in C order. A data set opened from a cache takes
        its checksum from the manifest instead of reading all pixels again.
        """
        return content_sha256({name: getattr(self, name) for name in ARRAYS})

    def split(self, validation: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Divide the training images into a part to train on and a part to hold out.

        The rows are shuffled by `seed` and the first `validation` of them are held out, so the two
        parts never overlap and together are all training images. Test images are not used.

        Returns
        -------
        train, validation
            Row numbers, int64.

        Raises
        ------
        InputError
            Unless ``0 <= validation < number of training images``; its key is "validation".
        """
        count = len(self.images)
        if not 0 <= validation < count:
            raise InputError(
                "validation",
                validation,
                f"0 to {count - 1}",
                f"at least one of the {count} images of {self.name} must be left for training",
            )
        order = stream(seed, "split").permutation(count).astype(np.int64, copy=False)
        return order[validation:], order[:validation]

    def __reduce__(self) -> tuple[Callable[[Path], "Dataset"], tuple[Path]] | Any:
        """Pickle the path, if there is one: a worker maps the files instead of copying them."""
        if self.path is None:
            return super().__reduce__()
        return open_cached, (self.path,)


def open_cached(path: Path) -> Dataset:
    """Map a data set from its cache folder, as a worker does; takes about a millisecond.

    Only the manifest and four file headers are read; the operating system loads the pixels page by
    page as mini-batches use them. The arrays are read-only.

    Raises
    ------
    InputError
        If the folder does not contain a complete data set.
    """
    path = Path(path)
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
        dataset = Dataset(
            name=manifest["name"],
            classes=manifest["classes"],
            full_scale=manifest["full_scale"],
            label_names=tuple(manifest.get("label_names", ())),
            path=path,
            **arrays,
        )
        # `load` has verified it; the dict of a frozen dataclass can hold a cached property's value.
        dataset.__dict__["sha256"] = manifest["sha256"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(problem=f"{path} is not a complete data cache: {error}") from None
    return dataset


def content_sha256(arrays: dict[str, NDArray[Any]]) -> str:
    """Return the checksum that `Dataset.sha256` describes."""
    digest = hashlib.sha256()
    for name in ARRAYS:
        array = arrays[name]
        digest.update(f"{name} {'x'.join(map(str, array.shape))}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _check(name: str, array: NDArray[Any], expected: str, rank: int) -> None:
    if array.dtype != np.uint8 or array.ndim != rank:
        received = f"{array.dtype} {array.shape}"
        raise InputError(name, received, expected, problem=f"got {received}")
