"""Where output goes: an objective's to the errors, as a command's may be JSON, or be cut short."""

import contextlib
import os
import sys
from collections.abc import Iterator


def output_is_errors() -> None:
    """Let this process, and what it starts, print to the standard error instead of the output."""
    sys.stdout = sys.stderr
    with contextlib.suppress(OSError):  # it has been closed: then nobody wants to know
        os.dup2(2, 1)


def discard_output() -> None:
    """Print to nowhere from now on: who read it has gone, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def printing_to_errors() -> Iterator[None]:
    """Do the same for a while."""
    sys.stdout.flush()
    before = os.dup(1)
    with contextlib.redirect_stdout(sys.stderr):
        output_is_errors()
        try:
            yield
        finally:
            os.dup2(before, 1)
            os.close(before)
