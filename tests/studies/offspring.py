"""Objectives that start processes of their own.

A process that lives to its own end leaves word in the file that the settings name as `kind`.
"""

import ctypes
import os
import time
from pathlib import Path

from nets.outcome import Epoch

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
