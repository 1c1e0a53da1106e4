"""Multiply and add: the two smallest layers, and the whole idea of backpropagation.

Each function returns its result and the function that turns the result's gradient into those of
both arguments, as a layer's ``forward`` does. Chained, they differentiate any formula made of them;
shapes may differ as NumPy's broadcasting allows, and the gradient of a repeated array is summed.

Two apples at 100 each with 10 % tax: how does the total price depend on each of the three?

>>> apples, undo_apples = multiply(np.array(100.0), np.array(2.0))
>>> price, undo_tax = multiply(apples, np.array(1.1))
>>> price.round(6)
np.float64(220.0)
>>> d_apples, d_tax = undo_tax(np.array(1.0))
>>> d_one_apple, d_number = undo_apples(d_apples)
>>> [float(d.round(6)) for d in (d_one_apple, d_number, d_tax)]
[2.2, 110.0, 200.0]
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from nets.arrays import Array, Shape, check_floats

Back: TypeAlias = Callable[[Array], tuple[Array, Array]]
"""Gradient of the result -> gradients of the first and of the second argument."""


def multiply(x: Array, y: Array) -> tuple[Array, Back]:
    """Return ``x * y``; backward returns for each the gradient times the other.

    >>> product, backward = multiply(np.array([2.0, 3.0]), np.array([5.0]))
    >>> product, backward(np.ones(2))
    (array([10., 15.]), (array([5., 5.]), array([5.])))
    """
    check_floats("multiply: the first factor", x)
    check_floats("multiply: the second factor", y)
    return x * y, lambda gradient: (
        unbroadcast(gradient * y, x.shape),
        unbroadcast(gradient * x, y.shape),
    )


def add(x: Array, y: Array) -> tuple[Array, Back]:
    """Return ``x + y``; backward returns for each the unchanged gradient.

    >>> total, backward = add(np.array([2.0, 3.0]), np.array([5.0]))
    >>> total, backward(np.ones(2))
    (array([7., 8.]), (array([1., 1.]), array([2.])))
    """
    check_floats("add: the first term", x)
    check_floats("add: the second term", y)
    return x + y, lambda gradient: (unbroadcast(gradient, x.shape), unbroadcast(gradient, y.shape))


def unbroadcast(gradient: Array, shape: Shape) -> Array:
    """Sum a gradient over the axes along which an array of this shape was repeated.

    >>> unbroadcast(np.ones((4, 3)), (1, 3))
    array([[4., 4., 4.]])
    """
    leading = tuple(range(gradient.ndim - len(shape)))
    repeated = tuple(
        axis + len(leading)
        for axis, length in enumerate(shape)
        if length == 1 and gradient.shape[axis + len(leading)] != 1
    )
    return np.asarray(gradient.sum(axis=leading + repeated)).reshape(shape)
