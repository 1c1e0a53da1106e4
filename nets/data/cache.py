"""The cache of data sets: plain .npy files, which any number of processes map into memory.

A data set is stored in ``CACHE/NAME-CHECKSUM/``: four arrays and `dataset.json`, which is written
last, so that its existence means the rest is complete. Every file is written under a temporary name
and renamed. The folder is named after its content, so two processes that write it at the same time
write the same bytes, and the last rename changes nothing.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np

from nets.data.dataset import ARRAYS, MANIFEST, Content, Dataset, content_sha256, open_cached
from nets.errors import InputError
from nets.files import write_whole


def folder_of(name: str, sha256: str, cache: Path) -> Path:
    """Return the folder of a data set in a cache."""
    return cache / f"{name}-{sha256[:16]}"


def open_verified(path: Path, content: str) -> Dataset | None:
    """Open a data set as a driver does: return None unless its arrays have this checksum."""
    try:
        dataset = open_cached(path)
    except InputError:
        return None
    arrays = {name: getattr(dataset, name) for name in ARRAYS}
    return dataset if content_sha256(arrays) == content else None


def store(path: Path, content: Content, *, name: str, sha256: str) -> None:
    """Write a data set to its cache folder.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    manifest = {
        "name": name, "classes": content.classes, "full_scale": content.full_scale,
        "sha256": sha256, "label_names": content.label_names,
    }  # fmt: skip
    try:
        path.mkdir(parents=True, exist_ok=True)
        for part in ARRAYS:
            array = np.ascontiguousarray(content.arrays[part])
            write_whole(path / f"{part}.npy", partial(np.save, arr=array))
        text = json.dumps(manifest, indent=2).encode() + b"\n"
        write_whole(path / MANIFEST, lambda file: file.write(text))
    except OSError as error:
        raise InputError(
            problem=f"cannot write the data cache {path}: {error}",
            hint="set XDG_CACHE_HOME to use another folder",
        ) from None
