"""Batch normalization: what is normalized, the running statistics, and special cases."""

import numpy as np
import pytest

from nets.errors import InputError
from nets.layers import BatchNormalization


def start(channels, dtype=np.float64):
    parameters = {"scale": np.ones(channels, dtype), "shift": np.zeros(channels, dtype)}
    running = {"mean": np.zeros(channels, dtype), "variance": np.ones(channels, dtype)}
    return parameters, running


@pytest.mark.parametrize("shape", [(50, 4), (5, 6, 7, 4)], ids=["affine", "convolution"])
def test_training_normalizes_each_channel(shape, generator):
    x = generator.normal([3, -100, 0, 1e-3], [1, 20, 1e3, 1e-1], shape)
    parameters, running = start(4)
    y, _ = BatchNormalization(epsilon=1e-12).forward(
        x, parameters, training=True, statistics=running
    )
    axes = tuple(range(len(shape) - 1))
    np.testing.assert_allclose(y.mean(axis=axes), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=axes), 1, rtol=1e-9)


def test_scale_and_shift_are_applied_last(generator):
    x = generator.standard_normal((20, 2))
    _, running = start(2)
    parameters = {"scale": np.array([2.0, 0.5]), "shift": np.array([10.0, -1.0])}
    y, _ = BatchNormalization(epsilon=1e-12).forward(
        x, parameters, training=True, statistics=running
    )
    np.testing.assert_allclose(y.mean(axis=0), [10, -1], rtol=1e-12)
    np.testing.assert_allclose(y.std(axis=0), [2, 0.5], rtol=1e-9)


def test_running_statistics_worked_by_hand():
    # two values 1 and 3: mean 2, biased variance 1, unbiased variance 2; momentum 1/4
    parameters, running = start(1)
    layer = BatchNormalization(momentum=0.25)
    x = np.array([[1.0], [3.0]])
    layer.forward(x, parameters, training=True, statistics=running)
    assert (running["mean"][0], running["variance"][0]) == (0.5, 1.25)
    layer.forward(x, parameters, training=True, statistics=running)
    assert (running["mean"][0], running["variance"][0]) == (0.875, 1.4375)


def test_running_statistics_converge_to_those_of_the_data(generator):
    parameters, running = start(1)
    for _ in range(200):
        x = generator.normal(5, 3, (500, 1))
        BatchNormalization().forward(x, parameters, training=True, statistics=running)
    assert running["mean"][0] == pytest.approx(5, abs=0.2)
    assert running["variance"][0] == pytest.approx(9, rel=0.1)


def test_prediction_uses_the_running_statistics():
    parameters, _ = start(1)
    running = {"mean": np.array([4.0]), "variance": np.array([4.0])}
    y, _ = BatchNormalization(epsilon=1e-12).forward(
        np.array([[8.0]]), parameters, training=False, statistics=running
    )
    assert y[0, 0] == pytest.approx(2)


@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 1, 3)])
def test_a_mini_batch_of_one_value_gives_the_shift_and_updates_nothing(shape):
    parameters, running = start(3)
    parameters["shift"] += [1, 2, 3]
    x = np.full(shape, 7.0)
    y, backward = BatchNormalization().forward(x, parameters, training=True, statistics=running)
    np.testing.assert_array_equal(y.ravel(), [1, 2, 3])
    np.testing.assert_array_equal(running["mean"], 0)
    np.testing.assert_array_equal(running["variance"], 1)
    np.testing.assert_array_equal(backward(np.ones(shape))[0], 0)


def test_constant_channels_stay_finite():
    parameters, running = start(2, np.float32)
    x = np.full((8, 2), 1e4, np.float32)
    y, backward = BatchNormalization().forward(x, parameters, training=True, statistics=running)
    np.testing.assert_array_equal(y, 0)
    assert np.isfinite(backward(np.ones_like(x))[0]).all()


def test_float32_statistics_keep_their_digits_over_a_large_feature_map(generator):
    x = generator.normal(100, 1, (64, 28, 28, 2)).astype(np.float32)
    parameters, running = start(2, np.float32)
    BatchNormalization(momentum=1).forward(x, parameters, training=True, statistics=running)
    exact = x.astype(np.float64).reshape(-1, 2)
    np.testing.assert_allclose(running["mean"], exact.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(running["variance"], exact.var(axis=0, ddof=1), rtol=1e-6)


def test_forward_without_statistics_is_refused():
    parameters, _ = start(1)
    with pytest.raises(InputError, match=r"^batch_normalization.statistics: got None"):
        BatchNormalization().forward(np.ones((2, 1)), parameters, training=True)
