"""Standard output and error: of a command, and of an objective.

An objective's stdout goes to stderr, so that `--json` stays parseable.
"""

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator


def prepare_output(*, forgiving: bool) -> None:
    """Prepare the output of this process, before it opens a file.

    A closed stream discards what is printed, and a character that the terminal lacks becomes "?".
    A `forgiving` output also discards what cannot be written, as when the reader of a pipe has
    gone or the disk of a log is full.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one: a file of the store would get it otherwise.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        elif forgiving and stream is getattr(sys, f"__{name}__"):
            stream = _Forgiving(stream.buffer, stream.encoding, line_buffering=True)
        setattr(sys, name, stream)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if number == 1 else "backslashreplace")


class _Forgiving(io.TextIOWrapper):
    """A stream that discards everything once it cannot write."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            discard_output(self.fileno())
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            discard_output(self.fileno())


def output_is_closed() -> bool:
    """Return whether nobody reads what this process prints any more."""
    printed = select.poll()
    for number in (1, 2):
        printed.register(number, 0)  # errors are always reported
    # macOS cannot poll a device, which is not closed.
    return any(event & ~select.POLLNVAL for _, event in printed.poll(0))


def stdout_to_stderr() -> None:
    """Let this process, and what it starts, print to stderr in place of stdout."""
    sys.stdout = sys.stderr
    with contextlib.suppress(OSError):  # closed: nobody reads it
        os.dup2(2, 1)


def discard_output(number: int = 1) -> None:
    """Discard what is printed from now on: the reader of the pipe has gone, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)


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
