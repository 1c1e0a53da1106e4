"""Pooling against plain loops; exactly one winner in each window."""

import numpy as np
import pytest

from nets.layers import AveragePooling, MaxPooling

GEOMETRIES = [
    ((4, 6), (2, 2), (2, 2)),
    ((5, 7), (2, 2), (2, 2)),
    ((5, 5), (3, 3), (2, 2)),
    ((4, 5), (3, 2), (1, 3)),
    ((3, 3), (3, 3), (1, 1)),
]


@pytest.mark.parametrize(("image", "window", "stride"), GEOMETRIES)
@pytest.mark.parametrize(("kind", "combine"), [(MaxPooling, np.max), (AveragePooling, np.mean)])
def test_pooling_combines_the_numbers_of_each_window(
    kind, combine, image, window, stride, generator
):
    x = generator.standard_normal((2, *image, 3))
    output, _ = kind(window, stride).forward(x, {}, training=False)
    expected = [
        [
            combine(x[:, i : i + window[0], j : j + window[1]], axis=(1, 2))
            for j in range(0, image[1] - window[1] + 1, stride[1])
        ]
        for i in range(0, image[0] - window[0] + 1, stride[0])
    ]
    np.testing.assert_allclose(output, np.moveaxis(expected, 2, 0), rtol=1e-14)


def test_max_pooling_of_equal_numbers_has_exactly_one_winner():
    x = np.ones((2, 4, 4, 3))
    gradient = np.full((2, 2, 2, 3), 7.0)
    _, backward = MaxPooling().forward(x, {}, training=True)
    input_gradient, _ = backward(gradient)
    assert np.count_nonzero(input_gradient) == gradient.size
    # the first in (row, column) order
    np.testing.assert_array_equal(input_gradient[:, ::2, ::2], gradient)


def test_max_pooling_sums_the_gradients_of_a_number_that_wins_in_several_windows():
    x = np.zeros((1, 3, 3, 1))
    x[0, 1, 1, 0] = 1
    _, backward = MaxPooling((2, 2), stride=(1, 1)).forward(x, {}, training=True)
    input_gradient, _ = backward(np.ones((1, 2, 2, 1)))
    assert input_gradient[0, 1, 1, 0] == input_gradient.sum() == 4


def test_max_pooling_propagates_nan():
    x = np.zeros((1, 2, 2, 1))
    x[0, 1, 0, 0] = np.nan
    assert np.isnan(MaxPooling().forward(x, {}, training=False)[0]).all()


def test_pooling_ignores_what_its_last_step_does_not_reach():
    x = np.zeros((1, 3, 3, 1))
    x[0, 2, :, 0] = 9
    x[0, :, 2, 0] = 9
    output, backward = AveragePooling().forward(x, {}, training=True)
    assert output.tolist() == [[[[0.0]]]]
    assert not backward(np.ones_like(output))[0][0, 2].any()
