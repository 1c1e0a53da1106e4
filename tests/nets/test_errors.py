"""Errors with parts."""

import pickle

import pytest

from nets.errors import InputError, ModuleMissing


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InputError("a", 3, "2"), "b: got 3, expected 2"),
        (InputError("a", None, "2"), "b: got None, expected 2"),
        (InputError("a", expected="2"), "b: expected 2"),
        (ModuleMissing("a", problem="none", hint="install it"), "b: none; install it"),
    ],
)
def test_an_error_keeps_its_parts_under_another_key_and_when_it_is_sent(error, text):
    renamed = error.with_key("b")
    sent = pickle.loads(pickle.dumps(renamed))
    assert (str(renamed), str(sent)) == (text, text)
    assert type(sent) is type(error)
    assert (sent.received, sent.expected, sent.hint) == (error.received, error.expected, error.hint)
