"""A user's module is read up to where it first works on a study."""

import contextlib
import sys
import threading

import pytest

from nets.errors import InputError
from studies.definition import importing


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write modules that can be imported during the test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(**texts):
        for name, text in texts.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def searching(study="'it'"):
    """The text of a module that defines a function and works on a study."""
    return (
        "from studies.definition import importing\n"
        "def first(): return __name__\n"
        f"importing.end_of_definitions({study})\n"
        "def second(): pass\n"
    )


def test_what_is_defined_before_the_first_search_is_there_and_nothing_after_it(write):
    write(tune=searching())
    assert importing.load("tune:first")() == "tune"
    assert importing.module("tune") is sys.modules["tune"]
    assert importing.ended_at("tune") == "it"
    with pytest.raises(InputError) as found:
        importing.load("tune:second")
    assert str(found.value) == (
        "got 'tune:second', but tune has no second; it is read up to its first search only: define "
        "second above it"
    )
    assert not importing.is_reading()


def test_a_module_that_imports_one_that_searches_is_read_to_its_end(write):
    write(
        tune_base=searching(), pack____init__="", pack__inner=searching("'inner'"),
        tune_more="import tune_base\nfrom pack import inner\n\ndef last(): return 3\n",
    )  # fmt: skip
    assert importing.load("tune_more:last")() == 3
    assert importing.load("pack.inner:first")() == "pack.inner"
    assert [importing.ended_at(name) for name in ("tune_base", "pack.inner", "tune_more")] == [
        "it", "inner", None,
    ]  # fmt: skip


def test_a_script_that_catches_everything_still_ends(write):
    write(
        tune_catching="from studies.definition import importing\ntry:\n"
        "    importing.end_of_definitions(1)\nexcept Exception:\n    pass\nafter = True\n"
    )
    assert not hasattr(importing.module("tune_catching"), "after")


def test_only_the_thread_that_reads_stops_at_a_search(write):
    write(tune_waiting="import tune_gate\ntune_gate.inside.set()\ntune_gate.go.wait(600)\n")
    write(tune_gate="import threading\ninside, go = threading.Event(), threading.Event()\n")
    gate = importing.module("tune_gate")
    reader = threading.Thread(target=importing.module, args=["tune_waiting"])
    reader.start()
    try:
        assert gate.inside.wait(600)
        importing.end_of_definitions("a search in another thread goes on")
    finally:
        gate.go.set()
        reader.join(600)
    assert "tune_waiting" in sys.modules


def test_a_module_that_fails_is_not_kept_and_its_output_goes_to_stderr(write, capsys):
    write(tune_failing="print('loading')\nraise ValueError('no')\n")
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            importing.module("tune_failing")
    assert "tune_failing" not in sys.modules
    assert capsys.readouterr() == ("", "loading\nloading\n")
    assert not importing.is_reading()
    with contextlib.suppress(ValueError):
        importing.module("tune_failing")
    assert importing._FINDER not in sys.meta_path
