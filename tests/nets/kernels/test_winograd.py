"""Winograd's algorithm: fewer multiplications, the same correlation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.kernels.winograd import POINTS, Geometry, cook_toom, tile_height


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_f_m_k_equals_the_correlation_by_its_definition(outputs, taps, seed):
    if not 2 <= outputs + taps - 1 <= len(POINTS) + 1:
        return
    generator = np.random.default_rng(seed)
    signal = generator.standard_normal(outputs + taps - 1)
    kernel = generator.standard_normal(taps)
    matrices = cook_toom(outputs, taps)
    received = matrices.outputs @ ((matrices.kernel @ kernel) * (matrices.inputs @ signal))
    np.testing.assert_allclose(received, np.correlate(signal, kernel, "valid"), atol=1e-11)


def test_f_2_3_has_the_matrices_of_lavin_and_gray():
    """Up to factors that may be moved between the rows of B^T and those of G."""
    matrices = cook_toom(2, 3)
    np.testing.assert_allclose(matrices.outputs, [[1, 1, 1, 0], [0, 1, -1, 1]])
    np.testing.assert_allclose(
        matrices.inputs, [[-1, 0, 1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]
    )
    np.testing.assert_allclose(
        matrices.kernel, [[-1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]
    )


def test_one_tap_needs_one_multiplication():
    matrices = cook_toom(1, 1)
    assert matrices.inputs == matrices.kernel == matrices.outputs == [[1]]


@pytest.mark.parametrize("taps", range(2, 9))
@pytest.mark.parametrize("outputs", [1, 2, 7, 8, 28])
def test_a_tile_never_needs_more_lines_than_multiplications_without_tiles(taps, outputs):
    m = tile_height(taps, outputs)
    tiles = -(-outputs // m)
    assert m <= outputs
    assert m + taps - 1 <= len(POINTS) + 1
    assert tiles * (m + taps - 1) <= outputs * taps


def test_kernels_of_more_than_eight_rows_have_no_tile():
    assert tile_height(9, 28) == 0


def test_sizes_of_a_padded_image():
    sizes = Geometry(
        rows=2, height=14, width=10, channels=3, filters=5,
        kernel_height=3, kernel_width=5, padding_height=1, padding_width=2,
    )  # fmt: skip
    assert (sizes.out_height, sizes.out_width) == (14, 10)
    assert (sizes.tile, sizes.points, sizes.tiles, sizes.lines) == (5, 7, 3, 6)
    assert (sizes.pitch, sizes.back_padding, sizes.columns) == (12, 2, 72)
