"""Fixtures of the tests of the fast form: networks, and the comparison with their plain form."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from nets.initializers import he_normal
from nets.kernels.executor import Executor
from nets.kernels.plan import kernels, rows_of_a_part
from nets.losses import CrossEntropy
from nets.network import Network

CLOSE = {np.float32: 1e-5, np.float64: 1e-11}
"""Largest difference, relative to the largest number of an array."""


def assert_close(received, expected, tolerance, least=1e-3):
    assert received.dtype == expected.dtype
    scale = max(least, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(received, expected, rtol=0, atol=tolerance * scale)


@dataclass
class Comparison:
    """A network and its fast form, on the same data."""

    layers: list
    input_shape: tuple
    generator: np.random.Generator
    dtype: type = np.float64
    rows: int | None = None
    threads: int = 1
    network: Network = field(init=False)
    fast: Executor = field(init=False)

    def __post_init__(self):
        self.network = Network(self.layers, self.input_shape, self.dtype)
        self.network.initialize(he_normal, self.generator)
        others = self.network.parameters[self.network.weights.size :]
        others += 0.3 * self.generator.standard_normal(others.size)
        chosen = kernels(self.network)
        self.fast = Executor(
            self.network, chosen, self.rows or rows_of_a_part(chosen), self.threads
        )

    def data(self, batch):
        x = self.generator.standard_normal((batch, *self.input_shape)).astype(self.dtype)
        noise = self.network.draw(batch, self.generator)
        if len(self.network.output_shape) == 1:
            return x, self.generator.integers(self.network.output_shape[0], size=batch), noise
        targets = self.generator.standard_normal((batch, *self.network.output_shape))
        return x, targets.astype(self.dtype), noise

    def check(self, batch, loss=None, tolerance=None, least=1e-3):
        """Train one step in both forms from the same state, and predict with both.

        `tolerance` is relative to the largest number of an array, or to `least` if that is larger.
        """
        tolerance = tolerance or CLOSE[self.dtype]
        network = self.network
        loss = loss or (CrossEntropy() if len(network.output_shape) == 1 else squares)
        x, targets, noise = self.data(batch)
        before, statistics = x.copy(), network.statistics.copy()

        with np.errstate(invalid="ignore"):  # OpenBLAS may set it, see the executor
            expected = network.loss_and_gradients(x, targets, loss, noise)
            outputs = network.predict(x)
        gradients, learnt = network.gradients.copy(), network.statistics.copy()

        network.gradients[:] = np.nan
        network.statistics[:] = statistics
        received = self.fast.loss_and_gradients(x, targets, loss, noise)
        assert abs(received - expected) <= tolerance * max(1, abs(expected))
        assert_close(network.gradients, gradients, tolerance, least)
        assert_close(network.statistics, learnt, tolerance, least)
        assert_close(self.fast.predict(x), outputs, tolerance, least)
        np.testing.assert_array_equal(x, before)


def squares(outputs, targets, count=None):
    """A loss for outputs of any shape."""
    difference = outputs - targets
    count = count or len(outputs)
    return float((difference**2).sum()) / count, lambda: 2 * difference / count


@pytest.fixture
def compare(generator):
    """Build a `Comparison`: ``compare(layers, input_shape, dtype, rows=...)``.

    Each draws the same numbers, so that hypothesis can repeat an example.
    """
    seed = generator.integers(2**32)
    return lambda layers, input_shape, dtype=np.float64, **options: Comparison(
        layers, input_shape, np.random.default_rng(seed), dtype, **options
    )
