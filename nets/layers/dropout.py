"""Dropout: sets units to zero at random, so that none can rely on another."""

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

    The other numbers are divided by ``1 - rate``, so that the expected output equals the input and
    prediction is the identity. (The original paper scales the weights at prediction instead; both
    have the same expectation.) Inputs have any shape, which does not change.

    ``draw`` returns the mask of the numbers that are kept. ``forward`` with ``training=False``
    ignores it.

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
            raise InputError(f"{self.name}.rate", self.rate, "a number in [0, 1)")

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the same shape."""
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
        """Multiply by the mask and the scale; backward does the same."""
        self.check(x)
        if not training or self.rate == 0:
            return x, lambda gradient: (gradient, {})
        kept = checked_mask(self.name, noise, x.shape)
        mask = kept * x.dtype.type(1 / (1 - self.rate))
        return x * mask, lambda gradient: (gradient * mask, {})


def checked_mask(name: str, mask: NDArray[Any] | None, shape: Shape) -> NDArray[Any]:
    """Return the mask; raise InputError, with the layer's name as key, for another shape."""
    if mask is None or mask.shape != shape:
        received = None if mask is None else mask.shape
        raise InputError(f"{name}.mask", received, f"shape {shape} in training")
    return mask
