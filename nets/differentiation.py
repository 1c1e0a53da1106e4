"""Numerical derivatives: slow and approximate, but independent of any hand-written formula.

Backpropagation computes the gradient of a million parameters at the cost of about two forward
passes, but every layer's backward pass is algebra done by hand. The central difference needs two
evaluations for every single parameter and no algebra at all, which makes it useless for training
and ideal for verifying what trains: see `nets.gradient_checker`.

Source: the central difference and its best step are in W. Press et al., Numerical Recipes, 3rd
edition (2007), section 5.7.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64s: TypeAlias = NDArray[np.float64]

EPSILON = float(np.finfo(np.float64).eps)
STEP = float(np.cbrt(EPSILON))
"""6e-6, for numbers of size one: the truncation error of the central difference grows like h^2, the
rounding error like epsilon / h, and their sum is smallest where both are about epsilon^(2/3)."""


def derivative(f: Callable[[float], float], x: float, step: float | None = None) -> float:
    """``(f(x + h) - f(x - h)) / 2h``, the central difference of a function of one number.

    Its error is ``h^2 f'''(x) / 6``, so a tenth of the step has a hundredth of the error, until
    rounding dominates; the one-sided difference is off by ``h f''(x) / 2``.

    Parameters
    ----------
    step
        h, by default ``6e-6 max(1, |x|)``.

    >>> round(derivative(lambda x: x**3, 2), 8)
    12.0
    """
    x = float(x)
    h = representable(x, STEP * max(1.0, abs(x)) if step is None else step)
    return (float(f(x + h)) - float(f(x - h))) / (2 * h)


def gradient(f: Callable[[Float64s], float], x: ArrayLike, step: float | None = None) -> Float64s:
    """All partial derivatives of a function of an array, by central differences.

    Parameters
    ----------
    f
        From a float64 array shaped like `x` to one number.
    x
        An array or a number, any shape. It is copied to float64 first, which matters: in an array
        of integers ``x + h`` equals ``x``, and the classic version of this function returns
        (25000, 0, -15000) for the example below.
    step
        h, by default ``6e-6 max(1, |x_i|)`` for each entry.

    Returns
    -------
    NDArray[np.float64]
        The shape of `x`.

    Raises
    ------
    TypeError
        If f returns anything but one number.

    Examples
    --------
    >>> gradient(lambda x: np.sum(x**2), np.array([3, 0, -2])).round(6)
    array([ 6.,  0., -4.])
    """
    point = np.array(x, dtype=np.float64)
    slopes = np.empty_like(point)
    for index in np.ndindex(point.shape):
        value = float(point[index])

        def along(t: float, index: tuple[int, ...] = index) -> float:
            point[index] = t
            return _one_number(f(point))

        slopes[index] = derivative(along, value, step)
        point[index] = value
    return slopes


def descend(
    f: Callable[[Float64s], float],
    start: ArrayLike,
    *,
    learning_rate: float,
    steps: int,
    slope: Callable[[Float64s], Float64s] | None = None,
) -> Float64s:
    """Gradient descent: ``x <- x - learning_rate * gradient of f at x``, and return every point.

    Parameters
    ----------
    start
        An array or a number, any shape.
    slope
        The gradient of f, if it is known; by default `gradient` computes it numerically.

    Returns
    -------
    NDArray[np.float64]
        The path, ``(steps + 1, *shape of start)``: the start first, the point reached last.

    Raises
    ------
    ValueError
        If the learning rate is not above 0, or the number of steps is negative.

    Examples
    --------
    >>> path = descend(lambda x: np.sum(x**2), [-3.0, 4.0], learning_rate=0.25, steps=3)
    >>> path.round(6)
    array([[-3.   ,  4.   ],
           [-1.5  ,  2.   ],
           [-0.75 ,  1.   ],
           [-0.375,  0.5  ]])
    """
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be above 0, got {learning_rate}")
    if steps < 0:
        raise ValueError(f"steps must be at least 0, got {steps}")
    point = np.array(start, dtype=np.float64)
    path = np.empty((steps + 1, *point.shape))
    path[0] = point
    for step in range(steps):
        # A copy, so that a slope function that works in place cannot change the path.
        here = path[step].copy()
        path[step + 1] = path[step] - learning_rate * (slope or (lambda x: gradient(f, x)))(here)
    return path


def representable(x: float, h: float) -> float:
    """Return the step nearest to h that x + h can represent exactly."""
    return (x + h) - x


def _one_number(value: Any) -> float:
    if np.ndim(value) != 0:
        raise TypeError(f"the function must return one number, got an array {np.shape(value)}")
    return float(value)
