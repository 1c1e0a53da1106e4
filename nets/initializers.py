"""Initial weights: random, of the right size, and never all the same.

Weights that start equal stay equal: units that compute the same get the same gradient. With weights
that are too small the signal vanishes from layer to layer, with too large ones it explodes or
saturates. Xavier and He choose the variance so that the signal's variance is the same before and
after a layer.

Every function takes a layer's `Parameter` and a generator, and returns float64 numbers of its shape
with mean zero. For a convolution, ``fan_in`` is kernel height times kernel
width times input channels: the number of products that one output adds up.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nets.layers.base import Parameter

Initializer: TypeAlias = Callable[[Parameter, np.random.Generator], NDArray[np.float64]]


def constant_std(
    parameter: Parameter, generator: np.random.Generator, std: float = 0.01
) -> NDArray[np.float64]:
    """Draw from a normal distribution with the same standard deviation in every layer.

    >>> weight = Parameter((200, 300), 200, 300, "weight")
    >>> round(float(constant_std(weight, np.random.default_rng(0)).std()), 3)
    0.01
    """
    return generator.normal(0, std, parameter.shape)


def xavier_normal(parameter: Parameter, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw from a normal distribution of variance ``2 / (fan_in + fan_out)``.

    For sigmoid and tanh, which are nearly linear around zero.

    Source: Glorot and Bengio, Understanding the difficulty of training deep feedforward neural
    networks (AISTATS 2010), equation 12. (Textbooks often give ``1 / fan_in`` under this name.)

    >>> weight = Parameter((200, 300), 200, 300, "weight")
    >>> round(float(xavier_normal(weight, np.random.default_rng(0)).std() ** 2 * 250), 2)
    1.0
    """
    return generator.normal(
        0, math.sqrt(2 / (parameter.fan_in + parameter.fan_out)), parameter.shape
    )


def xavier_uniform(parameter: Parameter, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw uniformly from +-``sqrt(6 / (fan_in + fan_out))``: the variance of `xavier_normal`.

    Source: Glorot and Bengio (2010), equation 16.

    >>> weight = Parameter((2, 1), 2, 1, "weight")
    >>> bool(np.abs(xavier_uniform(weight, np.random.default_rng(0))).max() < 2**0.5)
    True
    """
    limit = math.sqrt(6 / (parameter.fan_in + parameter.fan_out))
    return generator.uniform(-limit, limit, parameter.shape)


def he_normal(parameter: Parameter, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw from a normal distribution of variance ``2 / fan_in``.

    For ReLU, which sets half of its inputs to zero: twice the variance compensates for it.

    Source: He et al., Delving Deep into Rectifiers (ICCV 2015), equation 10.

    >>> weight = Parameter((200, 300), 200, 300, "weight")
    >>> round(float(he_normal(weight, np.random.default_rng(0)).std() ** 2 * 100), 2)
    1.0
    """
    return generator.normal(0, math.sqrt(2 / parameter.fan_in), parameter.shape)


def he_uniform(parameter: Parameter, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw uniformly from +-``sqrt(6 / fan_in)``: the variance of `he_normal`.

    >>> weight = Parameter((6, 5), 6, 5, "weight")
    >>> bool(np.abs(he_uniform(weight, np.random.default_rng(0))).max() < 1)
    True
    """
    limit = math.sqrt(6 / parameter.fan_in)
    return generator.uniform(-limit, limit, parameter.shape)


INITIALIZERS: dict[str, Initializer] = {
    "constant_std": constant_std,
    "xavier_normal": xavier_normal,
    "xavier_uniform": xavier_uniform,
    "he_normal": he_normal,
    "he_uniform": he_uniform,
}
"""The values of ``Settings.initialization``."""
