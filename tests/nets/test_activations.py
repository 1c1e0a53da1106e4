"""Activation functions against exact values, and at the edges of float32."""

import math
from fractions import Fraction

import numpy as np
import pytest

from nets import functions
from nets.layers import ACTIVATIONS, Softmax, Step

EVERY = {name: kind() for name, kind in ACTIVATIONS.items()} | {
    "step": Step(),
    "softmax": Softmax(),
}

VALUES = [
    (functions.step, 0.0, 0.0),
    (functions.step, 1e-30, 1.0),
    (functions.identity, -2.5, -2.5),
    (functions.sigmoid, 1.0, 1 / (1 + math.exp(-1))),
    (functions.sigmoid, -30.0, math.exp(-30) / (1 + math.exp(-30))),
    (functions.tanh, 0.7, math.tanh(0.7)),
    (functions.relu, -3.0, 0.0),
    (functions.relu, 3.0, 3.0),
    (functions.leaky_relu, -3.0, -0.03),
    (functions.leaky_relu, 3.0, 3.0),
    (functions.gelu, 0.0, 0.0),
]


@pytest.mark.parametrize(("function", "x", "y"), VALUES)
def test_activation_has_its_exact_value(function, x, y):
    assert function(np.array([x]))[0] == pytest.approx(y, rel=1e-15)


def test_gelu_is_near_x_times_the_normal_distribution():
    x = np.linspace(-6, 6, 1001)
    exact = np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x])
    assert np.abs(functions.gelu(x) - exact).max() < 5e-4


@pytest.mark.parametrize("name", EVERY)
def test_activation_is_stable_at_the_edges_of_float32(name):
    x = np.array([[-1e4, -100.0, -1.0, -0.0, 0.0, 1.0, 100.0, 1e4]], np.float32)
    output, backward = EVERY[name].forward(x, {}, training=True)
    assert np.isfinite(output).all()
    assert np.isfinite(backward(np.ones_like(x))[0]).all()


def test_softmax_equals_exact_fractions():
    # exp(log k) = k, so the scores log 1, log 2, log 5 have the probabilities 1/8, 2/8, 5/8
    probabilities = functions.softmax(np.log(np.array([[1.0, 2.0, 5.0]])))
    exact = [float(Fraction(k, 8)) for k in (1, 2, 5)]
    np.testing.assert_allclose(probabilities[0], exact, rtol=1e-15)


def test_softmax_does_not_change_when_a_number_is_added_to_a_whole_row(generator):
    x = generator.standard_normal((4, 5))
    shift = np.array([[-1e4], [0.0], [1.0], [1e4]])
    np.testing.assert_allclose(functions.softmax(x + shift), functions.softmax(x), rtol=1e-11)


def test_log_softmax_is_the_logarithm_of_softmax(generator):
    x = generator.standard_normal((4, 5))
    np.testing.assert_allclose(functions.log_softmax(x), np.log(functions.softmax(x)), rtol=1e-12)


def test_log_softmax_is_exact_where_softmax_is_zero():
    np.testing.assert_array_equal(
        functions.log_softmax(np.array([[-1e4, 1e4]], np.float32)), [[-2e4, 0]]
    )
