"""Convolution against six nested loops, and im2col against its definition."""

import numpy as np
import pytest

from nets.errors import InputError
from nets.layers import Convolution, col2im, im2col


def six_loops(x, weight, bias, stride, padding):
    """The definition, number by number."""
    batch, height, width, _ = x.shape
    kernel_height, kernel_width, _, filters = weight.shape
    rows = (height + 2 * padding[0] - kernel_height) // stride[0] + 1
    columns = (width + 2 * padding[1] - kernel_width) // stride[1] + 1
    y = np.zeros((batch, rows, columns, filters))
    for b in range(batch):
        for i in range(rows):
            for j in range(columns):
                for f in range(filters):
                    y[b, i, j, f] = bias[f]
                    for u in range(kernel_height):
                        for v in range(kernel_width):
                            row = i * stride[0] + u - padding[0]
                            column = j * stride[1] + v - padding[1]
                            if 0 <= row < height and 0 <= column < width:
                                y[b, i, j, f] += x[b, row, column] @ weight[u, v, :, f]
    return y


GEOMETRIES = [
    # image, kernel, stride, padding
    ((4, 4), (3, 3), (1, 1), (0, 0)),
    ((4, 4), (3, 3), (1, 1), (1, 1)),
    ((5, 7), (5, 5), (1, 1), (2, 2)),
    ((5, 5), (3, 3), (2, 2), (0, 0)),
    ((6, 5), (3, 2), (2, 3), (1, 0)),
    ((3, 4), (3, 4), (1, 1), (0, 0)),
    ((4, 3), (1, 1), (1, 1), (0, 0)),
    ((2, 2), (4, 4), (1, 1), (1, 1)),
    ((3, 3), (2, 2), (3, 3), (2, 2)),
]
geometries = pytest.mark.parametrize(("image", "kernel", "stride", "padding"), GEOMETRIES)


@geometries
@pytest.mark.parametrize(("channels", "filters"), [(1, 1), (3, 2)])
def test_convolution_equals_six_nested_loops(
    image, kernel, stride, padding, channels, filters, generator
):
    x = generator.standard_normal((2, *image, channels))
    weight = generator.standard_normal((*kernel, channels, filters))
    bias = generator.standard_normal(filters)
    layer = Convolution(filters, kernel, stride, padding)
    output, _ = layer.forward(x, {"weight": weight, "bias": bias}, training=False)
    np.testing.assert_allclose(
        output, six_loops(x, weight, bias, stride, padding), rtol=1e-12, atol=1e-13
    )


@geometries
def test_im2col_puts_each_window_in_a_row(image, kernel, stride, padding, generator):
    x = generator.standard_normal((2, *image, 3))
    columns = im2col(x, kernel, stride, padding)
    padded = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    windows = [
        padded[b, i : i + kernel[0], j : j + kernel[1]].ravel()
        for b in range(2)
        for i in range(0, padded.shape[1] - kernel[0] + 1, stride[0])
        for j in range(0, padded.shape[2] - kernel[1] + 1, stride[1])
    ]
    np.testing.assert_array_equal(columns, windows)


@geometries
def test_col2im_is_the_adjoint_of_im2col(image, kernel, stride, padding, generator):
    x = generator.standard_normal((2, *image, 3))
    columns = im2col(x, kernel, stride, padding)
    other = generator.standard_normal(columns.shape)
    back = col2im(other, x.shape, kernel, stride, padding)
    assert back.shape == x.shape
    assert np.vdot(columns, other) == pytest.approx(np.vdot(x, back), rel=1e-12)


def test_im2col_returns_a_new_array_even_where_a_view_would_do():
    images = np.zeros((1, 2, 2, 1))
    im2col(images, (1, 1))[...] = 1
    assert not images.any()


def test_im2col_refuses_a_window_larger_than_the_image():
    with pytest.raises(InputError, match=r"^im2col: the kernel \(3, 3\) is larger than its image"):
        im2col(np.zeros((1, 2, 2, 1)), (3, 3))


def test_convolution_moves_with_its_image(generator):
    x = np.zeros((1, 9, 9, 1))
    x[0, 2:5, 2:5, 0] = generator.standard_normal((3, 3))
    weight = {"weight": generator.standard_normal((3, 3, 1, 2)), "bias": np.zeros(2)}
    layer = Convolution(2, (3, 3))
    output, _ = layer.forward(x, weight, training=False)
    moved, _ = layer.forward(np.roll(x, (2, 1), axis=(1, 2)), weight, training=False)
    np.testing.assert_array_equal(moved, np.roll(output, (2, 1), axis=(1, 2)))
