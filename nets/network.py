"""A network: a sequence of layers, with everything that they learn in one flat vector.

The flat vector keeps the rest simple: an optimizer's step is a few vector operations, a checkpoint
is one array, a digest one hash. Each layer works on views into it, so nothing is copied.

This is the plain form: it calls one layer after the other and is the reference in tests. The fast
form in `nets.kernels` works on the same vectors.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.arrays import FLOATS, Array, Shape
from nets.errors import InputError
from nets.initializers import Initializer
from nets.layers.base import Layer, Parameter, Statistic, snake_case
from nets.losses import Loss

Noise = Sequence[NDArray[Any] | None]
"""The random numbers of each layer for one mini-batch, in the order of the layers."""

Slot = tuple[int, str, Parameter | Statistic]
"""A layer's index, and the name and description of one of its arrays."""


class Network:
    """A sequence of layers, with their parameters, gradients and running statistics.

    Parameters
    ----------
    layers
        From input to output. Each gets a unique name: that of its class and its number among the
        layers of this class, such as ``convolution2``; a layer with a label keeps it.
    input_shape
        Shape of one input, without the batch axis.
    dtype
        float32 or float64, for everything that the network computes.

    Attributes
    ----------
    parameters, gradients
        The flat vectors. All parameters of kind "weight" come first, then biases, scales and
        shifts, so that weight decay applies to one contiguous part: `weights`.
    statistics
        The running statistics of batch normalization, flat.
    named
        Each parameter by name (``"affine1.weight"``), as a view into ``parameters``.
    parameter_views, gradient_views, statistic_views
        For each layer, a dictionary of its views into the flat vectors.
    outputs
        The scores of the last mini-batch of `loss_and_gradients`, ``(batch, classes)``.
    shapes
        Shape of one input of each layer, followed by the shape of one output.

    Raises
    ------
    InputError
        If a layer does not fit the output of the one before it, or two layers have the same name.

    >>> from nets.layers import Affine, ReLU
    >>> network = Network([Affine(3), ReLU(), Affine(2)], (4,))
    >>> list(network.named), network.parameters.size, network.weights.size
    (['affine1.weight', 'affine2.weight', 'affine1.bias', 'affine2.bias'], 23, 18)
    >>> network.predict(np.ones((5, 4), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self, layers: Sequence[Layer], input_shape: Shape, dtype: Any = np.float32
    ) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in FLOATS:
            raise TypeError(f"a network computes in float32 or float64, got {self.dtype}")
        self.layers = labelled(layers)
        self.shapes = [tuple(input_shape)]
        for layer in self.layers:
            self.shapes.append(layer.output_shape(self.shapes[-1]))
        self.input_shape, self.output_shape = self.shapes[0], self.shapes[-1]

        shaped = list(enumerate(zip(self.layers, self.shapes, strict=False)))
        parameters = [
            (index, name, parameter)
            for index, (layer, shape) in shaped
            for name, parameter in layer.parameters(shape).items()
        ]
        statistics = [
            (index, name, statistic)
            for index, (layer, shape) in shaped
            for name, statistic in layer.statistics(shape).items()
        ]
        self.slots = sorted(parameters, key=lambda slot: slot[2].kind != "weight")
        """(layer's index, parameter's name, parameter) in the order of the flat vector."""
        self.parameters = np.zeros(_size(self.slots), self.dtype)
        self.gradients = np.zeros_like(self.parameters)
        self.statistics = np.zeros(_size(statistics), self.dtype)
        self.parameter_views = self._views(self.parameters, self.slots)
        self.gradient_views = self._views(self.gradients, self.slots)
        self.statistic_views = self._views(self.statistics, statistics)
        for index, name, statistic in statistics:
            self.statistic_views[index][name][...] = statistic.initial
        for index, name, parameter in self.slots:
            if parameter.kind == "scale":  # biases and shifts are zero already
                self.parameter_views[index][name][...] = 1
        self.named = {
            f"{self.layers[index].name}.{name}": self.parameter_views[index][name]
            for index, name, _ in self.slots
        }
        self.weights = self.parameters[: _size(s for s in self.slots if s[2].kind == "weight")]
        """The part of ``parameters`` to which weight decay applies."""
        self.outputs: Array = np.empty((0, *self.output_shape), self.dtype)

    def _views(self, flat: Array, slots: Iterable[Slot]) -> list[dict[str, Array]]:
        """Cut a flat vector into each layer's arrays."""
        views: list[dict[str, Array]] = [{} for _ in self.layers]
        start = 0
        for index, name, item in slots:
            end = start + math.prod(item.shape)
            views[index][name] = flat[start:end].reshape(item.shape)
            start = end
        return views

    def initialize(self, initializer: Initializer, generator: np.random.Generator) -> None:
        """Draw every weight, layer by layer; biases, scales and shifts remain constants."""
        for index, name, parameter in self.slots:
            if parameter.kind == "weight":
                self.parameter_views[index][name][...] = initializer(parameter, generator)

    def draw(self, batch: int, generator: np.random.Generator) -> list[NDArray[Any] | None]:
        """Draw the random numbers for one mini-batch, layer by layer, row by row."""
        return [
            layer.draw(batch, shape, generator)
            for layer, shape in zip(self.layers, self.shapes, strict=False)
        ]

    def forward(
        self, x: Array, *, training: bool = False, noise: Noise | None = None
    ) -> tuple[Array, Callable[[Array], Array]]:
        """Compute the outputs for a batch, and the function that propagates their gradient back.

        That function fills ``gradients`` and returns the gradient with respect to ``x``. It is only
        valid for the current parameters: call it before they change.
        """
        self.check(x)
        backwards = []
        for index, layer in enumerate(self.layers):
            x, backward = layer.forward(
                x,
                self.parameter_views[index],
                training=training,
                noise=None if noise is None else noise[index],
                statistics=self.statistic_views[index],
            )
            backwards.append(backward)

        def carry_back(gradient: Array) -> Array:
            for views, backward in zip(
                reversed(self.gradient_views), reversed(backwards), strict=True
            ):
                gradient, gradients = backward(gradient)
                for name, value in gradients.items():
                    views[name][...] = value
            return gradient

        return x, carry_back

    def predict(self, x: Array) -> Array:
        """Return the outputs for a batch: scores, which softmax turns into probabilities."""
        return self.forward(x)[0]

    def loss_and_gradients(
        self, x: Array, targets: NDArray[Any], loss: Loss, noise: Noise | None = None
    ) -> float:
        """Compute a mini-batch's loss in training and fill ``gradients`` with its derivative."""
        self.outputs, backward = self.forward(x, training=True, noise=noise)
        value, loss_backward = loss(self.outputs, targets)
        backward(loss_backward())
        return value

    def digest(self) -> str:
        """Return the SHA-256 of everything learnt: parameters, then statistics."""
        return sha256_of(self.parameters, self.statistics)

    def check(self, x: Array) -> None:
        """Raise an error unless an input has the right dtype and shape, rows, and finite numbers.

        Raises
        ------
        TypeError
            If it is not an array of the network's dtype.
        InputError
            Otherwise; the message states what was received and what is expected.
        """
        if not isinstance(x, np.ndarray) or x.dtype != self.dtype:
            received = getattr(x, "dtype", type(x).__name__)
            raise TypeError(f"network: the input must be an array of {self.dtype}, got {received}")
        if x.shape[1:] != self.input_shape or len(x) == 0:
            expected = ", ".join(map(str, ("batch", *self.input_shape)))
            raise InputError("network.input", x.shape, f"({expected}) with at least one row")
        if not np.isfinite(x).all():
            row = int(np.argmin(np.isfinite(x).reshape(len(x), -1).all(axis=1)))
            raise InputError("network.input", problem=f"NaN or infinity in row {row}")


def sha256_of(parameters: Array, statistics: Array) -> str:
    """Return the digest of the network that has these flat vectors."""
    return hashlib.sha256(parameters.tobytes() + statistics.tobytes()).hexdigest()


def _size(slots: Iterable[Slot]) -> int:
    return sum(math.prod(item.shape) for _, _, item in slots)


def labelled(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Label each layer that has no label by its class and number; refuse duplicates."""
    if not layers:
        raise InputError("network.layers", problem="got none", expected="at least one")
    counts: Counter[str] = Counter()
    result = []
    for layer in layers:
        kind = snake_case(type(layer).__name__)
        counts[kind] += 1
        result.append(layer if layer.label else replace(layer, label=f"{kind}{counts[kind]}"))
    names = Counter(layer.name for layer in result)
    if doubles := [name for name, times in names.items() if times > 1]:
        raise InputError("network.layers", doubles, "distinct names")
    return tuple(result)
