"""Plain .npy files beside each other, which any number of processes map into memory.

A data set lies in ``CACHE/NAME-CHECKSUM/``: four arrays and `dataset.json`, which is written last
and so says that the rest is complete. Every file is written beside its place and renamed. Since
the folder is named for its content, two processes that write it at once write the same bytes, and
whichever rename comes last changes nothing.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nets.data.dataset import ARRAYS, Dataset, content_sha256
from nets.errors import InputError
from nets.files import write_whole

MANIFEST = "dataset.json"


def folder_of(name: str, sha256: str, cache: Path) -> Path:
    """Return the folder of a data set in a cache."""
    return cache / f"{name}-{sha256[:16]}"


def open_cached(path: Path) -> Dataset:
    """Map a data set from its cache folder; what a worker does, in about a millisecond.

    Nothing is read but the manifest and four file headers; the pixels come in page by page as
    mini-batches touch them. The arrays are read-only.

    Raises
    ------
    InputError
        When the folder does not hold a complete data set.
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
        # What load verified; a frozen dataclass allows a cached property to be filled this way.
        dataset.__dict__["sha256"] = manifest["sha256"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a complete data cache: {error}") from None
    return dataset


def open_verified(path: Path, content: str) -> Dataset | None:
    """Open a data set whose arrays have a checksum, or return None: what a driver does."""
    try:
        dataset = open_cached(path)
    except InputError:
        return None
    arrays = {name: getattr(dataset, name) for name in ARRAYS}
    return dataset if content_sha256(arrays) == content else None


def store(
    path: Path,
    arrays: dict[str, NDArray[np.uint8]],
    *,
    name: str,
    classes: int,
    full_scale: int,
    sha256: str,
    label_names: tuple[str, ...] = (),
) -> None:
    """Write a data set to its cache folder.

    Raises
    ------
    InputError
        When the folder cannot be written.
    """
    manifest = {
        "name": name, "classes": classes, "full_scale": full_scale, "sha256": sha256,
        "label_names": label_names,
    }  # fmt: skip
    try:
        path.mkdir(parents=True, exist_ok=True)
        for part in ARRAYS:
            array = np.ascontiguousarray(arrays[part])
            write_whole(path / f"{part}.npy", partial(np.save, arr=array))
        text = json.dumps(manifest, indent=2).encode() + b"\n"
        write_whole(path / MANIFEST, lambda file: file.write(text))
    except OSError as error:
        raise InputError(
            f"the data cache {path} cannot be written: {error}.\n"
            "Accepted is a writable folder; XDG_CACHE_HOME moves the default one."
        ) from None
