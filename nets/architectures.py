"""Architectures: from settings to a network.

Each is one function that lists its layers from input to output. ``settings.activation`` is the
activation everywhere, ``settings.hidden`` are the widths of the hidden affine layers and
``settings.filters`` the filters of each stage of convolutions, by default the architecture's own.
``settings.dropout`` adds dropout after each hidden affine layer, and
``settings.batch_normalization`` a batch normalization between each convolution or hidden affine
layer and its activation; the layer before it then has no bias, because the normalization would
subtract it again.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from nets.arrays import Shape
from nets.errors import InputError
from nets.initializers import INITIALIZERS, constant_std
from nets.layers import (
    ACTIVATIONS,
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Layer,
    MaxPooling,
    Standardization,
)
from nets.layers.convolution import Pair
from nets.network import Network
from nets.settings import FILTERS, HIDDEN, Settings


def build(
    settings: Settings,
    image_shape: Shape,
    classes: int,
    generator: np.random.Generator | None,
    dtype: Any = np.float32,
) -> Network:
    """Return the network that the settings describe, with weights drawn from the generator.

    Parameters
    ----------
    image_shape
        ``(height, width, channels)`` of one image, or ``(features,)`` of one row of a table, which
        the network standardizes first.
    classes
        Number of outputs.
    generator
        Source of the initial weights; None leaves them zero, for weights that are loaded later.
    dtype
        float32 or float64.

    Raises
    ------
    InputError
        If the images are too small for the architecture; the message names the layer.

    >>> network = build(Settings(hidden=(32,)), (8, 8, 1), 10, np.random.default_rng(0))
    >>> [layer.name for layer in network.layers]
    ['flatten1', 'affine1', 'relu1', 'affine2']
    """
    layers = ARCHITECTURES[settings.architecture](settings, classes)
    if len(image_shape) == 1:
        layers = [Standardization(), *layers]
    try:
        network = Network(layers, image_shape, dtype)
    except InputError as error:
        what = "images" if len(image_shape) == 3 else "rows of a table"
        problem = f"{what} of shape {tuple(image_shape)} do not fit: {error}"
        raise InputError(settings.architecture, problem=problem) from None
    if generator is not None:
        initializer = INITIALIZERS[settings.initialization]
        if initializer is constant_std:
            initializer = partial(constant_std, std=settings.initial_std)
        network.initialize(initializer, generator)
    return network


def mlp(settings: Settings, classes: int) -> list[Layer]:
    """Multilayer perceptron: hidden affine layers of any widths, then the output layer."""
    return _affine_layers(settings, classes)


def lenet(settings: Settings, classes: int) -> list[Layer]:
    """Two convolutions 5x5 with 16 and 32 filters, then 128 hidden units, unless set otherwise.

    After LeNet-5 (LeCun et al. 1998), with more filters, ReLU and max pooling. Images of at least
    4x4.
    """
    first, second = _filters(settings)
    return [
        *_convolution(settings, first, (5, 5), padding=(2, 2)),
        MaxPooling(),
        *_convolution(settings, second, (5, 5), padding=(2, 2)),
        MaxPooling(),
        *_affine_layers(settings, classes),
    ]


def deep_convnet(settings: Settings, classes: int) -> list[Layer]:
    """Six convolutions 3x3 in three stages of 16, 32 and 64 filters, then 50 hidden units.

    Filters and hidden units may be set otherwise. The network of the textbook curriculum that this
    package follows; its fourth convolution pads by 2, so that 28x28 images become 4x4 in the end.
    Images of at least 4x4.
    """
    first, second, third = _filters(settings)
    return [
        *_convolution(settings, first, (3, 3), padding=(1, 1)),
        *_convolution(settings, first, (3, 3), padding=(1, 1)),
        MaxPooling(),
        *_convolution(settings, second, (3, 3), padding=(1, 1)),
        *_convolution(settings, second, (3, 3), padding=(2, 2)),
        MaxPooling(),
        *_convolution(settings, third, (3, 3), padding=(1, 1)),
        *_convolution(settings, third, (3, 3), padding=(1, 1)),
        MaxPooling(),
        *_affine_layers(settings, classes),
    ]


def _filters(settings: Settings) -> tuple[int, ...]:
    """Return the filters of each stage."""
    return FILTERS[settings.architecture] if settings.filters is None else settings.filters


def _affine_layers(settings: Settings, classes: int) -> list[Layer]:
    """Return the hidden affine layers, each activated and followed by dropout, and the output."""
    hidden = HIDDEN[settings.architecture] if settings.hidden is None else settings.hidden
    layers: list[Layer] = [Flatten()]
    for width in hidden:
        affine = Affine(width, bias=not settings.batch_normalization)
        layers += [*_activated(settings, affine), *_dropout(settings)]
    return [*layers, Affine(classes)]


def _convolution(settings: Settings, filters: int, kernel: Pair, padding: Pair) -> list[Layer]:
    """Return a convolution with its normalization and activation."""
    bias = not settings.batch_normalization
    return _activated(settings, Convolution(filters, kernel, padding=padding, bias=bias))


def _activated(settings: Settings, layer: Layer) -> list[Layer]:
    """Return a layer followed by batch normalization, if it is set, and the activation."""
    normalization = [BatchNormalization()] if settings.batch_normalization else []
    return [layer, *normalization, ACTIVATIONS[settings.activation]()]


def _dropout(settings: Settings) -> list[Layer]:
    return [Dropout(settings.dropout)] if settings.dropout else []


ARCHITECTURES: dict[str, Callable[[Settings, int], list[Layer]]] = {
    "mlp": mlp,
    "lenet": lenet,
    "deep_convnet": deep_convnet,
}
"""The values of ``Settings.architecture``."""
