"""What runs in a worker: one attempt at one trial, as a function of its job.

A worker imports NumPy, the objective and Optuna's pruner, and neither MLflow nor scikit-learn. It
knows the driver as two functions: `send` takes events, `stopping` tells whether to stop at the end
of the epoch.
"""

import importlib
import time
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from nets.outcome import Epoch, Outcome
from nets.state import pack, unpack
from studies.job import EpochDone, Event, Job, TrialDone, TrialStopped
from studies.judging import PrunerStudy


class _Pruned(Exception):
    """Ends a training because the pruner said so."""


class _Stopped(Exception):
    """Ends a training because the driver said so."""


def run(job: Job, send: Callable[[Event], None], stopping: Callable[[], bool]) -> None:
    """Train one trial: send an event an epoch, and one at the end."""
    judge = PrunerStudy(job.judge) if job.judge is not None else None
    last: Epoch | None = None
    outcome: Outcome | None = None
    values: dict[int, float] = {}
    saved = time.monotonic()

    def report(epoch: Epoch) -> None:
        nonlocal last, saved, outcome
        last = epoch
        values[epoch.number] = epoch.metrics.get(job.metric, float("nan"))
        pruned = judge is not None and judge.prunes(epoch.number, values[epoch.number])
        stop = not pruned and stopping()
        now = time.monotonic()
        checkpoint = None
        if epoch.state is not None and (stop or now - saved >= job.checkpoint_seconds):
            checkpoint, saved = pack(epoch.state()), now
        send(
            EpochDone(
                job.trial, job.attempt, epoch.number, dict(epoch.metrics), dict(epoch.digests),
                epoch.seconds, checkpoint,
            )
        )  # fmt: skip
        if pruned:
            # Valid only until `report` returns, so the model is built here.
            outcome = epoch.outcome() if epoch.outcome is not None else Outcome(epoch.number)
            raise _Pruned
        if stop:
            raise _Stopped

    try:
        objective = load(job.objective)
        settings = load(job.settings_class)(**job.settings)
        data = None if job.data is None else _dataset(job.data)
        arguments: dict[str, Any] = {}
        if job.state is not None:
            arguments["resume"] = unpack(job.state)
            values.update(job.past)
        with _threads(job.threads):
            outcome = objective(settings, data, report, **arguments)
        if last is None and not values:
            raise RuntimeError("the objective reported no epoch")
        send(_done(job, "complete", outcome, values, judge))
    except _Pruned:
        assert outcome is not None
        send(_done(job, "pruned", outcome, values, judge))
    except _Stopped:
        send(TrialStopped(job.trial, job.attempt))
    except Exception as error:
        send(TrialDone(job.trial, job.attempt, "failed", {"error": described(error)}))


def _done(
    job: Job,
    state: Any,
    outcome: Outcome,
    values: dict[int, float],
    judge: PrunerStudy | None,
) -> TrialDone:
    """Return the end of a trial: its value is the metric at the epoch whose weights are kept."""
    reason: str = outcome.reason
    if state == "pruned":
        reason = "pruned"
    elif reason == "diverged":
        state = "pruned"
    value = values.get(outcome.epoch, float("nan"))
    details: dict[str, Any] = {
        "value": value,
        "epoch": outcome.epoch,
        "reason": reason,
        "attributes": judge.attributes if judge else {},
    }
    if reason == "pruned" and judge is not None:
        details["pruned"] = judge.explain()
    return TrialDone(job.trial, job.attempt, state, details, outcome.model)


def described(error: BaseException) -> dict[str, str]:
    """Return type, message, place and traceback of an exception."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
    return {
        "type": type(error).__name__,
        "message": str(error),
        "place": place,
        "traceback": "".join(traceback.format_exception(error)),
    }


def load(path: str) -> Any:
    """Return what ``package.module:name`` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


@lru_cache(maxsize=4)
def _dataset(folder: str) -> Any:
    """Return the memory-mapped dataset of a cache folder; a worker opens each once."""
    from nets.data import open_cached

    return open_cached(Path(folder))


def _threads(count: int) -> Any:
    """Return the context in which a trial uses `count` threads."""
    from nets import threads

    return threads.use(count)
