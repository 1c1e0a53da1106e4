"""A packed training state is read exactly, or refused before memory is allocated for it."""

import io
import zipfile

import numpy as np
import pytest

from nets.errors import InputError
from nets.state import pack, unpack

STATE = {"epoch": 3, "weights": np.arange(6.0).reshape(2, 3), "rng": [2**70, None, {"a": True}]}


def test_a_state_survives():
    found = unpack(pack(STATE))
    assert found.keys() == STATE.keys()
    assert np.array_equal(found["weights"], STATE["weights"])
    assert (found["epoch"], found["rng"]) == (STATE["epoch"], STATE["rng"])


def changed(change, method=zipfile.ZIP_STORED, state=STATE):
    """Return a packed state, each of whose files is changed by a function."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(pack(state))) as before,
        zipfile.ZipFile(buffer, "w", method) as after,
    ):
        for name in before.namelist():
            after.writestr(name, change(before.read(name)))
    return buffer.getvalue()


def huge(content):
    """Return an array whose header promises terabytes, in the same number of bytes."""
    return content.replace(b"(2, 3), }" + b" " * 12, b"(2, 3000000000000), }", 1)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"a state", b"PK\3\4", pack(STATE)[:-30], changed(huge),
        changed(lambda content: content[:-1]), changed(lambda content: b"x" * 1000),
        changed(lambda content: content, zipfile.ZIP_DEFLATED, {"zeros": np.zeros(10**5)}),
        changed(lambda content: content.replace(b"'<f8'", b"'|O' ")),
    ],
)  # fmt: skip
def test_a_damaged_state_is_refused(content):
    with pytest.raises(InputError, match=r"^state: a damaged training state"):
        unpack(content)
