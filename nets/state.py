"""A training state as bytes: arrays in NumPy's .npz format, everything else as JSON, no pickle."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from nets.array_files import read_arrays
from nets.errors import InputError
from nets.outcome import Model, State

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
    tree = json.dumps(_folded(state, name, arrays))
    buffer = io.BytesIO()
    np.savez(buffer, **{_TREE: np.frombuffer(tree.encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


# Not inside `pack`: a function that refers to itself would keep the arrays in memory.
def _folded(value: Any, place: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return the value at a place as JSON can hold it; the arrays in it are added to `arrays`."""
    if isinstance(value, np.ndarray | np.generic):
        if not value.dtype.hasobject:
            tag = _ARRAY if isinstance(value, np.ndarray) else _SCALAR
            return _kept(np.asarray(value), tag, arrays)
    elif value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return _kept(np.frombuffer(value, np.uint8), _BYTES, arrays)
    if isinstance(value, list | tuple):
        items = [_folded(item, f"{place}[{i}]", arrays) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {_TUPLE: items}
    if isinstance(value, dict):
        pairs = [(key, _folded(item, _joined(place, key), arrays)) for key, item in value.items()]
        if all(type(key) is str for key in value) and not value.keys() & set(TAGS):
            return dict(pairs)
        return {_PAIRS: [[_folded(key, f"a key of {place}", arrays), item] for key, item in pairs]}
    raise TypeError(f"{place}: got {type(value).__name__}, expected {EXPECTED}")


def _kept(array: NDArray[Any], tag: str, arrays: dict[str, NDArray[Any]]) -> dict[str, int]:
    arrays[str(len(arrays))] = array
    return {tag: len(arrays) - 1}


def _joined(place: str, key: Any) -> str:
    """Return the place of a value in a dict at a place."""
    return f"{place}.{key}" if isinstance(key, str) and key.isidentifier() else f"{place}[{key!r}]"


@dataclass(frozen=True)
class PackedModel:
    """A model as it is sent and stored: `arrays` are packed."""

    source: str
    arrays: bytes
    files: Mapping[str, bytes] = field(default_factory=dict)
    format: str = ""

    @classmethod
    def of(cls, model: Model) -> Self:
        """Return a model as bytes."""
        return cls(model.source, pack(dict(model.arrays)), model.files, model.format)

    def unpacked(self) -> Model:
        """Return the model."""
        return Model(self.source, unpack(self.arrays), self.files, self.format)


def unpack(content: bytes | BinaryIO) -> State:
    """Return the state that `pack` turned into `content`; raises InputError for anything else.

    Of a file, only the arrays are in memory.
    """
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        arrays = read_arrays(file)
        state: State = _unfolded(json.loads(arrays[_TREE].tobytes().decode()), arrays)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError("state", problem=f"a damaged training state ({error!s:.100})") from error
    return state


def _unfolded(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the value of which `_folded` returned this and the arrays."""
    if isinstance(value, list):
        return [_unfolded(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1 or (tag := next(iter(value))) not in TAGS:
        return {key: _unfolded(item, arrays) for key, item in value.items()}
    content = value[tag]
    if tag == _TUPLE:
        return tuple(_unfolded(item, arrays) for item in content)
    if tag == _PAIRS:
        return {_unfolded(key, arrays): _unfolded(item, arrays) for key, item in content}
    array = arrays[str(content)]
    return array if tag == _ARRAY else array[()] if tag == _SCALAR else array.tobytes()
