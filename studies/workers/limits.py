"""The limits of a trial, ``study.memory`` and ``study.trial_seconds``: measured, and how one fails.

The driver measures its own workers, because code that never returns to Python cannot be measured
from within; on a cluster each worker measures itself.
"""

from collections.abc import Collection
from contextlib import suppress

import psutil

from studies.workers.messages import Job, Limits, TrialDone, TrialEvent
from tracking.records import Failure, TrialOutcome

SECONDS_BETWEEN = 1.0
"""Seconds between two measurements."""

LIMIT_TYPE = "LimitExceeded"
"""Type of the failure of a trial that exceeded a limit."""


def resident(processes: Collection[int]) -> dict[int, int]:
    """Return the bytes of resident memory of processes, each with all that descend from it."""
    children: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter(["ppid"]):
        children.setdefault(process.info["ppid"], []).append(process)
    found = {}
    for pid in processes:
        found[pid] = 0
        family = [process for some in children.values() for process in some if process.pid == pid]
        while family:
            process = family.pop()
            family += children.get(process.pid, [])
            with suppress(psutil.Error):  # it has ended
                found[pid] += process.memory_info().rss
    return found


def failure(job: Job, seconds: float, memory: int) -> TrialDone | None:
    """Return the end of a trial whose attempt has exceeded a limit, or None.

    `seconds` is the time since its worker began with it, `memory` the bytes that the worker holds.
    """
    limits = job.limits or Limits()
    if limits.seconds is not None and limits.spent + seconds > limits.seconds:
        key, what = "trial_seconds", f"it took longer than study.trial_seconds = {limits.seconds:g}"
    elif limits.bytes is not None and memory > limits.bytes:
        gib = f"{memory / 2**30:.2f} GiB"
        key, what = "memory", f'its worker held {gib}, more than study.memory = "{limits.memory}"'
    else:
        return None
    error = Failure(LIMIT_TYPE, what, f"study.{key}")
    return TrialDone(job.trial, job.attempt, "failed", TrialOutcome(error=error))


def has_exceeded_limit(event: TrialEvent) -> bool:
    """Return whether an event is the end of a trial that has exceeded a limit."""
    error = event.outcome.error if isinstance(event, TrialDone) else None
    return error is not None and error.type == LIMIT_TYPE
