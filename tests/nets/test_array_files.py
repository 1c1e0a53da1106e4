"""Arrays are read from .npy and .npz files, or refused before memory is allocated for them."""

import io
import struct
import zipfile

import numpy as np
import pytest

from nets.array_files import read_array, read_arrays
from nets.errors import InputError

ARRAY = np.arange(6.0).reshape(2, 3)


def saved(array):
    np.save(file := io.BytesIO(), array, allow_pickle=True)
    return file.getvalue()


def with_header(header, rest=b""):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + rest


def of_shape(shape, dtype="<f8"):
    return f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n"


def archive(method=zipfile.ZIP_STORED, **contents):
    with zipfile.ZipFile(file := io.BytesIO(), "w", method) as opened:
        for name, content in contents.items():
            opened.writestr(f"{name}.npy", content)
    return file.getvalue()


@pytest.mark.parametrize("array", [ARRAY, np.asfortranarray(ARRAY), np.array(7), np.array(["a"])])
def test_what_numpy_saves_is_read(array):
    np.testing.assert_array_equal(read_array(io.BytesIO(saved(array))), array)
    np.savez(file := io.BytesIO(), one=array, other=ARRAY)
    found = read_arrays(file)
    assert list(found) == ["one", "other"]
    np.testing.assert_array_equal(found["one"], array)
    assert list(read_arrays(file, {"other", "third"})) == ["other"]


DAMAGED = {
    "empty": b"",
    "text": b"seven",
    "an archive's first bytes": b"PK\3\4" + bytes(100),
    "truncated": saved(ARRAY)[:-1],
    "more than its header says": saved(ARRAY) + b"\0",
    "terabytes": with_header(of_shape((10**12, 3))),
    "beyond 64 bits": with_header(of_shape((10**30, 3))),
    "negative": with_header(of_shape((-1, 8)), bytes(64)),
    "two negatives": with_header(of_shape((-1, -8)), bytes(64)),
    "no bytes each": with_header(of_shape((10**12,), "<U0")),
    "of objects": saved(np.array([{}])),
    "deep header": with_header("(" * 9000),
    "no dictionary": with_header("[]\n"),
    "unknown type": with_header(of_shape((2,), "<x8")),
    "a header of gigabytes": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_anything_else_is_refused_in_one_line(content):
    for read, file in ((read_array, content), (read_arrays, archive(one=content))):
        with pytest.raises(
            InputError, match=r"^cannot be read: .+, expected an? \.np[yz]"
        ) as error:
            read(io.BytesIO(file))
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 300


def test_no_changed_byte_of_an_archive_changes_an_array():
    whole = archive(one=saved(ARRAY))
    refused = 0
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 0xFF
        try:
            found = read_arrays(io.BytesIO(content))
        except InputError:
            refused += 1
        else:  # a byte that means nothing, or of the array's name
            np.testing.assert_array_equal(found.get("one", ARRAY), ARRAY)
    assert refused > len(saved(ARRAY))


def test_compressed_arrays_have_a_limit():
    zeros = archive(zipfile.ZIP_DEFLATED, one=saved(np.zeros(10**5)))
    assert len(zeros) < 2000
    with pytest.raises(InputError, match=r"^got arrays of 800,128 bytes, expected at most [1-9]"):
        read_arrays(io.BytesIO(zeros))
    with pytest.raises(InputError, match=r"expected at most 800,127 in such a file"):
        read_arrays(io.BytesIO(zeros), limit=800_127)
    assert read_arrays(io.BytesIO(zeros), limit=800_128)["one"].shape == (10**5,)
    assert read_arrays(io.BytesIO(zeros), {"other"}) == {}


def test_a_damaged_compressed_array_is_refused():
    content = bytearray(archive(zipfile.ZIP_DEFLATED, one=saved(np.arange(1000))))
    content[200:300] = bytes(100)
    with pytest.raises(InputError, match="cannot be read: "):
        read_arrays(io.BytesIO(content), limit=10**6)
