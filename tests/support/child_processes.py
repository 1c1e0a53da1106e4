"""Objectives that start processes of their own, and others that use the process they are in.

A process that lives to its own end leaves word in the file that the settings name as `kind`.
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path

from nets.outcome import Epoch, Outcome

MOST_SECONDS = 30.0


def orphan(settings, data, report):
    """Fork a child, tell its process id as the value of an epoch, and die."""
    _die_before(os.fork(), settings, report)


def orphan_of_c(settings, data, report):
    """The same as a C library would do it: Python knows nothing of the child."""
    _die_before(ctypes.PyDLL(None).fork(), settings, report)


def _die_before(child, settings, report):
    if child == 0:
        time.sleep(MOST_SECONDS)
        Path(settings.kind).write_text("it lived to its end")
        os._exit(0)
    report(Epoch(1, {"value": child}, 0.0))
    os._exit(3)


def parent(settings, data, report):
    """Start a program, tell its process id as the value of an epoch, and wait for its end."""
    script = 'sleep "$0"; echo "it lived to its end" > "$1"'
    child = subprocess.Popen(["sh", "-c", script, str(MOST_SECONDS), settings.kind])
    report(Epoch(1, {"value": child.pid}, 0.0))
    child.wait()
    return Outcome(1)


def without_memory(settings, data, report):
    """Tell the process id of the worker, and run out of memory."""
    report(Epoch(1, {"value": os.getpid()}, 0.0))
    raise MemoryError


def talkative(settings, data, report):
    """Print in every way there is."""
    print("by Python")
    os.write(1, b"by the system\n")
    subprocess.run(["echo", "by a program"], check=True)
    report(Epoch(1, {"value": 0.0}, 0.0))
    return Outcome(1)


def ended_program(settings, data, report):
    """Start a program, end it with each signal, and report how it ended."""
    ends = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        child = subprocess.Popen(["sleep", str(MOST_SECONDS)])
        child.send_signal(number)
        ends[number.name] = child.wait()
    report(Epoch(1, {"value": 0.0, **ends}, 0.0))
    return Outcome(1)


def ended_fork(settings, data, report):
    """The same with forks of this process."""
    context = multiprocessing.get_context("fork")
    ends = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        there, here = context.Pipe()
        child = context.Process(target=_sleep, args=(there,))
        child.start()
        here.recv()
        os.kill(child.pid, number)
        child.join()
        ends[number.name] = child.exitcode
    report(Epoch(1, {"value": 0.0, **ends}, 0.0))
    return Outcome(1)


def _sleep(there):
    there.send("asleep")
    time.sleep(MOST_SECONDS)
