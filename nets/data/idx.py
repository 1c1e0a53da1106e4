"""The IDX file format that MNIST is published in.

An IDX file is a header and the elements of one array in C order, all big-endian::

    0  0  type  rank | length of axis 1 | ... | length of axis `rank` | elements
    1 byte each      | 4 bytes each

Source: http://yann.lecun.com/exdb/mnist (Y. LeCun, C. Cortes, C. Burges), "the IDX file format".
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.errors import InputError, one_of

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"


def read_content(path: Path) -> bytes:
    """Return the uncompressed bytes of a gzip or plain file, regardless of its name.

    Raises
    ------
    InputError
        For a truncated or damaged gzip file.
    """
    content = path.read_bytes()
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(str(path), problem=f"truncated or damaged gzip file: {error}") from None


def parse(content: bytes, source: str) -> NDArray[Any]:
    """Return the array that the content of an IDX file describes, as a read-only view of it.

    Parameters
    ----------
    content
        The uncompressed file.
    source
        Name of the file in messages.

    Raises
    ------
    InputError
        For a wrong magic number, or a length that differs from the header's.

    Examples
    --------
    >>> parse(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]), "three labels").tolist()
    [7, 2, 1]
    """
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:
        raise InputError(
            source,
            magic.hex(" "),
            f"00 00, a type of {one_of(f'{code:02x}' for code in TYPES)}, and the rank",
            problem=f"not an IDX file: its first bytes are {magic.hex(' ') or '(none)'}",
        )
    dtype, rank = np.dtype(TYPES[magic[2]]), magic[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise InputError(
            source,
            problem=f"truncated: got {len(content)} bytes",
            expected=f"{start} for the header",
        )
    shape = tuple(int(length) for length in np.frombuffer(content, ">u4", rank, offset=4))
    count = math.prod(shape)
    length = start + count * dtype.itemsize
    if len(content) != length:
        what = "truncated" if len(content) < length else "bytes after its end"
        raise InputError(
            source,
            problem=f"{what}: got {len(content)} bytes",
            expected=f"{length} for shape {shape}",
        )
    return np.frombuffer(content, dtype, count, offset=start).reshape(shape)
