"""Standardization: every input of a table at mean 0 and deviation 1."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array, Shape
from nets.errors import InputError
from nets.layers.base import Backward, Layer, Statistic


@dataclass(frozen=True)
class Standardization(Layer):
    """``y = (x - mean) / deviation``, with the statistics of the rows that are trained on.

    `follow` sets them once, before training; they are stored with the network. An input that is
    constant has the deviation 1.

    >>> layer = Standardization()
    >>> statistics = {"mean": np.zeros(2), "deviation": np.ones(2)}
    >>> layer.follow(statistics, np.array([[1.0, 7.0], [5.0, 7.0]]))
    >>> layer.forward(np.array([[5.0, 8.0]]), {}, training=True, statistics=statistics)[0]
    array([[1., 1.]])
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the same shape."""
        self.check_shape(input_shape, "inputs")
        return input_shape

    def statistics(self, input_shape: Shape) -> dict[str, Statistic]:
        """Return mean and deviation, one number per input each."""
        return {"mean": Statistic(input_shape, 0.0), "deviation": Statistic(input_shape, 1.0)}

    def forward(
        self,
        x: Array,
        parameters: dict[str, Array],
        *,
        training: bool,
        noise: NDArray[Any] | None = None,
        statistics: dict[str, Array] | None = None,
    ) -> tuple[Array, Backward]:
        """Subtract the mean and divide by the deviation."""
        if statistics is None:
            raise InputError(f"{self.name}.statistics", None, "mean and deviation")
        mean, deviation = statistics["mean"], statistics["deviation"]
        self.check(x, len(mean))
        return (x - mean) / deviation, lambda gradient: (gradient / deviation, {})

    def follow(self, statistics: dict[str, Array], rows: NDArray[Any]) -> None:
        """Set the statistics to those of some rows, in place."""
        deviation = rows.std(axis=0, dtype=np.float64)
        statistics["mean"][...] = rows.mean(axis=0, dtype=np.float64)
        statistics["deviation"][...] = np.where(deviation > 0, deviation, 1)
