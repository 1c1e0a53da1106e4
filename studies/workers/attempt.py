"""What runs in a worker: one attempt at one trial, as a function of its job.

A worker imports NumPy, the objective and Optuna's pruner, and neither MLflow nor scikit-learn. It
knows the driver as two functions: `send` takes events, `stopping` says whether to stop at the end
of the epoch.
"""

import errno
import math
import os
import platform
import time
from collections.abc import Callable
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import Any

import optuna

from nets import threads
from nets.errors import InputError
from nets.outcome import Epoch, Outcome
from nets.settings import from_plain
from nets.state import PackedModel, pack, unpack
from studies.definition.importing import load
from studies.objective.signature import settings_class
from studies.objective.trial import Pruned, adapted
from studies.workers import validation
from studies.workers.messages import (
    EpochDone,
    Job,
    TrialDone,
    TrialEvent,
    TrialStopped,
    WorkerCrashed,
)
from studies.workers.pruning import History, PrunerStudy
from studies.workers.validation import MOST_BYTES
from tracking.provenance import imported
from tracking.records import TrialOutcome

Send = Callable[[TrialEvent], None]

_RESOURCE_ERRORS = {errno.ENOMEM, errno.ENOSPC, errno.EIO, errno.EMFILE, errno.ENFILE}
"""Errors that say something about the machine at that moment, and nothing about the trial."""

_history = History()
"""Finished trials that this process has received with its jobs."""


class _Pruned(BaseException):
    """Ends a training that the pruner prunes, whatever Exception the objective catches."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class _Stopped(BaseException):
    """Ends a training that the driver stops."""


def run(job: Job, send: Send, stopping: Callable[[], bool]) -> None:
    """Train one trial: send an event after each epoch, and one at the end.

    Any error of the objective fails its trial, and nothing else. Resource errors count as worker
    crashes: the trial is retried, as after the system has killed a worker for its memory.
    """
    end: TrialEvent
    try:
        end = _Attempt(job, send, stopping).train()
    except (Exception, SystemExit) as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in _RESOURCE_ERRORS:
            reason = f"{type(error).__name__}: {validation.message_of(error)}".removesuffix(": ")
            end = WorkerCrashed(job.trial, job.attempt, reason)
        else:
            failed = TrialOutcome(error=validation.failure_of(error, job.objective))
            end = TrialDone(job.trial, job.attempt, "failed", failed)
    send(end)


class _Attempt:
    """One attempt at one trial: the values of its epochs so far, and its pruner.

    What an objective reports is validated here, before it reaches the driver.
    """

    def __init__(self, job: Job, send: Send, stopping: Callable[[], bool]) -> None:
        self._job = job
        self._send = send
        self._stopping = stopping
        self._pruner = PrunerStudy(job.pruning, _history) if job.pruning is not None else None
        self._imported: dict[str, str] | None = None
        if job.own_modules:
            imported.watch()
        self._objective = load(job.objective)
        if job.settings_class is None:
            self._settings_class = settings_class(self._objective)
            self._objective = adapted(
                self._objective, job.trial, job.metric, final=job.final, keep_model=job.keep_model
            )
        else:
            self._settings_class = load(job.settings_class)
        self._resumable = "resume" in signature(self._objective).parameters
        self._values: dict[int, float | None] = dict(job.past)
        """The study's metric at each epoch; the champion's training may lack it."""
        self._saved = time.monotonic()

    def train(self) -> TrialDone | TrialStopped:
        """Train to the end, or until the pruner prunes or the driver stops the trial."""
        job = self._job
        settings = from_plain(job.settings, self._settings_class)
        data = None
        if job.data is not None:
            data = dataset(job.data, job.settings["data"], job.data_sha256)
        resume = {} if job.state is None else {"resume": unpack(job.state)}
        try:
            with threads.use(job.threads):
                outcome = self._objective(settings, data, self._report, **resume)
        except _Pruned as end:
            return self._done(end.outcome, pruned=True, by=self._pruner)
        except optuna.TrialPruned as end:  # the objective prunes itself
            if not self._values:
                early = RuntimeError("the objective pruned its trial before it reported an epoch")
                raise early.with_traceback(end.__traceback__) from None
            kept = end.outcome if isinstance(end, Pruned) else None
            return self._done(kept or Outcome(max(self._values)), pruned=True)
        except _Stopped:
            return TrialStopped(job.trial, job.attempt)
        return self._done(outcome)

    def _report(self, epoch: Epoch) -> None:
        metrics = self._validated(epoch)
        digests, seconds = validation.digests_of(epoch), validation.seconds_of(epoch)
        number, value = int(epoch.number), metrics.get(self._job.metric)
        self._values[number] = value
        pruned = (
            self._pruner is not None and value is not None and self._pruner.prunes(number, value)
        )
        stop = not pruned and self._stopping()
        self._send(
            EpochDone(
                self._job.trial, self._job.attempt, number, metrics, digests, seconds,
                self._checkpoint(epoch, pruned=pruned, stop=stop), imported=self._new_imports(),
            )
        )  # fmt: skip
        if pruned:
            # Valid only until `report` returns, so the model is built here.
            raise _Pruned(Outcome(number) if epoch.outcome is None else epoch.outcome())
        if stop:
            raise _Stopped

    def _validated(self, epoch: Epoch) -> dict[str, float]:
        """Return the metrics of an epoch as plain floats; reject what the search cannot use."""
        due = max(self._values, default=0) + 1
        if epoch.number != due:
            raise ValueError(f"report: got epoch {epoch.number}, expected the next one: {due}")
        metrics = validation.metrics_of(epoch)
        if self._job.metric not in metrics and not (self._job.final and metrics):
            raise ValueError(
                f"study.metric: the objective does not report {self._job.metric!r}, expected one "
                f"of its metrics: {', '.join(metrics) or 'it has none'}"
            )
        return metrics

    def _checkpoint(self, epoch: Epoch, *, pruned: bool, stop: bool) -> bytes | None:
        """Return the packed state if a checkpoint is due.

        Never of an epoch that is pruned: a trial resumes only if it continued.
        """
        due = stop or time.monotonic() - self._saved >= self._job.checkpoint_seconds
        due |= self._job.keep_state and epoch.number == self._job.settings.get("epochs")
        if pruned or not due or epoch.state is None or not self._resumable:
            return None
        packed = pack(epoch.state())
        self._saved = time.monotonic()
        # One that is too large must not fail the trial, or the time of checkpoints would matter.
        return packed if len(packed) <= MOST_BYTES else None

    def _new_imports(self) -> dict[str, str] | None:
        """Return what this process has imported from elsewhere, if that has changed."""
        if not self._job.own_modules:  # our own objective imports nothing else
            return None
        try:
            found = imported.files(self._job.own_modules)
        except Exception:  # the record lacks them, but that is no failure of the trial
            return None
        if found == self._imported:
            return None
        self._imported = found
        return found

    def _done(
        self, outcome: Outcome, *, pruned: bool = False, by: PrunerStudy | None = None
    ) -> TrialDone:
        """Return the end of a trial; its value is that of the epoch whose weights are kept."""
        if not isinstance(outcome, Outcome):
            raise TypeError(f"the objective returned {outcome!r}, expected an Outcome")
        if not self._values:
            raise RuntimeError("the objective reported no epoch")
        if outcome.epoch not in self._values:
            raise ValueError(
                f"Outcome.epoch: got {outcome.epoch!r}, expected the number of a reported epoch: "
                f"1 to {max(self._values)}"
            )
        value = self._values[outcome.epoch]
        returned = validation.reason_of(outcome)
        reason = "pruned" if pruned else returned
        if returned == "diverged" or (value is not None and not math.isfinite(value)):
            reason = "diverged"
        model = validation.model_of(outcome) if self._job.keep_model else None
        return TrialDone(
            self._job.trial,
            self._job.attempt,
            "pruned" if reason in ("pruned", "diverged") else "complete",
            TrialOutcome(
                value=value,
                epoch=int(outcome.epoch),
                reason=reason,
                attributes=self._pruner.attributes if self._pruner else {},
                pruned=by.explain() if by and reason == "pruned" else None,
                parameter_count=validation.parameter_count_of(outcome),
            ),
            None if model is None else PackedModel.of(model),
            validation.files_of(outcome),
            imported=self._new_imports(),
        )


@lru_cache(maxsize=4)
def dataset(folder: str, name: str, sha256: str | None) -> Any:
    """Return a memory-mapped dataset; a worker opens each once.

    On another machine the driver's cache folder may not exist: then the dataset comes from that
    machine's RETRIAL_DATA, or the user's folder, and must have the same checksum.
    """
    from nets import data

    try:
        found = data.open_cached(Path(folder))
    except InputError:
        own = os.environ.get("RETRIAL_DATA")
        found = data.load(name, Path(own) if own else data.default_folder())
    if sha256 is not None and found.sha256 != sha256:
        raise InputError(
            "data",
            problem=f"{name} has SHA-256 {found.sha256[:12]} on {platform.node()}",
            expected=f"the study's: {sha256[:12]}",
        )
    return found
