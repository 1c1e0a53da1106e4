"""Real drivers: `retrial search` as a process, its workers, and what it has left in the store."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from tracking.ledger import Ledger

FILE = """
[study]
name = "curves"
trials = {trials}
window = {window}
metric = "value"
seed = 5
objective = "curves:{objective}"
settings = "curves:Curve"
sampler = {{ name = "tpe", startup_trials = 4 }}
pruner = {{ name = "median", startup_trials = 2 }}
{study}

[settings]
epochs = {epochs}
delay = {delay}
fault = "{fault}"

[space]
rate = {{ low = 1e-3, high = 1.0, log = true }}
height = {{ low = 0.1, high = 1.0 }}
kind = {{ choices = ["plain", "wavy"] }}
ripple = {{ low = 0.0, high = 0.2, when = {{ kind = "wavy" }} }}
"""


def write_study(
    folder, *, trials=12, window=4, epochs=6, delay=0.0, fault="none", objective="climb", study=""
):
    """Write the file of a study over `curves`, and return its path."""
    path = Path(folder) / "curves.toml"
    values = dict(trials=trials, window=window, epochs=epochs, delay=delay, fault=fault)
    path.write_text(FILE.format(**values, objective=objective, study=study))
    return path


def until(condition):
    """Look every 20 ms until a condition holds; returns what it gave."""
    while not (value := condition()):
        threading.Event().wait(0.02)
    return value


class Driver:
    """A `retrial search` of a study file, in a process of its own."""

    def __init__(self, study, store, *options, checkpoints=None, **popen):
        paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        if checkpoints is not None:
            environment["RETRIAL_CHECKPOINT_SECONDS"] = str(checkpoints)
        self.store = Path(store)
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "studies.cli.main", "search", str(study),
                "--store", str(store), *options,
            ],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen,
        )  # fmt: skip

    @property
    def pid(self):
        return self.process.pid

    def line(self):
        """Wait for the next line it prints."""
        return self.process.stdout.readline()

    def wait_for_trial(self):
        """Wait until a trial has finished."""
        while not (line := self.line()).startswith("trial "):
            assert line, self.process.stderr.read()

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL, and wait for it; returns the processes it has left behind."""
        children = self.children()
        self.process.kill()
        self.process.communicate()
        return children

    def children(self):
        """Its workers, and what they have started."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def finish(self):
        """Wait for its end; returns exit code, output and errors."""
        output, errors = self.process.communicate()
        return self.process.returncode, output, errors


def ledger_of(store):
    return Ledger(Path(store) / "ledger.db")
