"""Strided views, aligned memory, and workspaces."""

import numpy as np
import pytest

from nets.kernels.views import (
    CACHE_LINE,
    LONG_ROW,
    SMALL_PRODUCT,
    allocate,
    pieces,
    repeats,
    strided,
)
from nets.kernels.workspace import Workspace


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3), (1,), (3, 5, 7), (1000,)])
def test_memory_begins_on_a_cache_line_and_is_zero(shape, dtype):
    array = allocate(shape, dtype)
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.size == 0 or array.ctypes.data % CACHE_LINE == 0
    assert not array.any()


def test_a_strided_view_shares_memory():
    array = np.zeros((3, 4))
    strided(array, (2, 2), (5, 1), offset=1)[...] = 1
    np.testing.assert_array_equal(array, [[0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]])


def test_a_strided_view_beyond_the_array_is_refused():
    with pytest.raises(ValueError, match=r"^the view reaches number 12, the array has 12$"):
        strided(np.zeros((3, 4)), (3, 5), (4, 1))


def test_a_strided_view_of_an_array_that_is_not_contiguous_is_refused():
    with pytest.raises(ValueError, match=r"^a strided view needs a contiguous array, got strides"):
        strided(np.zeros((3, 4)).T, (2,), (1,))


@pytest.mark.parametrize("length", [1, 7, 1021, 1024, 1568])
@pytest.mark.parametrize("others", [1, 400, 5000])
def test_pieces_are_equal_and_small_or_there_is_only_one(length, others):
    count = pieces(length, length * others, at_least=32)
    assert length % count == 0
    assert count == 1 or (length * others / count <= SMALL_PRODUCT and length // count >= 32)


@pytest.mark.parametrize(("units", "unit"), [(784, 16), (1, 100), (7, 3), (4099, 1), (12544, 1)])
def test_rows_are_long_if_the_array_is(units, unit):
    count = repeats(units, unit)
    assert units % count == 0
    assert count * unit > LONG_ROW or count == units


def test_requests_for_one_name_share_the_largest_buffer():
    workspace = Workspace(np.float32)
    with workspace.measuring():
        workspace.scratch("lines", (2, 3))
        workspace.scratch("lines", (7,))
        workspace.scratch("other", (7,))
        workspace.keep((5,), bool)
    small, large = workspace.scratch("lines", (2, 3)), workspace.scratch("lines", (7,))
    assert np.shares_memory(small, large)
    assert not np.shares_memory(workspace.scratch("other", (7,)), large)


def test_kept_arrays_are_not_shared():
    workspace = Workspace(np.float64)
    with workspace.measuring():
        for _ in range(2):
            workspace.keep((3, 5))
        workspace.keep((9,), bool)
    arrays = [workspace.keep((3, 5)), workspace.keep((3, 5)), workspace.keep((9,), bool)]
    arrays.append(workspace.keep((100,)))  # more than was measured
    for array in arrays:
        assert array.ctypes.data % CACHE_LINE == 0
        array[...] = 1
    assert [float(array.sum()) for array in arrays] == [15, 15, 9, 100]


def test_a_second_sequence_of_stages_does_not_change_the_memory_of_the_first():
    workspace = Workspace(np.float32)
    with workspace.measuring():
        workspace.keep((4,))
        workspace.scratch("lines", (4,))
    kept, lines = workspace.keep((4,)), workspace.scratch("lines", (4,))
    kept[...] = lines[...] = 7
    with workspace.measuring():
        workspace.keep((4,))
        workspace.scratch("lines", (8,))
    workspace.keep((4,))[...] = 0
    workspace.scratch("lines", (8,))[...] = 0
    np.testing.assert_array_equal([kept, lines], 7)
