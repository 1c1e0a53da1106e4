"""Objectives that start child processes, and others that use the process of their worker.

A child that nobody has ended writes to the file that the settings name as `kind`.
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
    """Fork a child, report its process id as the value of an epoch, and exit."""
    _exit_before(os.fork(), settings, report)


def orphan_of_c(settings, data, report):
    """Do the same as a C library would: Python does not know of the child."""
    _exit_before(ctypes.PyDLL(None).fork(), settings, report)


def _exit_before(child, settings, report):
    if child == 0:
        time.sleep(MOST_SECONDS)
        Path(settings.kind).write_text("it was not ended")
        os._exit(0)
    report(Epoch(1, {"value": child}, 0.0))
    os._exit(3)


def parent(settings, data, report):
    """Start a program, report its process id as the value of an epoch, and wait for its end."""
    script = 'sleep "$0"; echo "it was not ended" > "$1"'
    child = subprocess.Popen(["sh", "-c", script, str(MOST_SECONDS), settings.kind])
    report(Epoch(1, {"value": child.pid}, 0.0))
    child.wait()
    return Outcome(1)


def daemon(settings, data, report):
    """Start a program in a session of its own, report its process id, and leave it behind."""
    script = 'sleep "$0"; echo "it was not ended" > "$1"'
    child = subprocess.Popen(
        ["sh", "-c", script, str(MOST_SECONDS), settings.kind], start_new_session=True
    )
    report(Epoch(1, {"value": child.pid}, 0.0))
    return Outcome(1)


def without_memory(settings, data, report):
    """Report the process id of the worker, and run out of memory."""
    report(Epoch(1, {"value": os.getpid()}, 0.0))
    raise MemoryError


def talkative(settings, data, report):
    """Print with Python, with a system call and with a program."""
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
    """Do the same with forks of this process."""
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
