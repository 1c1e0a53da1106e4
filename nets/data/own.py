"""Users' images and tables: one file ``NAME.npz`` in the data folder."""

import hashlib
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.array_files import read_arrays
from nets.data.dataset import ARRAYS, Content
from nets.errors import InputError

KERAS = {
    "x_train": "images", "y_train": "labels", "x_test": "test_images", "y_test": "test_labels"
}  # fmt: skip
"""The names of the same arrays in the files of Keras's datasets."""
TABLE = {"features": "images", "test_features": "test_images"}
"""The names of the same arrays in the file of a table."""

FULL_SCALE = "full_scale"
WHITE = 255
"""The full scale of a file that does not state one."""
LABEL_NAMES = "label_names"
KNOWN = (*ARRAYS, FULL_SCALE, LABEL_NAMES)
MOST_CLASSES = 256

LARGEST = 4 << 30
"""Maximum bytes of a file's arrays, which are all in memory while it is read."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def path_of(name: str, folder: Path) -> Path:
    """Return the path of the file of this name."""
    return folder / f"{name}.npz"


def is_name(name: str) -> bool:
    """Whether a file in the data folder may have this name: no path, no hidden file."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def sha256_of(content: str, full_scale: int) -> str:
    """Return a data set's checksum: that of its arrays, and of the scale if it is not 255."""
    if full_scale == WHITE:
        return content
    return hashlib.sha256(f"{content} {FULL_SCALE} {full_scale}\n".encode()).hexdigest()


def read(path: Path) -> Content:
    """Read a file of images with labels.

    It holds ``images`` and ``test_images``, uint8, ``(count, height, width)`` or ``(count, height,
    width, channels)``; ``labels`` and ``test_labels``, integers from 0, ``(count,)`` or
    ``(count, 1)``; or the same under the names of `KERAS`. ``full_scale`` is the pixel value that
    stands for 1, 255 by default. ``label_names`` are strings, one per class; without them the
    largest label determines the number of classes. Labels may be strings, which are then the names.
    A table has floats, ``(count, features)``, also as ``features`` and ``test_features``.

    Raises
    ------
    InputError
        For a file that cannot be read or has other content; the key begins with its path.
    """
    found = _arrays(path)
    label_names = _label_names(path, found.pop(LABEL_NAMES, np.array([], np.str_)))
    scale = found.pop(FULL_SCALE, np.array(WHITE))
    if scale.size != 1 or scale.dtype.kind not in "ui" or not 1 <= scale.item() <= WHITE:
        raise InputError(f"{path}: {FULL_SCALE}", scale.tolist(), f"an integer from 1 to {WHITE}")
    full_scale = int(scale.item())
    if is_table := found["images"].dtype.kind == "f":
        full_scale = 1
    label_names = _named_labels(path, found, label_names)
    images_of = _table if is_table else partial(_images, full_scale=full_scale)
    arrays = {
        name: images_of(path, name, found[name])
        if name.endswith("images")
        else _labels(path, name, found[name])
        for name in ARRAYS
    }
    for images, labels in (ARRAYS[:2], ARRAYS[2:]):
        if len(arrays[images]) != len(arrays[labels]):
            raise InputError(
                f"{path}: {labels}", len(arrays[labels]), f"{len(arrays[images])}, one per image"
            )
    shape, test_shape = arrays["images"].shape[1:], arrays["test_images"].shape[1:]
    if shape != test_shape:
        raise InputError(
            f"{path}: test_images", test_shape, f"the shape of the training images, {shape}"
        )
    classes = 1 + max(int(arrays["labels"].max()), int(arrays["test_labels"].max()))
    if classes < 2:
        raise InputError(f"{path}: labels", problem="got 0 only", expected="at least two classes")
    if label_names and len(label_names) < classes:
        raise InputError(
            f"{path}: {LABEL_NAMES}", len(label_names), f"at least {classes}, one per class"
        )
    return Content(arrays, len(label_names) or classes, full_scale, label_names)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file, Keras's under our names."""
    try:
        with path.open("rb") as file:
            read = read_arrays(file, {*KERAS, *TABLE, *KNOWN}, limit=LARGEST)
    except OSError as error:
        raise InputError(str(path), problem=f"cannot be read: {error.strerror}") from error
    except InputError as error:
        raise error.with_key(str(path)) from error
    found = {(KERAS | TABLE).get(name, name): array for name, array in read.items()}
    if missing := [name for name in ARRAYS if name not in found]:
        raise InputError(
            str(path),
            problem=f"no {', '.join(missing)}",
            expected=f"{', '.join(ARRAYS)} (or {', '.join(KERAS)}); {FULL_SCALE} and "
            f"{LABEL_NAMES} are optional",
        )
    return found


def _images(path: Path, name: str, array: NDArray[Any], full_scale: int) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or not array.size:
        raise _wrong_array(
            path,
            name,
            array,
            "uint8 (count, height, width) or (count, height, width, channels), or a table of "
            "floats (count, features)",
        )
    if (high := int(array.max())) > full_scale:
        raise InputError(f"{path}: {name}", high, f"pixels up to {FULL_SCALE}, {full_scale}")
    return array if array.ndim == 4 else array[..., np.newaxis]


def _table(path: Path, name: str, array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind != "f" or array.ndim != 2 or not array.size:
        raise _wrong_array(
            path, name, array, "uint8 images, or a table of floats (count, features)"
        )
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if not (finite := np.isfinite(numbers).all(axis=1)).all():
        problem = f"NaN, infinity or a number too large for float32 in row {np.argmin(finite)}"
        raise InputError(f"{path}: {name}", problem=problem)
    return numbers


def _named_labels(
    path: Path, found: dict[str, NDArray[Any]], label_names: tuple[str, ...]
) -> tuple[str, ...]:
    """Replace labels that are strings by numbers; return the names of the classes.

    Without `label_names`, the classes are in the order of their names.
    """
    parts = ("labels", "test_labels")
    if not any(found[part].dtype.kind == "U" for part in parts):
        return label_names
    words = {}
    for part in parts:
        if found[part].dtype.kind != "U":
            raise _wrong_array(path, part, found[part], "strings, as the other labels are")
        words[part] = [" ".join(str(text).split()) for text in found[part].flat]
    used = sorted({word for texts in words.values() for word in texts})
    names = label_names or _label_names(path, np.array(used, np.str_))
    number = {word: place for place, word in enumerate(names)}
    if unknown := [word for word in used if word not in number]:
        raise InputError(f"{path}: labels", unknown[0], f"one of {LABEL_NAMES}: {', '.join(names)}")
    for part, texts in words.items():
        numbers = np.array([number[word] for word in texts], np.int64)
        found[part] = numbers.reshape(found[part].shape)
    return names


def _labels(path: Path, name: str, array: NDArray[Any]) -> NDArray[np.uint8]:
    is_flat = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
    if array.dtype.kind not in "ui" or not is_flat:
        raise _wrong_array(path, name, array, "integers or strings (count,)")
    if array.size and not 0 <= array.min() <= array.max() < MOST_CLASSES:
        raise InputError(
            f"{path}: {name}",
            problem=f"got {array.min()} to {array.max()}",
            expected=f"0 to {MOST_CLASSES - 1}",
        )
    return array.reshape(-1).astype(np.uint8)


def _label_names(path: Path, array: NDArray[Any]) -> tuple[str, ...]:
    if array.dtype.kind != "U" or array.ndim != 1 or len(array) > MOST_CLASSES:
        raise _wrong_array(path, LABEL_NAMES, array, "strings (classes,)")
    names = tuple(" ".join(str(name).split()) for name in array)
    if not all(names) or len(set(names)) < len(names):
        raise InputError(f"{path}: {LABEL_NAMES}", names, "distinct strings, none empty")
    return names


def _wrong_array(path: Path, name: str, array: NDArray[Any], expected: str) -> InputError:
    received = f"{array.dtype} {array.shape}"
    return InputError(f"{path}: {name}", received, expected, problem=f"got {received}")
