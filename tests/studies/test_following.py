"""Processes that a driver starts: Ctrl-C, which reaches the whole group, is not theirs."""

import os
import signal
import threading

import pytest

from studies import repetitions
from studies.figures.aside import Aside
from studies.following import signals_held


def held(*_):
    """Return the signals that this process holds back."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())


def interrupt_a_start(steps):
    """Send Ctrl-C to this thread while it starts processes."""
    with signals_held():
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        steps.append("started")
    steps.append("went on")


def test_a_ctrl_c_while_processes_start_is_heard_when_they_have():
    steps = []
    with pytest.raises(KeyboardInterrupt):
        interrupt_a_start(steps)
    assert steps == ["started"]
    assert signal.SIGINT not in held()


def interrupted(*_):
    """Send Ctrl-C and SIGTERM to this process; return what there is to say afterwards."""
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
    return "went on"


def test_the_process_that_draws_cannot_be_reached(tmp_path):
    aside = Aside(tmp_path / "ledger.db", "digits")
    assert aside._submit(interrupted).result() == "went on"
    assert not aside._submit(held).result()
    aside.close()


def test_the_processes_that_repeat_trials_cannot_be_reached(monkeypatch):
    monkeypatch.setattr("studies.repetitions._train", interrupted)
    found = list(repetitions._side_by_side([(0, None), (1, None)], 2, False))
    assert found == ["went on", "went on"]
