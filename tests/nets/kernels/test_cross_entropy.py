"""Softmax and cross-entropy in few passes."""

import numpy as np
import pytest

from nets.kernels.cross_entropy import SoftmaxCrossEntropy
from nets.losses import CrossEntropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_value_and_gradient_equal_those_of_the_loss(generator, dtype, tolerance, smoothing):
    y = generator.standard_normal((7, 5)).astype(dtype)
    labels = generator.integers(5, size=7)
    expected, backward = CrossEntropy(smoothing)(y, labels, count=20)
    gradient = backward()
    received = SoftmaxCrossEntropy(y, y)(labels, 20, smoothing)  # in place of the outputs
    assert received == pytest.approx(expected, rel=tolerance)
    np.testing.assert_allclose(y, gradient, rtol=0, atol=tolerance)


def test_large_scores_do_not_overflow():
    y = np.array([[1e4, 0.0], [-1e4, 1e4]], np.float32)
    dy = np.empty_like(y)
    value = SoftmaxCrossEntropy(y, dy)(np.array([1, 1]), 2, 0.0)
    assert value == 5e3
    np.testing.assert_array_equal(dy, [[0.5, -0.5], [0, 0]])
