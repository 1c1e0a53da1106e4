import gzip
import struct

import numpy as np
import pytest

from nets.data.idx import parse, read_content
from nets.errors import InputError

HEADER = struct.pack(">BBBBII", 0, 0, 8, 2, 2, 3)


def test_parse_returns_the_array_the_header_describes():
    array = parse(HEADER + bytes([0, 1, 2, 253, 254, 255]), "six bytes")
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, [[0, 1, 2], [253, 254, 255]])


@pytest.mark.parametrize(
    ("code", "format", "values"),
    [
        (0x09, "b", [-1, 2]),
        (0x0B, "h", [-300, 2]),
        (0x0C, "i", [-70_000, 2]),
        (0x0D, "f", [-0.5, 2.25]),
        (0x0E, "d", [-0.1, 2.3]),
    ],
)
def test_parse_reads_every_type_of_the_format(code, format, values):
    content = struct.pack(f">BBBBI2{format}", 0, 0, code, 1, 2, *values)
    assert parse(content, "two numbers").tolist() == values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"file\.idx: not an IDX file: its first bytes are \(none\)"),
        (b"<htm", r"first bytes are 3c 68 74 6d, expected 00 00, a type of 08, 09"),
        (b"\0\0\x07\x01", "first bytes are 00 00 07 01"),
        (HEADER[:9], "truncated: got 9 bytes, expected 12 for the header"),
        (HEADER + bytes(5), r"truncated: got 17 bytes, expected 18 for shape \(2, 3\)"),
        (HEADER + bytes(7), "bytes after its end: got 19 bytes, expected 18"),
    ],
)
def test_parse_refuses_an_invalid_file(content, message):
    with pytest.raises(InputError, match=message):
        parse(content, "file.idx")


@pytest.mark.parametrize("name", ["content", "content.gz"])
@pytest.mark.parametrize("write", [bytes, gzip.compress])
def test_read_content_depends_on_the_bytes_not_on_the_name(tmp_path, name, write):
    (tmp_path / name).write_bytes(write(HEADER))
    assert read_content(tmp_path / name) == HEADER


def damaged_header(content):
    return content[:3] + b"\xff" + content[4:]


def damaged_middle(content):
    return content[:12] + bytes(8) + content[20:]


@pytest.mark.parametrize("damage", [lambda content: content[:20], damaged_header, damaged_middle])
def test_read_content_names_a_damaged_gzip_file(tmp_path, damage):
    path = tmp_path / "content.gz"
    path.write_bytes(damage(gzip.compress(bytes(range(256)))))
    with pytest.raises(InputError, match=r"content\.gz: truncated or damaged gzip file"):
        read_content(path)
