"""Redirect an objective's stdout to stderr, so that `--json` stays parseable."""

import contextlib
import os
import sys
from collections.abc import Iterator


def stdout_to_stderr() -> None:
    """Let this process, and what it starts, print to stderr in place of stdout."""
    sys.stdout = sys.stderr
    with contextlib.suppress(OSError):  # closed: nobody reads it
        os.dup2(2, 1)


def discard_output() -> None:
    """Discard what is printed from now on: the reader of the pipe has gone, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def redirected_to_stderr() -> Iterator[None]:
    """Redirect stdout to stderr inside the context."""
    sys.stdout.flush()
    before = os.dup(1)
    with contextlib.redirect_stdout(sys.stderr):
        stdout_to_stderr()
        try:
            yield
        finally:
            os.dup2(before, 1)
            os.close(before)
