"""Batch normalization: keeps the values between layers at mean 0 and variance 1."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array, Shape
from nets.errors import InputError
from nets.layers.base import Backward, Layer, Parameter, Statistic


@dataclass(frozen=True)
class BatchNormalization(Layer):
    """``y = scale * (x - mean) / sqrt(variance + epsilon) + shift``, for each channel.

    The last axis is that of the channels: after an affine layer a channel is a unit, with one value
    per row; after a convolution it is a feature map, with one value per row and pixel.

    In training, mean and variance are those of the mini-batch, so every row depends on all others,
    and the running statistics are updated in place: ``running <- (1 - momentum) running + momentum
    new``. In prediction the running statistics are used.

    The variance used to normalize divides by the number of values n, the running one by n - 1 (as
    in the paper's algorithm 2 and in PyTorch). A mini-batch with one value per channel has no
    variance: its output is the shift, and the running statistics do not change.

    With z the normalized x and D the gradient of y, backward returns ``dscale = sum(D z)``,
    ``dshift = sum(D)`` and ``dx = scale / sqrt(variance + epsilon) * (D - mean(D) - z mean(D z))``.

    Parameters
    ----------
    momentum
        Weight of the newest mini-batch in the running statistics, in (0, 1].
    epsilon
        Added to the variance, above 0.

    Source: Ioffe and Szegedy, Batch Normalization (ICML 2015), algorithms 1 and 2.

    >>> layer = BatchNormalization()
    >>> parameters = {"scale": np.ones(1), "shift": np.zeros(1)}
    >>> running = {"mean": np.zeros(1), "variance": np.ones(1)}
    >>> x = np.array([[1.0], [3.0]])
    >>> layer.forward(x, parameters, training=True, statistics=running)[0].round(4).ravel()
    array([-1.,  1.])
    >>> running["mean"], running["variance"]  # 0.1 of the mean 2; 0.9 + 0.1 of the variance 2
    (array([0.2]), array([1.1]))
    """

    mixes_rows: ClassVar[bool] = True

    momentum: float = 0.1
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        if not 0 < self.momentum <= 1:
            raise InputError(f"{self.name}.momentum", self.momentum, "a number in (0, 1]")
        if not self.epsilon > 0:
            raise InputError(f"{self.name}.epsilon", self.epsilon, "a number above 0")

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the same shape."""
        if not input_shape or min(input_shape) < 1:
            expected = "(..., channels) without an empty axis"
            raise InputError(f"{self.name}.input_shape", input_shape, expected)
        return input_shape

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        """Return scale and shift, one number per channel each."""
        channels = input_shape[-1:]
        return {
            "scale": Parameter(channels, 1, 1, "scale"),
            "shift": Parameter(channels, 1, 1, "shift"),
        }

    def statistics(self, input_shape: Shape) -> dict[str, Statistic]:
        """Return the running mean and variance, one number per channel each."""
        channels = input_shape[-1:]
        return {"mean": Statistic(channels, 0.0), "variance": Statistic(channels, 1.0)}

    def forward(
        self,
        x: Array,
        parameters: dict[str, Array],
        *,
        training: bool,
        noise: NDArray[Any] | None = None,
        statistics: dict[str, Array] | None = None,
    ) -> tuple[Array, Backward]:
        """Normalize each channel, then scale and shift it."""
        scale, shift = parameters["scale"], parameters["shift"]
        self.check(x)
        self.check(x, *(f"axis {axis}" for axis in range(1, x.ndim - 1)), len(scale))
        if statistics is None:
            raise InputError(f"{self.name}.statistics", None, "running statistics")
        values = x.reshape(-1, len(scale))
        if training:
            mean, variance = moments(values)
            if (count := len(values)) > 1:
                self.follow(statistics, mean, variance * (count / (count - 1)))
        else:
            mean, variance = statistics["mean"], statistics["variance"]
        inverse = 1 / np.sqrt(variance + self.epsilon)
        normalized = (values - mean) * inverse

        def backward(gradient: Array) -> tuple[Array, dict[str, Array]]:
            rows = gradient.reshape(values.shape)
            gradients: dict[str, Array] = {
                "scale": column_sums(rows * normalized),
                "shift": column_sums(rows),
            }
            if training:
                rows = rows - gradients["shift"] / len(rows)
                rows -= normalized * (gradients["scale"] / len(rows))
            return (rows * (scale * inverse)).reshape(x.shape), gradients

        return (normalized * scale + shift).reshape(x.shape), backward

    def follow(self, running: dict[str, Array], mean: Array, variance: Array) -> None:
        """Update the running statistics with those of a mini-batch, in place."""
        for name, new in (("mean", mean), ("variance", variance)):
            running[name] *= 1 - self.momentum
            running[name] += self.momentum * new


def moments(values: Array) -> tuple[Array, Array]:
    """Return mean and (biased) variance of each column, summed in float64.

    In float32 the sum of the 100,000 values of a feature map loses three digits.

    >>> moments(np.array([[1.0, 5.0], [3.0, 5.0]]))
    (array([2., 5.]), array([1., 0.]))
    """
    mean = values.mean(axis=0, dtype=np.float64)
    variance = np.square(values - mean).mean(axis=0)
    return mean.astype(values.dtype), variance.astype(values.dtype)


def column_sums(values: Array) -> Array:
    """Return the sum of each column, in float64 for the same reason as in `moments`."""
    sums: NDArray[np.float64] = values.sum(axis=0, dtype=np.float64)
    return sums.astype(values.dtype)
