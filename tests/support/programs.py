"""Programs that tests start: read while they run, waited for with a deadline, killed at the end."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import psutil
import pytest
from waiting import PATIENCE


def run_to_end(command, *, check=False, **options):
    """Run a command as `subprocess.run` does, and capture its output; it must end."""
    with subprocess.Popen(
        [*map(str, command)], text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    ) as process:  # fmt: skip
        try:
            output, errors = process.communicate(timeout=PATIENCE)
        except BaseException:
            _kill(process.pid)
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    assert not check or done.returncode == 0, f"{done.args}:\n{done.stdout}{done.stderr}"
    return done


class Program:
    """Python with arguments, as the leader of a process group; its output is read while it runs.

    Variables are added to the environment, or removed from it where they are None.
    """

    started = []  # noqa: RUF012

    def __init__(
        self, *arguments, folder=None, preexec_fn=None, stdout=subprocess.PIPE, **environment
    ):
        variables = {**os.environ, **environment}
        self._process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env={name: value for name, value in variables.items() if value is not None},
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True,
            cwd=folder, preexec_fn=preexec_fn, start_new_session=True,
        )  # fmt: skip
        self.started.append(self)
        self.lines = []
        """What it has printed, to stdout or stderr."""
        self._output, self._errors = [], []
        self._more = threading.Condition()
        streams = [(self._process.stdout, self._output), (self._process.stderr, self._errors)]
        self._readers = [
            threading.Thread(target=self._read, args=(stream, unread), daemon=True)
            for stream, unread in streams
            if stream is not None
        ]
        self._open = len(self._readers)
        for reader in self._readers:
            reader.start()

    @property
    def pid(self):
        return self._process.pid

    def wait_for(self, pattern):
        """Wait until a line has the pattern; return the match."""
        self._wait(lambda: self._find(pattern), f"the pattern {pattern!r}")
        found = self._find(pattern)
        assert found, self._report(f"no line has the pattern {pattern!r}")
        return found

    def wait_until_it_listens(self):
        """Wait for a server of uvicorn: it says that it has started a moment before it listens."""
        self.wait_for("Application startup complete")
        self.wait_for("Uvicorn running on")

    def line(self):
        """Wait for the next line of its stdout; empty if there is none any more."""
        return self._next(self._output)

    def error_line(self):
        """Wait for the next line of its stderr; empty if there is none any more."""
        return self._next(self._errors)

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        """Kill it with all that it has started, and wait until it is gone."""
        _kill(self.pid)
        self.wait()

    def ends_within(self, seconds):
        """Wait some seconds for its end; tell whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is not None

    def wait(self):
        """Wait for its end, and that of its output; return the exit code."""
        assert self.ends_within(PATIENCE), self._report(f"it runs after {PATIENCE} s")
        self._wait(lambda: False, "the end of its output, which a child of it has")
        for reader in self._readers:
            reader.join(PATIENCE)
        return self._process.returncode

    def finish(self):
        """Wait for its end; return the exit code and the rest of its output and errors."""
        return self.wait(), "".join(self._output), "".join(self._errors)

    def _next(self, unread):
        self._wait(lambda: unread, "a line")
        return unread.pop(0) if unread else ""

    def _wait(self, condition, awaited):
        """Wait until a condition holds or there is no more output."""
        with self._more:
            found = self._more.wait_for(lambda: condition() or not self._open, PATIENCE)
        if not found:
            pytest.fail(self._report(f"waited {PATIENCE} s in vain for {awaited}"))

    def _report(self, problem):
        return "\n".join([f"{' '.join(self._process.args)}: {problem}", *self.lines])

    def _find(self, pattern):
        return next((match for line in self.lines if (match := re.search(pattern, line))), None)

    def _read(self, stream, unread):
        with stream:
            for line in stream:
                with self._more:
                    unread.append(line)
                    self.lines.append(line.rstrip("\n"))
                    self._more.notify_all()
        with self._more:
            self._open -= 1
            self._more.notify_all()


@contextlib.contextmanager
def killed_afterwards():
    """Kill the programs that a block has started, with all that they have started."""
    first = len(Program.started)
    try:
        yield
    finally:
        left = Program.started[first:]
        del Program.started[first:]
        for program in left:
            _kill(program.pid)
        for program in left:
            program.wait()


def free_port():
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def _kill(leader):
    """Kill a process group, and what its leader has started in other groups."""
    started = []
    with contextlib.suppress(psutil.NoSuchProcess):
        started = psutil.Process(leader).children(recursive=True)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    for process in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
