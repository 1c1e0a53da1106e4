"""Activation and output functions as plain functions of arrays.

Each takes and returns an array of any shape and preserves float32 and float64. All are stable: no
input within +-1e4 in float32 overflows or gives NaN. (A result too small for its dtype becomes
zero, as always in floating point.) The layers in `nets.layers.activations` add
the derivatives.
"""

import math

import numpy as np

from nets.arrays import Array

GELU_SCALE = math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715


def step(x: Array) -> Array:
    """Return 1 where x > 0, else 0: the perceptron's activation.

    Its derivative is zero everywhere, so networks that learn by gradients need the functions
    below.

    >>> step(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 1.])
    """
    return (x > 0).astype(x.dtype)


def identity(x: Array) -> Array:
    """Return x itself: the output function of regression."""
    return x


def sigmoid(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``, in (0, 1).

    The exponential is only taken of ``-|x|``, so nothing overflows; for negative x numerator and
    denominator are multiplied by ``exp(x)``, which keeps small values exact.

    >>> sigmoid(np.array([-1e4, 0.0, 1e4]))
    array([0. , 0.5, 1. ])
    """
    small = np.exp(-np.abs(x))
    y: Array = np.where(x >= 0, x.dtype.type(1), small) / (1 + small)
    return y


def tanh(x: Array) -> Array:
    """Return the hyperbolic tangent, in (-1, 1): a sigmoid centred on zero.

    >>> tanh(np.array([0.0, 0.5])).round(4)
    array([0.    , 0.4621])
    """
    return np.tanh(x)


def relu(x: Array) -> Array:
    """Return ``max(x, 0)``. Source: Nair and Hinton, Rectified Linear Units (ICML 2010).

    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return np.maximum(x, 0)


def leaky_relu(x: Array, slope: float = 0.01) -> Array:
    """Return x where x > 0, else ``slope * x``, for a slope in [0, 1).

    Source: Maas et al., Rectifier Nonlinearities (ICML workshop 2013).

    >>> leaky_relu(np.array([-1.0, 2.0]))
    array([-0.01,  2.  ])
    """
    return np.maximum(x, x.dtype.type(slope) * x)


def gelu(x: Array) -> Array:
    """Return ``x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))``.

    This approximates ``x * P(standard normal < x)`` by tanh, with an error of at most 5e-4;
    PyTorch calls it ``gelu(approximate="tanh")``.

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units (2016), section 2.

    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1588,  0.    ,  0.8412])
    """
    y: Array = x / 2 * (1 + np.tanh(GELU_SCALE * x * (1 + GELU_CUBIC * x * x)))
    return y


def softmax(x: Array) -> Array:
    """Return ``exp(x_i) / sum over j of exp(x_j)`` along the last axis: each row sums to one.

    The largest number of a row is first subtracted from the whole row, which does not change the
    fraction and prevents overflow.

    >>> softmax(np.array([[0.3, 2.9, 4.0], [1010.0, 1000.0, 990.0]])).round(4)
    array([[0.0182, 0.2452, 0.7366],
           [1.    , 0.    , 0.    ]])
    """
    exponentials: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    exponentials /= exponentials.sum(axis=-1, keepdims=True)
    return exponentials


def log_softmax(x: Array) -> Array:
    """Return ``log(softmax(x))`` along the last axis, exact where softmax itself is zero.

    >>> log_softmax(np.array([[0.0, 1000.0]]))
    array([[-1000.,     0.]])
    """
    shifted: Array = x - x.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted
