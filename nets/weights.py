"""Weights from other frameworks: other layouts, other names, the same numbers.

Most frameworks put a convolution's filters first, ``(filters, channels, height, width)``, and store
images with channels first, so that the affine layer after a flatten expects its inputs in (channel,
row, column) order. Here filters and channels come last. `load_foreign` converts the arrays, checks
every shape, and changes nothing unless all arrays fit.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array, Shape
from nets.errors import InputError
from nets.layers import Affine, Convolution, Flatten, Layer
from nets.network import Network


def load_foreign(
    network: Network,
    arrays: Mapping[str, NDArray[Any]],
    names: Mapping[str, str] | None = None,
    *,
    outputs_first: bool = False,
) -> None:
    """Copy a network's weights from arrays in the layout of another framework.

    Parameters
    ----------
    network
        Its parameters, and running statistics if it has any, are overwritten.
    arrays
        Convolutions ``(filters, channels, height, width)``, affine weights ``(inputs, outputs)``,
        everything else ``(channels,)``. Affine inputs from a flattened image are in (channel, row,
        column) order.
    names
        For each parameter and running statistic of the network (``"convolution1.weight"``,
        ``"batch_normalization1.mean"``), the name of its array. By default the layers with weights
        are numbered from 1 and have arrays ``W1, b1, W2, b2, ...``.
    outputs_first
        Affine weights are ``(outputs, inputs)``, as in PyTorch.

    Raises
    ------
    InputError
        If an array is missing, unused, of the wrong shape, or contains NaN or infinity; the message
        names it. The network is then unchanged.

    >>> network = Network([Affine(2)], (3,))
    >>> load_foreign(network, {"W1": np.ones((3, 2)), "b1": np.zeros(2)})
    >>> network.predict(np.ones((1, 3), np.float32))
    array([[3., 3.]], dtype=float32)
    >>> load_foreign(network, {"W1": np.ones((2, 3)), "b1": np.zeros(2)})
    Traceback (most recent call last):
    nets.errors.InputError: affine1.weight: got (2, 3), expected array W1 of shape (3, 2)
    """
    names = default_names(network) if names is None else names
    slots = list(_slots(network, outputs_first))
    taken = [names[slot.name] for slot in slots if slot.name in names]
    if left_over := sorted(set(arrays) - set(taken)):
        raise InputError(
            "weights", problem=f"unused {', '.join(left_over)}", expected=", ".join(taken)
        )
    values = [slot.translated(names.get(slot.name), arrays) for slot in slots]
    for slot, value in zip(slots, values, strict=True):
        slot.view[...] = value


def default_names(network: Network) -> dict[str, str]:
    """Count the layers with weights from 1, and name their arrays ``W1, b1, W2, b2, ...``.

    >>> default_names(Network([Affine(3), Affine(2, bias=False)], (4,)))
    {'affine1.weight': 'W1', 'affine1.bias': 'b1', 'affine2.weight': 'W2'}
    """
    letters = {"weight": "W", "bias": "b"}
    with_weights = [
        (layer, views)
        for layer, views in zip(network.layers, network.parameter_views, strict=True)
        if "weight" in views
    ]
    return {
        f"{layer.name}.{key}": f"{letters[key]}{number}"
        for number, (layer, views) in enumerate(with_weights, start=1)
        for key in views
    }


@dataclass(frozen=True)
class _Slot:
    """One array of the network: its view, and the layout of the same array elsewhere."""

    name: str
    view: Array
    foreign_shape: Shape
    to_own: Callable[[NDArray[Any]], NDArray[Any]]

    def translated(
        self, foreign_name: str | None, arrays: Mapping[str, NDArray[Any]]
    ) -> NDArray[Any]:
        """Return the array of this name in the network's layout; raise InputError if unfit."""
        expected = f"array {foreign_name or '(missing in names)'} of shape {self.foreign_shape}"
        if foreign_name is None or foreign_name not in arrays:
            raise InputError(self.name, problem="got none", expected=expected)
        array = np.asarray(arrays[foreign_name])
        if array.shape != self.foreign_shape:
            raise InputError(self.name, array.shape, expected)
        if array.dtype.kind not in "fiu":
            raise InputError(self.name, str(array.dtype), f"numbers in {foreign_name}")
        if not np.isfinite(array).all():
            raise InputError(self.name, problem=f"NaN or infinity in {foreign_name}")
        return self.to_own(array)


def _slots(network: Network, outputs_first: bool) -> Iterator[_Slot]:
    """Yield the network's parameters and running statistics, layer by layer."""
    image: Shape | None = None  # the shape before flattening, until the next affine layer
    for layer, shape, parameters, statistics in zip(
        network.layers,
        network.shapes,
        network.parameter_views,
        network.statistic_views,
        strict=False,
    ):
        if isinstance(layer, Flatten):
            image = shape
        for key, view in (parameters | statistics).items():
            foreign_shape, to_own = _layout(layer, key, view.shape, image, outputs_first)
            yield _Slot(f"{layer.name}.{key}", view, foreign_shape, to_own)
        if isinstance(layer, Affine):
            image = None


def _layout(
    layer: Layer, key: str, shape: Shape, image: Shape | None, outputs_first: bool
) -> tuple[Shape, Callable[[NDArray[Any]], NDArray[Any]]]:
    """Return an array's shape in the other layout, and the function from that layout to ours."""
    if key == "weight" and isinstance(layer, Convolution):
        height, width, channels, filters = shape
        return (filters, channels, height, width), lambda array: array.transpose(2, 3, 1, 0)
    if key == "bias" and isinstance(layer, Affine):
        return shape, lambda array: array
    if outputs_first and isinstance(layer, Affine):
        return shape[::-1], lambda array: _channels_last(array.T, image)
    return shape, lambda array: _channels_last(array, image)


def _channels_last(array: NDArray[Any], image: Shape | None) -> NDArray[Any]:
    """Reorder the first axis from (channel, row, column) to (row, column, channel)."""
    if image is None or len(image) != 3:
        return array
    height, width, channels = image
    split = array.reshape(channels, height, width, -1)
    return split.transpose(1, 2, 0, 3).reshape(array.shape)
