"""Waits that end: until a condition holds, until processes have ended."""

import time

import psutil
import pytest

PATIENCE = 600
"""Seconds after which what a test waits for is considered lost: a guard, not a speed limit."""


def until(condition, awaited="a condition"):
    """Check every 20 ms until a condition holds; return its value."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {PATIENCE} s in vain for {awaited}")
        time.sleep(0.02)
    return value


def has_ended(process):
    """Return whether a process, or the one with an id, is gone or a zombie.

    An orphan stays a zombie for ever where process 1 does not reap, as in many containers.
    """
    try:
        if isinstance(process, int):
            process = psutil.Process(process)
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_ended(processes):
    """Wait until all of some processes have ended."""
    until(lambda: all(map(has_ended, processes)), f"the end of {processes}")
