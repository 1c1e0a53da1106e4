"""Arrays from NumPy's .npy and .npz files, which anyone may have written.

NumPy allocates what an array's header says before it reads the array, and a compressed archive may
expand a thousandfold. Here every size is checked before memory is allocated for it.
"""

import math
import os
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_magic
from numpy.typing import NDArray

from nets.errors import InputError


def read_array(file: IO[bytes]) -> NDArray[Any]:
    """Return the array of an .npy file, which has as many bytes as its header says.

    Raises InputError for any other file.

    >>> import io
    >>> np.save(file := io.BytesIO(), np.arange(3))
    >>> read_array(file)
    array([0, 1, 2])
    """
    with _reading("a .npy file written by numpy.save, without objects"):
        return _array(file, _length(file))


def read_arrays(
    file: IO[bytes], names: Collection[str] | None = None, *, limit: int | None = None
) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file, or those with one of the `names`.

    Together they may have `limit` bytes; by default those of the file, which suffices for what
    `numpy.savez` writes. Raises InputError for any other file.

    >>> import io
    >>> np.savez(file := io.BytesIO(), a=np.arange(3), b=np.zeros(2))
    >>> read_arrays(file, ["a"])
    {'a': array([0, 1, 2])}
    """
    with _reading("an .npz file written by numpy.savez, without objects"):
        limit = _length(file) if limit is None else limit
        with zipfile.ZipFile(file) as archive:
            members = {
                info.filename.removesuffix(".npy"): info
                for info in archive.infolist()
                if info.filename.endswith(".npy")
            }
            if names is not None:
                members = {name: info for name, info in members.items() if name in names}
            if (total := sum(info.file_size for info in members.values())) > limit:
                problem = f"got arrays of {total:,} bytes"
                raise InputError(problem=problem, expected=f"at most {limit:,} in such a file")
            arrays = {}
            for name, info in members.items():
                with archive.open(info) as member:
                    arrays[name] = _array(member, info.file_size)
            return arrays


def _length(file: IO[bytes]) -> int:
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    return length


def _array(file: IO[bytes], length: int) -> NDArray[Any]:
    """Return the array of a file of so many bytes."""
    if (version := read_magic(file)) != (1, 0):  # headers of others may have gigabytes
        raise ValueError(f"an array in version {version} of the format")
    shape, _, dtype = read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("an array of objects")
    stated, there = math.prod(shape) * dtype.itemsize, length - file.tell()
    if stated != there or not dtype.itemsize or min(shape, default=0) < 0:
        raise ValueError(f"an array of {stated:,} bytes by its header, of {there:,} in the file")
    file.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


@contextmanager
def _reading(expected: str) -> Iterator[None]:
    """Turn every error in reading a file into an InputError.

    Its bytes may raise errors of zipfile, zlib, struct, tokenize and NumPy, a MemoryError included.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(problem=f"cannot be read: {reason:.200}", expected=expected) from error
