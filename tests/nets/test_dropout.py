"""Dropout is random, so it is tested by its properties."""

import numpy as np
import pytest

from nets.errors import InputError
from nets.layers import Dropout

SHAPE = (200, 50)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_output_is_zero_or_the_scaled_input(rate, generator):
    layer, x = Dropout(rate), generator.standard_normal(SHAPE)
    noise = layer.draw(SHAPE[0], SHAPE[1:], generator)
    output, _ = layer.forward(x, {}, training=True, noise=noise)
    np.testing.assert_allclose(output[noise], x[noise] / (1 - rate))
    assert not output[~noise].any()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_mean_is_preserved(rate, generator):
    layer, x = Dropout(rate), np.ones(SHAPE)
    noise = layer.draw(SHAPE[0], SHAPE[1:], generator)
    output, _ = layer.forward(x, {}, training=True, noise=noise)
    # 10,000 draws: five standard errors of a mean with variance rate / (1 - rate)
    assert output.mean() == pytest.approx(1, abs=5 * (rate / (1 - rate) / 10_000) ** 0.5)


def test_gradient_has_the_mask_of_the_input(generator):
    layer, x = Dropout(0.5), generator.standard_normal(SHAPE)
    noise = layer.draw(SHAPE[0], SHAPE[1:], generator)
    _, backward = layer.forward(x, {}, training=True, noise=noise)
    np.testing.assert_array_equal(backward(np.ones(SHAPE))[0], noise * 2.0)


def test_prediction_is_the_identity_and_needs_no_noise(generator):
    x = generator.standard_normal(SHAPE)
    output, backward = Dropout(0.5).forward(x, {}, training=False)
    np.testing.assert_array_equal(output, x)
    np.testing.assert_array_equal(backward(x)[0], x)


def test_the_same_seed_gives_the_same_mask():
    first, second = (Dropout(0.5).draw(4, (3,), np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_mask_is_drawn_row_by_row():
    whole = Dropout(0.5).draw(6, (3, 2), np.random.default_rng(7))
    generator = np.random.default_rng(7)
    parts = [Dropout(0.5).draw(2, (3, 2), generator) for _ in range(3)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_rate_of_zero_draws_nothing():
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError(f"the generator was asked for {name}")

    assert Dropout(0.0).draw(4, (3,), Untouchable()) is None


def test_training_without_a_mask_is_refused():
    with pytest.raises(InputError, match=r"^dropout.mask: got None, expected shape \(2, 3\)"):
        Dropout(0.5).forward(np.ones((2, 3)), {}, training=True)
