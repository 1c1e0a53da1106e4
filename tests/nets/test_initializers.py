"""Initializers by their moments, and by what they are for."""

import math

import numpy as np
import pytest

from nets import functions
from nets.initializers import INITIALIZERS, constant_std
from nets.layers import Convolution, Parameter

FAN_IN, FAN_OUT = 300, 200
WEIGHT = Parameter((FAN_IN, FAN_OUT), FAN_IN, FAN_OUT, "weight")
VARIANCES = {
    "constant_std": 0.01**2,
    "xavier_normal": 2 / (FAN_IN + FAN_OUT),
    "xavier_uniform": 2 / (FAN_IN + FAN_OUT),
    "he_normal": 2 / FAN_IN,
    "he_uniform": 2 / FAN_IN,
}
KURTOSES = {"normal": 3, "std": 3, "uniform": 9 / 5}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializer_has_the_documented_moments(name, generator):
    weights = INITIALIZERS[name](WEIGHT, generator)
    deviation = math.sqrt(VARIANCES[name])
    # 60,000 draws: six standard errors of mean, variance and fourth moment
    assert weights.shape == WEIGHT.shape
    assert weights.mean() == pytest.approx(0, abs=6 * deviation / 60_000**0.5)
    assert weights.var() == pytest.approx(VARIANCES[name], rel=6 * (2 / 60_000) ** 0.5)
    fourth = (weights**4).mean() / deviation**4
    assert fourth == pytest.approx(KURTOSES[name.rsplit("_")[-1]], rel=6 * (96 / 60_000) ** 0.5 / 3)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_same_seed_gives_the_same_weights(name):
    first, second = (INITIALIZERS[name](WEIGHT, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_constant_std_accepts_another_standard_deviation(generator):
    assert constant_std(WEIGHT, generator, std=2.0).std() == pytest.approx(2, rel=0.02)


def test_a_convolution_adds_up_its_kernel_area_times_its_channels():
    weight = Convolution(8, (3, 5)).parameters((9, 9, 4))["weight"]
    assert (weight.fan_in, weight.fan_out) == (3 * 5 * 4, 3 * 5 * 8)


PAIRS = [
    ("he_normal", functions.relu),
    ("he_uniform", functions.relu),
    ("xavier_normal", functions.identity),
    ("xavier_uniform", functions.identity),
]


@pytest.mark.parametrize(("name", "activation"), PAIRS)
def test_the_signal_keeps_its_size_through_twenty_layers(name, activation, generator):
    square = Parameter((200, 200), 200, 200, "weight")
    x = start = generator.standard_normal((100, 200))
    for _ in range(20):
        x = activation(x) @ INITIALIZERS[name](square, generator)
    assert 0.3 < x.std() / start.std() < 3


def test_the_signal_vanishes_if_weights_are_too_small(generator):
    square = Parameter((200, 200), 200, 200, "weight")
    x = generator.standard_normal((100, 200))
    for _ in range(20):
        x = functions.relu(x) @ constant_std(square, generator)
    assert x.std() < 1e-10
