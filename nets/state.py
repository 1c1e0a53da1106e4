"""A training state as bytes: arrays in NumPy's .npz format, everything else as JSON, no pickle."""

import io
import json
import math
import zipfile
from typing import Any

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_magic
from numpy.typing import NDArray

from nets.errors import InputError
from nets.outcome import State

_TREE = "tree"
_ARRAY, _SCALAR, _BYTES, _TUPLE, _PAIRS = TAGS = (
    "__array__", "__scalar__", "__bytes__", "__tuple__", "__pairs__",
)  # fmt: skip
"""The only key of a JSON object that stands for a value which JSON does not have."""

EXPECTED = "dicts, lists, tuples, numbers, strings, bytes, arrays and None"


def pack(state: State, name: str = "state") -> bytes:
    """Return a state, which consists of dicts, lists, tuples, plain values and arrays, as bytes.

    Raises TypeError for anything else, with its place in the state, which is called `name`.

    >>> state = {"epoch": 3, "weights": np.arange(2.0), "generators": {"dropout": [1, 2**70]}}
    >>> unpack(pack(state))
    {'epoch': 3, 'weights': array([0., 1.]), 'generators': {'dropout': [1, 1180591620717411303424]}}
    >>> pack({"names": [{"a", "b"}]})
    Traceback (most recent call last):
    TypeError: state.names[0]: got set, expected dicts, lists, tuples, numbers, strings, bytes, \
arrays and None
    """
    arrays: dict[str, NDArray[Any]] = {}

    def kept(array: NDArray[Any], tag: str) -> dict[str, int]:
        arrays[str(len(arrays))] = array
        return {tag: len(arrays) - 1}

    def fold(value: Any, place: str) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            if not value.dtype.hasobject:
                is_array = isinstance(value, np.ndarray)
                return kept(np.asarray(value), _ARRAY if is_array else _SCALAR)
        elif value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, bytes):
            return kept(np.frombuffer(value, np.uint8), _BYTES)
        if isinstance(value, list):
            return [fold(item, f"{place}[{i}]") for i, item in enumerate(value)]
        if isinstance(value, tuple):
            return {_TUPLE: [fold(item, f"{place}[{i}]") for i, item in enumerate(value)]}
        if isinstance(value, dict):
            items = [(key, fold(item, _joined(place, key))) for key, item in value.items()]
            if all(type(key) is str for key in value) and not value.keys() & set(TAGS):
                return dict(items)
            return {_PAIRS: [[fold(key, f"a key of {place}"), item] for key, item in items]}
        raise TypeError(f"{place}: got {type(value).__name__}, expected {EXPECTED}")

    tree = json.dumps(fold(state, name))
    buffer = io.BytesIO()
    np.savez(buffer, **{_TREE: np.frombuffer(tree.encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _joined(place: str, key: Any) -> str:
    """Return the place of a value in a dict at a place."""
    return f"{place}.{key}" if isinstance(key, str) and key.isidentifier() else f"{place}[{key!r}]"


def unpack(content: bytes) -> State:
    """Return the state that `pack` turned into `content`; raises InputError for anything else."""
    try:
        _check_arrays(content)
        return _unpacked(content)
    except (
        ValueError, TypeError, KeyError, EOFError, OSError, RecursionError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise InputError("state", problem=f"a damaged training state ({error!s:.100})") from error


def _check_arrays(content: bytes) -> None:
    """Raise ValueError unless each array has as many bytes as its header says, as `savez` writes.

    NumPy allocates what a header says before it reads the array.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                if info.compress_type != zipfile.ZIP_STORED or read_magic(member) != (1, 0):
                    raise ValueError("compressed, or of another version")
                shape, _, dtype = read_array_header_1_0(member)
                length = info.file_size - member.tell()
            if dtype.hasobject or math.prod(shape) * dtype.itemsize != length:
                raise ValueError("an array of another size than its header says")


def _unpacked(content: bytes) -> State:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        tree = json.loads(archive[_TREE].tobytes().decode())

        def unfold(value: Any) -> Any:
            if isinstance(value, list):
                return [unfold(item) for item in value]
            if not isinstance(value, dict):
                return value
            if len(value) == 1 and (tag := next(iter(value))) in TAGS:
                content = value[tag]
                if tag == _TUPLE:
                    return tuple(map(unfold, content))
                if tag == _PAIRS:
                    return {unfold(key): unfold(item) for key, item in content}
                array = archive[str(content)]
                return array if tag == _ARRAY else array[()] if tag == _SCALAR else array.tobytes()
            return {key: unfold(item) for key, item in value.items()}

        state: State = unfold(tree)
    return state
