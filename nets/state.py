"""A training state as bytes: arrays in NumPy's .npz format, everything else as JSON, no pickle."""

import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.array_files import read_arrays
from nets.errors import InputError
from nets.outcome import State

_TREE = "tree"
_ARRAY = "__array__"


def pack(state: State) -> bytes:
    """Return a state, which consists of dicts, lists, plain values and arrays, as bytes.

    >>> state = {"epoch": 3, "weights": np.arange(2.0), "generators": {"dropout": [1, 2**70]}}
    >>> unpack(pack(state))
    {'epoch': 3, 'weights': array([0., 1.]), 'generators': {'dropout': [1, 1180591620717411303424]}}
    """
    arrays: dict[str, NDArray[Any]] = {}

    def fold(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays[str(len(arrays))] = value
            return {_ARRAY: len(arrays) - 1}
        if isinstance(value, dict):
            return {str(key): fold(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [fold(item) for item in value]
        if isinstance(value, np.generic):
            return value.item()
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(
            f"a training state holds dicts, lists, numbers, strings and arrays, got {type(value)}"
        )

    tree = json.dumps(fold(state))
    buffer = io.BytesIO()
    np.savez(buffer, **{_TREE: np.frombuffer(tree.encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(content: bytes) -> State:
    """Return the state that `pack` turned into `content`; raises InputError for anything else."""
    try:
        arrays = read_arrays(io.BytesIO(content))
        tree = json.loads(arrays[_TREE].tobytes().decode())

        def unfold(value: Any) -> Any:
            if isinstance(value, dict):
                if value.keys() == {_ARRAY}:
                    return arrays[str(value[_ARRAY])]
                return {key: unfold(item) for key, item in value.items()}
            if isinstance(value, list):
                return [unfold(item) for item in value]
            return value

        state: State = unfold(tree)
    except (ValueError, KeyError, RecursionError) as error:
        raise InputError("state", problem=f"a damaged training state ({error!s:.100})") from error
    return state
