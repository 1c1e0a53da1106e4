"""The output of a command: closed, full, or without the characters that are printed."""

import contextlib
import io
import os
import sys

import pytest

from studies.workers.stdio import output_is_closed, prepare_output


def test_characters_that_a_terminal_lacks_are_no_error(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    prepare_output(forgiving=False)
    print("trials \N{HORIZONTAL ELLIPSIS} \udcff", flush=True)
    assert written.getvalue() == b"trials ? ?\n"


@contextlib.contextmanager
def nobody_reads():
    """Print to a pipe whose reader has gone; no fixture, as pytest replaces the output too."""
    before = os.dup(1)
    read, write = os.pipe()
    os.dup2(write, 1)
    os.close(write)
    os.close(read)
    stream = open(1, "w", closefd=False)  # noqa: SIM115
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "__stdout__", stream)
        try:
            yield
        finally:
            os.dup2(before, 1)
            os.close(before)


def test_a_forgiving_output_discards_what_nobody_reads():
    with nobody_reads():
        assert output_is_closed()
        prepare_output(forgiving=True)
        print("a line", flush=True)


def test_other_output_raises_where_nobody_reads_it():
    with nobody_reads():
        prepare_output(forgiving=False)
        with pytest.raises(BrokenPipeError):
            print("a line", flush=True)


def test_output_that_is_read_is_not_closed():
    assert not output_is_closed()
