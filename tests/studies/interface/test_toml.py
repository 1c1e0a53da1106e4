"""Tables as TOML: what is read is what was written."""

import datetime
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from nets.errors import InputError
from studies.interface.toml import written

names = some.text(some.characters(exclude_categories=["Cs"]), min_size=1)
plain = (
    some.booleans()
    | some.integers(-(2**63), 2**63 - 1)
    | some.floats(allow_nan=False)
    | some.text(some.characters(exclude_categories=["Cs"]))
)
values = some.recursive(
    plain, lambda inner: some.lists(inner) | some.dictionaries(names, inner), max_leaves=8
)


@given(some.dictionaries(names, some.dictionaries(names, values)))
def test_what_is_written_is_read_unchanged(tables):
    assert tomllib.loads(written(tables)) == tables


def test_a_number_that_is_none_and_a_value_that_toml_lacks():
    assert written({"a": {"b": float("nan"), "c": -float("inf")}}) == "[a]\nb = nan\nc = -inf\n"
    with pytest.raises(InputError, match="which a study file cannot hold"):
        written({"a": {"b": None}})
    with pytest.raises(InputError, match=r"got datetime\.date"):
        written({"a": {"b": datetime.date(2026, 1, 1)}})
