"""Dropout: switch units off at random, so that none can rely on another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array, Shape
from nets.errors import InputError
from nets.layers.base import Backward, Layer


@dataclass(frozen=True)
class Dropout(Layer):
    """Inverted dropout: in training each number becomes zero with probability ``rate``.

    What is kept is divided by ``1 - rate``, so that the expected output equals the input and
    prediction has nothing to do. (The original paper scales the weights at prediction instead;
    both have the same expectation.) Any shape, which stays as it is.

    ``draw`` returns the mask of what is kept. ``forward`` with ``training=False`` ignores it.

    Parameters
    ----------
    rate
        Probability of being dropped, in [0, 1).

    Source: Srivastava et al., Dropout (JMLR 2014), section 10 for the inverted form.

    >>> import numpy as np
    >>> layer = Dropout(0.5)
    >>> noise = layer.draw(1, (4,), np.random.default_rng(1))
    >>> layer.forward(np.ones((1, 4)), {}, training=True, noise=noise)[0]
    array([[0., 2., 2., 2.]])
    >>> layer.forward(np.ones((1, 4)), {}, training=False)[0]
    array([[1., 1., 1., 1.]])
    """

    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise InputError(f"{self.name}: the rate must be in [0, 1), got {self.rate}")

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape as it is."""
        return input_shape

    def draw(
        self, batch: int, input_shape: Shape, generator: np.random.Generator
    ) -> NDArray[Any] | None:
        """Draw which numbers are kept, as booleans ``(batch, *input_shape)``."""
        if self.rate == 0:
            return None
        return generator.random((batch, *input_shape), dtype=np.float32) >= self.rate

    def forward(
        self,
        x: Array,
        parameters: dict[str, Array],
        *,
        training: bool,
        noise: NDArray[Any] | None = None,
        statistics: dict[str, Array] | None = None,
    ) -> tuple[Array, Backward]:
        """Multiply by the mask and the scale; going back, the same."""
        self.check(x)
        if not training or self.rate == 0:
            return x, lambda gradient: (gradient, {})
        if noise is None or noise.shape != x.shape:
            received = "none" if noise is None else noise.shape
            raise InputError(f"{self.name}: training needs a mask {x.shape}, got {received}")
        mask = noise * x.dtype.type(1 / (1 - self.rate))
        return x * mask, lambda gradient: (gradient * mask, {})
