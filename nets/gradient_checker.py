"""Checking gradients: backward passes are compared with differences of their forward passes.

For layers, losses and whole networks, ours and yours::

    check_layer(MyLayer(width=3), (4,), generator=np.random.default_rng(0))

returns the entry with the largest error if the gradients are right, and otherwise raises an error
that names the array, the index and both values. Everything is computed in float64: in float32 the
difference itself is wrong in the third digit.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nets.arrays import Array, Shape
from nets.differentiation import EPSILON, STEP, representable
from nets.layers.base import Layer
from nets.losses import Loss
from nets.network import Network, Noise

Differentiable: TypeAlias = Callable[
    [dict[str, Array]], tuple[Array | float, Callable[[Any], dict[str, Array]]]
]
"""Named arrays -> (output, function from output gradient to the gradient of each array)."""

Quotient: TypeAlias = dict[int, float]
"""Number of steps from the point -> factor of the function's value there."""

CENTRAL: Quotient = {1: 0.5, -1: -0.5}
FORWARD: Quotient = {0: -1.5, 1: 2.0, 2: -0.5}
BACKWARD: Quotient = {0: 1.5, -1: -2.0, -2: 0.5}
QUOTIENTS = ((CENTRAL, 1.0), (CENTRAL, 0.1), (CENTRAL, 0.01), (FORWARD, 0.1), (BACKWARD, 0.1))
"""Quotients and their step sizes, in fractions of the best step, tried until one agrees. A kink
within the first step (ReLU near 0, two almost equal pixels under a maximum) distorts that
difference; a smaller step avoids the kink. At the kink itself there are two slopes, and a gradient
may be either or their mean. A wrong gradient agrees with none of them."""

ROUNDINGS = 8
"""Rounding errors that one output may have accumulated, in units of its last place."""
GOOD_ENOUGH = 1e-8
"""Relative error below which no other quotient is tried."""


class GradientError(ValueError):
    """A backward pass disagrees with its forward pass."""


@dataclass(frozen=True)
class Comparison:
    """One entry of a gradient, from backward and from differences.

    ``error`` is ``|analytic - numeric| / max(|analytic|, |numeric|)``, after subtracting the
    part of the difference that rounding in the forward pass explains.
    """

    array: str
    index: tuple[int, ...]
    analytic: float
    numeric: float
    error: float


def check_gradients(
    function: Differentiable,
    arrays: dict[str, Any],
    *,
    generator: np.random.Generator,
    tolerance: float = 1e-6,
    entries: int | None = None,
    name: str = "function",
) -> Comparison:
    """Compare a backward pass with differences of its forward pass, in float64.

    The output y need not be one number: the function compared is ``sum(r * y)`` with a random r,
    whose gradient is what backward returns for r. Differences of y are taken before the sum, so
    outputs that do not depend on an entry add no rounding error.

    Parameters
    ----------
    function
        ``function(arrays)`` returns the output, an array or a number, and backward:
        ``backward(r)`` returns the gradient of each array by its name. It must be deterministic;
        it is called twice for every entry, more often near a kink.
    arrays
        The point at which to compare; copied to float64 and not modified.
    generator
        Draws r, and the entries if only some are compared.
    tolerance
        Largest relative error accepted.
    entries
        Number of entries of each array to compare, drawn at random; all by default.
    name
        Name of the function in messages.

    Returns
    -------
    Comparison
        The entry with the largest error, which is within the tolerance.

    Raises
    ------
    GradientError
        Names the array and index with the largest error and both values; or a missing gradient.

    Examples
    --------
    >>> def product(arrays):
    ...     x, y = arrays["x"], arrays["y"]
    ...     return x * y, lambda r: {"x": r * y, "y": r * x * 1.001}
    >>> check_gradients(product, {"x": 3, "y": 2}, generator=np.random.default_rng(0))
    Traceback (most recent call last):
    nets.gradient_checker.GradientError: function: the gradient of 'y' is wrong: at () backward \
gives 3.003, differences give 3 (relative error 1e-03, expected at most 1e-06)
    """
    point: dict[str, Array] = {
        key: np.array(array, dtype=np.float64) for key, array in arrays.items()
    }
    output, backward = function(point)
    output = np.asarray(output)
    r = generator.standard_normal(output.shape) if output.ndim else np.float64(1.0)
    analytic = {key: np.array(array) for key, array in backward(r).items()}
    compared = []
    for key, array in point.items():
        if key not in analytic or analytic[key].shape != array.shape:
            received = f"of shape {analytic[key].shape}" if key in analytic else "missing"
            raise GradientError(
                f"{name}: the gradient of {key!r} is {received}, expected shape {array.shape}"
            )
        for index in _chosen(array.shape, entries, generator):
            compared.append(_compare(function, point, key, index, analytic[key][index], r))
    worst = max(compared, key=lambda comparison: comparison.error)
    if worst.error > tolerance:
        raise GradientError(
            f"{name}: the gradient of {worst.array!r} is wrong: at {worst.index} backward gives "
            f"{worst.analytic:.7g}, differences give {worst.numeric:.7g} "
            f"(relative error {worst.error:.0e}, expected at most {tolerance:.0e})"
        )
    return worst


def check_layer(
    layer: Layer,
    input_shape: Shape,
    *,
    generator: np.random.Generator,
    batch: int = 3,
    training: bool = True,
    x: ArrayLike | None = None,
    tolerance: float = 1e-6,
    entries: int | None = None,
) -> Comparison:
    """Check the gradients of a layer's input, named ``"input"``, and of its parameters.

    Parameters
    ----------
    input_shape
        Without the batch axis.
    batch
        Number of rows of a random input, standard normal, as are the parameters.
    training
        Whether the layer is checked in training or in prediction; random layers draw once.
    x
        The input to check at instead of a random one, ``(batch, *input_shape)``.

    Other parameters, result and errors are those of `check_gradients`.

    Examples
    --------
    >>> from nets.layers import Affine
    >>> worst = check_layer(Affine(2), (4,), generator=np.random.default_rng(0))
    >>> worst.error < 1e-6
    True
    """
    if x is None:
        x = generator.standard_normal((batch, *input_shape))
    arrays = {"input": np.array(x, dtype=np.float64)}
    for key, parameter in layer.parameters(input_shape).items():
        arrays[key] = generator.standard_normal(parameter.shape)
    noise = layer.draw(len(arrays["input"]), input_shape, generator) if training else None

    def function(arrays: dict[str, Array]) -> tuple[Array, Callable[[Array], dict[str, Array]]]:
        parameters = {key: array for key, array in arrays.items() if key != "input"}
        # Fresh for each call: training updates them in place.
        statistics: dict[str, Array] = {
            key: np.full(statistic.shape, statistic.initial)
            for key, statistic in layer.statistics(input_shape).items()
        }
        y, backward = layer.forward(
            arrays["input"], parameters, training=training, noise=noise, statistics=statistics
        )

        def named(r: Array) -> dict[str, Array]:
            input_gradient, gradients = backward(r)
            return {"input": input_gradient, **gradients}

        return y, named

    return check_gradients(
        function, arrays, generator=generator, tolerance=tolerance, entries=entries, name=layer.name
    )


def check_loss(
    loss: Loss,
    outputs: ArrayLike,
    targets: NDArray[Any],
    *,
    generator: np.random.Generator,
    count: int | None = None,
    tolerance: float = 1e-6,
) -> Comparison:
    """Check the gradient of a loss with respect to the network's outputs, named ``"outputs"``.

    >>> from nets.losses import CrossEntropy
    >>> scores, labels = np.array([[0.5, -1.0, 2.0]]), np.array([1])
    >>> check_loss(CrossEntropy(), scores, labels, generator=np.random.default_rng(0)).error < 1e-6
    True
    """

    def function(arrays: dict[str, Array]) -> tuple[float, Callable[[Any], dict[str, Array]]]:
        value, backward = loss(arrays["outputs"], targets, count=count)
        return value, lambda r: {"outputs": r * backward()}

    return check_gradients(
        function,
        {"outputs": outputs},
        generator=generator,
        tolerance=tolerance,
        name=type(loss).__name__,
    )


def check_network(
    network: Network,
    x: Array,
    targets: NDArray[Any],
    loss: Loss,
    *,
    generator: np.random.Generator,
    compute: Callable[[Array, NDArray[Any], Loss, Noise], float] | None = None,
    tolerance: float = 1e-6,
    entries: int | None = None,
) -> Comparison:
    """Check the gradients of a network's parameters, in training, by their full names.

    Parameters
    ----------
    network
        Of dtype float64. Its parameters and statistics are restored before this returns.
    x, targets, loss
        A mini-batch and its loss function. Random layers draw once.
    compute
        Fills ``network.gradients`` and returns the loss: ``network.loss_and_gradients`` by default,
        or that of a faster form over the same vectors.
    entries
        Number of entries of each parameter to compare; each costs two passes. All by default.

    Other parameters, result and errors are those of `check_gradients`, and TypeError for a network
    of another dtype.

    Examples
    --------
    >>> from nets.layers import Affine, Tanh
    >>> from nets.losses import CrossEntropy
    >>> from nets.network import Network
    >>> network = Network([Affine(3), Tanh(), Affine(2)], (4,), np.float64)
    >>> x, labels = np.ones((5, 4)), np.array([0, 1, 1, 0, 1])
    >>> generator = np.random.default_rng(0)
    >>> check_network(network, x, labels, CrossEntropy(), generator=generator).error < 1e-6
    True
    """
    if network.dtype != np.float64:
        raise TypeError(f"a network's gradients are checked in float64, got {network.dtype}")
    compute = compute or network.loss_and_gradients
    parameters, statistics = network.parameters.copy(), network.statistics.copy()
    noise = network.draw(len(x), generator)
    gradients = {
        f"{network.layers[index].name}.{name}": network.gradient_views[index][name]
        for index, name, _ in network.slots
    }

    def function(arrays: dict[str, Array]) -> tuple[float, Callable[[Any], dict[str, Array]]]:
        for key, array in arrays.items():
            network.named[key][...] = array
        network.statistics[...] = statistics
        return compute(x, targets, loss, noise), lambda r: gradients

    try:
        return check_gradients(
            function,
            network.named,
            generator=generator,
            tolerance=tolerance,
            entries=entries,
            name="network",
        )
    finally:
        network.parameters[...] = parameters
        network.statistics[...] = statistics


def _compare(
    function: Differentiable,
    point: dict[str, Array],
    key: str,
    index: tuple[int, ...],
    analytic: float,
    r: Any,
) -> Comparison:
    """Compare one entry with the nearest difference quotient."""
    comparisons = []
    for quotient, share in QUOTIENTS:
        numeric, rounding = _slope(function, point, key, index, r, quotient, share)
        error = _relative_error(float(analytic), numeric, rounding)
        comparisons.append(Comparison(key, index, float(analytic), numeric, error))
        if error < GOOD_ENOUGH:
            break
    return min(comparisons, key=lambda comparison: comparison.error)


def _relative_error(analytic: float, numeric: float, rounding: float) -> float:
    if not (math.isfinite(analytic) and math.isfinite(numeric)):
        return math.inf
    gap = abs(analytic - numeric) - rounding
    return gap / max(abs(analytic), abs(numeric)) if gap > 0 else 0.0


def _slope(
    function: Differentiable,
    point: dict[str, Array],
    key: str,
    index: tuple[int, ...],
    r: Any,
    quotient: Quotient,
    share: float,
) -> tuple[float, float]:
    """Return the slope of ``sum(r * y)`` along one entry, and its possible rounding error."""
    array, value = point[key], float(point[key][index])
    h = representable(value, share * STEP * max(1.0, abs(value)))
    outputs = []
    for steps in quotient:
        array[index] = value + steps * h
        outputs.append(np.array(function(point)[0]))
    array[index] = value
    # The factors sum to zero, so the same output may be subtracted from all outputs.
    differences = [output - outputs[0] for output in outputs]
    rise = sum(factor * d for factor, d in zip(quotient.values(), differences, strict=True))
    moved = np.any([d != 0 for d in differences], axis=0)
    size = max(float(np.abs(output).max()) for output in outputs)
    factors = sum(map(abs, quotient.values()))
    # Where nothing moved, there may be a slope that is too small to be seen.
    reach = max(float(np.sum(np.abs(r) * moved)), float(np.max(np.abs(r))))
    rounding = ROUNDINGS * EPSILON * size * factors * reach
    return float(np.sum(r * rise)) / h, rounding / h


def _chosen(
    shape: Shape, entries: int | None, generator: np.random.Generator
) -> Iterator[tuple[int, ...]]:
    size = int(np.prod(shape))
    if entries is None or entries >= size:
        yield from np.ndindex(shape)
        return
    for flat in generator.choice(size, entries, replace=False):
        yield tuple(int(axis) for axis in np.unravel_index(flat, shape))
