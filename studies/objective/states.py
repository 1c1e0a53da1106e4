"""The state of objects that train, as plain values and arrays, and back into the objects."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from studies.objective import estimators

_TENSOR = "__tensor__"
"""First of the four items of a tuple that stands for a tensor of PyTorch."""

EXPECTED = (
    "objects with state_dict and load_state_dict, scikit-learn estimators, NumPy generators, dicts "
    "and lists"
)


def state_of(objects: Sequence[Any]) -> list[Any]:
    """Return the state of each object; raises TypeError for one that has none."""
    return [plain(_state_of(thing)) for thing in objects]


def restore(objects: Sequence[Any], states: Sequence[Any]) -> None:
    """Set objects, in place, to the states that `state_of` returned."""
    for thing, state in zip(objects, map(restored, states), strict=True):
        _set(thing, state)


def check(objects: Sequence[Any]) -> None:
    """Raise TypeError for objects whose state cannot be stored."""
    for thing in objects:
        if not (_has_state_dict(thing) or _is_plain(thing) or estimators.is_estimator(thing)):
            kind = type(thing).__name__
            raise TypeError(f"trial.epochs: got an object of type {kind}, expected {EXPECTED}")


def plain(value: Any) -> Any:
    """Return nested values with every tensor replaced by what `nets.state.pack` can store."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if _is_tensor(value):
        import torch

        flat = value.detach().cpu().contiguous().reshape(-1)
        data = flat.view(torch.uint8).numpy().copy()  # NumPy lacks some types, such as bfloat16
        return _TENSOR, str(value.dtype).removeprefix("torch."), list(value.shape), data
    return value


def restored(value: Any) -> Any:
    """Return nested values with the tensors that `plain` replaced, on the CPU."""
    if isinstance(value, dict):
        return {key: restored(item) for key, item in value.items()}
    if isinstance(value, tuple) and len(value) == 4 and value[0] == _TENSOR:
        import torch

        _, dtype, shape, data = value
        if not data.size:
            return torch.empty(shape, dtype=getattr(torch, dtype))
        return torch.from_numpy(data.copy()).view(getattr(torch, dtype)).reshape(shape)
    if type(value) in (list, tuple):
        return type(value)(map(restored, value))
    return value


def _has_state_dict(thing: Any) -> bool:
    return hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict")


def _is_plain(thing: Any) -> bool:
    return isinstance(thing, dict | list | np.random.Generator)


def _is_tensor(value: Any) -> bool:
    # Without an import: a worker whose objective does not use PyTorch must not load it.
    return any(
        kind.__module__ == "torch" and kind.__name__ == "Tensor" for kind in type(value).__mro__
    )


def _state_of(thing: Any) -> Any:
    check([thing])
    if _has_state_dict(thing):
        return thing.state_dict()
    if isinstance(thing, np.random.Generator):
        return dict(thing.bit_generator.state)
    if isinstance(thing, dict | list):
        return thing
    return estimators.dumped(thing)


def _set(thing: Any, state: Any) -> None:
    if _has_state_dict(thing):
        thing.load_state_dict(state)
    elif isinstance(thing, np.random.Generator):
        thing.bit_generator.state = state
    elif isinstance(thing, dict):
        thing.clear()
        thing.update(state)
    elif isinstance(thing, list):
        thing[:] = state
    else:
        found = estimators.loaded(state)
        thing.__dict__.clear()
        thing.__dict__.update(found.__dict__)
