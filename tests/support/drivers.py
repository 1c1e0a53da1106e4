"""Drivers: `retrial search` as a process, its workers, and the ledger that it writes."""

import os
import signal
from pathlib import Path

import psutil
from programs import Program
from waiting import until

from tracking.ledger import Ledger

OBJECTIVES_PATH = os.pathsep.join(
    [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)
"""The PYTHONPATH of programs that import the objectives of the tests."""

FILE = """
[study]
name = "curves"
trials = {trials}
window = {window}
metric = "value"
direction = "maximize"
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


class Driver(Program):
    """A `retrial search` of a study file, in another process."""

    def __init__(self, study, store, *options, checkpoints=None, **popen):
        variables = {"PYTHONPATH": OBJECTIVES_PATH}
        if checkpoints is not None:
            variables["RETRIAL_CHECKPOINT_SECONDS"] = str(checkpoints)
        super().__init__(
            "-m", "studies.cli.main", "search", study, "--store", store, *options,
            **variables, **popen,
        )  # fmt: skip

    def wait_for_trial(self):
        """Wait until a trial has finished."""
        while not (line := self.line()).startswith("trial "):
            assert line, self.lines

    def kill_alone(self):
        """Send SIGKILL to it only, and wait for its end; return the processes it had started."""
        children = self.children()
        self.signal(signal.SIGKILL)
        self.wait()
        return children

    def children(self):
        """Return its workers, and what they have started."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def ledger_of(store):
    return Ledger(Path(store) / "ledger.db")


def wait_until_a_trial_trains(store, study):
    """Wait for the first epoch of a trial: between two trials a search has nothing to wait for."""

    def has_begun():
        with ledger_of(store) as ledger:
            running = [trial for trial in ledger.trials(study) if trial.state == "running"]
            return any(len(ledger.epochs(study, trial.number)) == 1 for trial in running)

    until(has_begun, "the first epoch of a trial")
