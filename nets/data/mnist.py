"""MNIST: 70,000 handwritten digits of 28x28 pixels, in the four files it was published in.

Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86 (1998), section III-A.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nets.data.idx import parse, read_content
from nets.errors import InputError

CLASSES = 10
FULL_SCALE = 255
FETCH_COMMAND = "retrial data fetch mnist"


class File(NamedTuple):
    """One published file; the checksum is of its content, since mirrors compress differently."""

    name: str
    sha256: str


FILES = {
    "images": File(
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "labels": File(
        "train-labels-idx1-ubyte",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "test_images": File(
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "test_labels": File(
        "t10k-labels-idx1-ubyte",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}


def find(name: str, folder: Path) -> Path | None:
    """Return the path of a file of MNIST, the first at which there is one, or None.

    `fetch` writes to the first of all, so that a fetched file takes precedence over any older one.
    """
    places = [place / file for place in (folder / "mnist", folder) for file in (f"{name}.gz", name)]
    return next((path for path in places if path.is_file()), None)


def read(folder: Path, progress: Callable[[str], None]) -> dict[str, NDArray[np.uint8]]:
    """Read the four files below a folder, checked, as arrays by the names of `Dataset`'s fields.

    Raises
    ------
    InputError
        If a file is missing, damaged or not the published one.
    """
    paths = {part: find(file.name, folder) for part, file in FILES.items()}
    missing = [FILES[part].name for part, path in paths.items() if path is None]
    if missing:
        raise InputError(
            "mnist",
            problem=f"no {', '.join(missing)} (plain or .gz) in {folder / 'mnist'} or {folder}",
            hint=f"run `{FETCH_COMMAND}`, or set the folder with --data or RETRIAL_DATA",
        )
    arrays = {}
    for part, path in paths.items():
        assert path is not None  # or it would be missing
        progress(f"reading {path}")
        array = parse(checked_content(path, FILES[part]), str(path))
        arrays[part] = array[..., np.newaxis] if array.ndim == 3 else array
    return arrays


def checked_content(path: Path, file: File) -> bytes:
    """Return the uncompressed content of a file; raise InputError if its checksum is wrong."""
    content = read_content(path)
    received = hashlib.sha256(content).hexdigest()
    if received != file.sha256:
        raise InputError(
            str(path),
            received,
            file.sha256,
            f"replace it with `{FETCH_COMMAND}`",
            problem=f"not the published file: got content with SHA-256 {received}",
        )
    return content
