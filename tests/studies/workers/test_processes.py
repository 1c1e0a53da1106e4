"""Processes that a driver starts: Ctrl-C, which reaches the whole group, is not theirs."""

import os
import signal
import sys
import threading

import pytest
from programs import run_to_end

from studies.confirmation import batch
from studies.figures.process import DrawingProcess
from studies.workers.processes import signals_held


def held(*_):
    """Return the signals that this process holds back."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())


def interrupt_a_start(steps):
    """Send Ctrl-C to this thread while it starts processes."""
    with signals_held():
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        steps.append("started")
    steps.append("went on")


def test_a_ctrl_c_while_processes_start_takes_effect_afterwards():
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
    drawing = DrawingProcess(tmp_path / "ledger.db", "curves")
    assert drawing._submit(interrupted).result() == "went on"
    assert not drawing._submit(held).result()
    drawing.close()


def test_the_processes_that_repeat_trials_cannot_be_reached(monkeypatch):
    monkeypatch.setattr("studies.confirmation.batch._train", interrupted)
    found = list(batch._side_by_side([(0, None), (1, None)], 2, False))
    assert found == ["went on", "went on"]


THREAD_IN_THE_MIDDLE = """
import threading, time
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import queues, resource_tracker
from studies.workers import processes

feed, unregister = queues.Queue._feed, resource_tracker.unregister
middle = threading.Event()

def feed_and_linger(*arguments):
    feed(*arguments)
    time.sleep(0.3)  # the others let go of the queue meanwhile

def unregister_slowly(*arguments):
    if threading.current_thread().name == "QueueFeederThread":
        middle.set()
        time.sleep(0.3)
    unregister(*arguments)

queues.Queue._feed = staticmethod(feed_and_linger)
resource_tracker.unregister = unregister_slowly

executor = ProcessPoolExecutor(1)
executor.submit(abs, -1).result()
executor.shutdown(wait=True, kill_workers=True)
del executor
print(middle.wait(60))
"""


def test_a_process_does_not_end_while_a_thread_removes_locks():
    """A thread of the library's that was cut off there left warnings of leaked locks behind."""
    ended = run_to_end([sys.executable, "-c", THREAD_IN_THE_MIDDLE])
    assert (ended.stdout, ended.stderr) == ("True\n", "")
