"""Kernels against the plain layers, over unusual shapes.

In most networks the tested layer comes after a 1 x 1 convolution, so that the gradient of its input
is needed, and is the last one, so that its outputs are compared.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.kernels.convolution import ConvolutionKernel
from nets.kernels.first_layer import FirstConvolutionKernel
from nets.kernels.pooling import PoolingKernel
from nets.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    MaxPooling,
    ReLU,
)

FEW = settings(max_examples=25)
MANY = settings(max_examples=400)


@st.composite
def convolutions(draw):
    """A convolution with stride 1, and an image that it fits."""
    kernel = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    padding = tuple(draw(st.integers(0, taps - 1)) for taps in kernel)
    height, width = (
        draw(st.integers(max(1, taps - 2 * pad), 15))
        for taps, pad in zip(kernel, padding, strict=True)
    )
    layer = Convolution(draw(st.integers(1, 5)), kernel, padding=padding, bias=draw(st.booleans()))
    return layer, (height, width, draw(st.integers(1, 4)))


batches = st.tuples(st.integers(1, 9), st.integers(1, 4))
"""Rows of a mini-batch, and rows of a part."""
dtypes = st.sampled_from([np.float32, np.float64])


def check(comparison, batch, dtype):
    """Compare with a tolerance that is sufficient for arrays of any shape.

    Some arrays have one or two numbers, each of which may be a small difference of large ones, so
    few digits agree. An error in a kernel would be of the size of the large numbers.
    """
    comparison.check(batch, tolerance={np.float32: 1e-3, np.float64: 1e-9}[dtype], least=1.0)


def check_convolution(compare, case, sizes, dtype, relu):
    layer, shape = case
    batch, rows = sizes
    layers = [Convolution(shape[2], (1, 1)), layer] + [ReLU()] * relu
    comparison = compare(layers, shape, dtype, rows=rows)
    assert isinstance(comparison.fast.kernels[1], ConvolutionKernel)
    check(comparison, batch, dtype)


@given(convolutions(), batches, dtypes, st.booleans())
@FEW
def test_convolution_agrees_with_its_plain_form(compare, case, sizes, dtype, relu):
    check_convolution(compare, case, sizes, dtype, relu)


@pytest.mark.slow
@given(convolutions(), batches, dtypes, st.booleans())
@MANY
def test_convolution_agrees_with_its_plain_form_everywhere(compare, case, sizes, dtype, relu):
    check_convolution(compare, case, sizes, dtype, relu)


@given(convolutions(), batches, dtypes, st.booleans())
@FEW
def test_the_first_convolution_agrees_with_its_plain_form(compare, case, sizes, dtype, relu):
    layer, (height, width, _) = case
    batch, rows = sizes
    comparison = compare([layer] + [ReLU()] * relu, (height, width, 1), dtype, rows=rows)
    assert isinstance(comparison.fast.kernels[0], FirstConvolutionKernel)
    check(comparison, batch, dtype)


@given(st.tuples(*[st.integers(2, 9)] * 2, st.integers(1, 4)), batches, dtypes, st.integers(0, 2))
@FEW
def test_pooling_agrees_with_its_plain_form(compare, shape, sizes, dtype, relu):
    """With no rectifier, one before, and one after."""
    batch, rows = sizes
    layers = (
        [MaxPooling()] if not relu else [[ReLU(), MaxPooling()], [MaxPooling(), ReLU()]][relu - 1]
    )
    comparison = compare([Convolution(shape[2], (1, 1)), *layers], shape, dtype, rows=rows)
    assert isinstance(comparison.fast.kernels[1], PoolingKernel)
    check(comparison, batch, dtype)


@given(st.lists(st.integers(1, 70), min_size=1, max_size=4), batches, dtypes, st.booleans())
@FEW
def test_affine_layers_agree_with_their_plain_form(compare, widths, sizes, dtype, bias):
    batch, rows = sizes
    layers = [layer for width in widths for layer in (Affine(width, bias=bias), ReLU())]
    check(compare(layers[:-1], (13,), dtype, rows=rows), batch, dtype)


@given(st.tuples(*[st.integers(1, 6)] * 3), batches, dtypes, st.booleans())
@FEW
def test_batch_normalization_agrees_with_its_plain_form(compare, shape, sizes, dtype, relu):
    batch, rows = sizes
    layers = [Convolution(shape[2], (1, 1)), BatchNormalization()] + [ReLU()] * relu
    # Few values have a variance near zero, and what is divided by it has few digits.
    tolerance = {np.float32: 2e-3, np.float64: 1e-8}[dtype]
    compare(layers, shape, dtype, rows=rows).check(batch, tolerance=tolerance, least=1.0)


@pytest.mark.parametrize("rows", [3, 64])
def test_long_products_are_cut_into_pieces_that_add_up(compare, rows):
    comparison = compare(
        [Convolution(24, (3, 3), padding=(1, 1)), ReLU(), Flatten(), Affine(70), Affine(3)],
        (20, 20, 24),
        np.float32,
        rows=rows,
    )
    comparison.check(6)


def test_dropout_uses_the_rows_of_its_mask(compare):
    comparison = compare([Dropout(0.2), Affine(30), ReLU(), Dropout(0.5), Affine(4)], (11,), rows=3)
    comparison.check(8)


def test_gradient_of_equal_pixels_is_passed_to_one_of_them(compare):
    comparison = compare([Convolution(1, (1, 1)), MaxPooling()], (4, 4, 2))
    comparison.network.named["convolution1.weight"][...] = 0
    x, _, _ = comparison.data(3)
    target = np.ones((3, 2, 2, 1))
    total = comparison.fast.loss_and_gradients(x, target, lambda y, t, count: (0.0, lambda: t))
    assert total == 0
    assert comparison.network.gradient_views[0]["bias"] == 3 * 4


@given(st.tuples(*[st.integers(2, 7)] * 2, st.integers(1, 4)), st.integers(0, 1))
@FEW
def test_equal_pixels_have_the_same_winner_in_both_forms(compare, shape, relu):
    """The first in (row, column) order of a window; few values, so that most windows have ties."""
    height, width, channels = shape
    layers = [Convolution(channels, (1, 1)), MaxPooling(), *[ReLU()] * relu]
    comparison = compare(layers, (height, width, 2 * channels))
    network, generator = comparison.network, comparison.generator
    # The second half of the channels has weight zero; its gradient tells pixels apart.
    network.parameters[:] = 0
    network.named["convolution1.weight"][0, 0, :channels] = np.eye(channels)
    values = generator.integers(-1, 3, (4, *shape))
    x = np.concatenate([values, generator.standard_normal((4, *shape))], axis=3)
    target = generator.standard_normal((4, *network.output_shape))

    def loss(outputs, target, count=None):
        return 0.0, lambda: target

    network.loss_and_gradients(x, target, loss)
    expected = network.gradients.copy()
    comparison.fast.loss_and_gradients(x, target, loss)
    np.testing.assert_allclose(network.gradients, expected, rtol=0, atol=1e-12)


def test_batch_normalization_keeps_its_digits_far_from_zero(compare):
    """The variance of values around 1000 is not lost in the square of 1000."""
    comparison = compare([BatchNormalization()], (6, 6, 2), np.float32, rows=2)
    x, targets, _ = comparison.data(7)
    y, _ = comparison.network.forward(x + 1000, training=True)
    comparison.fast.loss_and_gradients(x + 1000, targets, lambda y, t, count: (0.0, lambda: t))
    np.testing.assert_allclose(comparison.fast.outputs, y, atol=2e-3)


def test_batch_normalization_of_one_value_is_the_shift(compare):
    comparison = compare([BatchNormalization()], (5,))
    comparison.check(1)
    shift = comparison.network.named["batch_normalization1.shift"]
    np.testing.assert_allclose(comparison.fast.outputs[0], shift, atol=1e-12)
