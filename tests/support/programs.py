"""Programs that tests start: servers, schedulers, workers, drivers."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading

PATIENCE = 120
"""Seconds after which a program that does not say what is waited for is taken for broken."""


class Program:
    """A Python module run as a program; what it prints is read while it runs."""

    def __init__(self, module, *arguments, folder=None, **environment):
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            start_new_session=True,
        )
        self.lines = []
        self._more = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self):
        return self._process.pid

    def wait_for(self, pattern):
        """Wait until a line has the pattern; return the match."""
        with self._more:
            found = self._more.wait_for(lambda: self._find(pattern) or self._ended, PATIENCE)
        assert isinstance(found, re.Match), "\n".join(self.lines)
        return found

    def wait_until_it_listens(self):
        """Wait for a server of uvicorn: it says that it has started a moment before it listens."""
        self.wait_for("Application startup complete")
        self.wait_for("Uvicorn running on")

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        """Kill it with all of its children, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self):
        """Wait for its end; return the exit code."""
        code = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self._process.stdout.close()
        return code

    def _find(self, pattern):
        return next((match for line in self.lines if (match := re.search(pattern, line))), None)

    def _read(self):
        for line in self._process.stdout:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()
