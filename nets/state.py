"""A training state as bytes: arrays in NumPy's .npz format, everything else as JSON, no pickle."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from nets.array_files import read_arrays
from nets.errors import InputError
from nets.outcome import Model, State

_TREE = "tree"
_ARRAY = "__array__"


def pack(state: State) -> bytes:
    """Return a state, which consists of dicts, lists, plain values and arrays, as bytes.

    >>> state = {"epoch": 3, "weights": np.arange(2.0), "generators": {"dropout": [1, 2**70]}}
    >>> unpack(pack(state))
    {'epoch': 3, 'weights': array([0., 1.]), 'generators': {'dropout': [1, 1180591620717411303424]}}
    """
    arrays: dict[str, NDArray[Any]] = {}
    tree = json.dumps(_folded(state, arrays))
    buffer = io.BytesIO()
    np.savez(buffer, **{_TREE: np.frombuffer(tree.encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


# Not inside `pack`: a function that refers to itself would keep the arrays in memory.
def _folded(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return a value as JSON can hold it; the arrays in it are added to `arrays`."""
    if isinstance(value, np.ndarray):
        arrays[str(len(arrays))] = value
        return {_ARRAY: len(arrays) - 1}
    if isinstance(value, dict):
        return {str(key): _folded(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_folded(item, arrays) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"a training state holds dicts, lists, numbers, strings and arrays, got {type(value)}"
    )


@dataclass(frozen=True)
class PackedModel:
    """A model as it is sent and stored: `arrays` are packed."""

    source: str
    arrays: bytes

    @classmethod
    def of(cls, model: Model) -> Self:
        """Return a model as bytes."""
        return cls(model.source, pack(dict(model.arrays)))

    def unpacked(self) -> Model:
        """Return the model."""
        return Model(self.source, unpack(self.arrays))


def unpack(content: bytes | BinaryIO) -> State:
    """Return the state that `pack` turned into `content`; raises InputError for anything else.

    Of a file, only the arrays are in memory.
    """
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        arrays = read_arrays(file)
        state: State = _unfolded(json.loads(arrays[_TREE].tobytes().decode()), arrays)
    except (ValueError, KeyError, RecursionError) as error:
        raise InputError("state", problem=f"a damaged training state ({error!s:.100})") from error
    return state


def _unfolded(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the value of which `_folded` returned this and the arrays."""
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return arrays[str(value[_ARRAY])]
        return {key: _unfolded(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_unfolded(item, arrays) for item in value]
    return value
