"""The search: one driver asks for trials, starts them on workers and commits their events.

Only this process uses Optuna and writes the ledger. The loop: ask while the search rule allows it
and a worker is free, wait for events, commit each to the ledger, notify listeners. Which worker is
faster changes when something happens, and never what.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from optuna.trial import FrozenTrial

from nets.settings import to_plain
from studies.definition import pruners
from studies.definition.study_file import Study
from studies.definition.study_section import bytes_of
from studies.search.sampling_view import View
from studies.search.stopping import met, same_failure
from studies.workers.engine import Engine
from studies.workers.messages import (
    MAX_CRASHES,
    EpochDone,
    Event,
    Job,
    Limits,
    Notice,
    PruningContext,
    Result,
    TrialDone,
    TrialStopped,
    WorkerCrashed,
)
from tracking.ledger import Ledger
from tracking.records import Environment, EpochRecord, Failure, SearchEnd, TrialRecord, Values


class Listener(Protocol):
    """Is notified of events after they are committed; each method returns at once."""

    def started(self, trial: TrialRecord) -> None:
        """Handle an attempt that has started."""

    def epoch(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Handle an epoch of an open trial."""

    def finished(self, trial: TrialRecord) -> None:
        """Handle a trial that is complete, pruned or failed."""

    def warned(self, message: str) -> None:
        """Show the user a warning."""

    def waited(self) -> None:
        """Handle the passing of time: called several times per second."""


@dataclass(frozen=True)
class Plan:
    """What one search is to do."""

    study: Study
    total: int
    """Number of trials that the study has at the end."""
    folders: Mapping[str, str]
    """Folder of each dataset by its name."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each dataset by its name, for workers that have their own copy."""
    threads: int = 1
    checkpoint_seconds: float = 30.0
    deadline: float | None = None
    """On the monotonic clock: no trial is asked after it."""
    environment: Environment | None = None
    """Where trials train, unless the worker describes itself."""


class Search:
    """One driver's search of one study, from where the ledger stands."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        engine: Engine,
        listeners: Sequence[Listener] = (),
        earlier: Sequence[FrozenTrial] = (),
    ) -> None:
        self._plan = plan
        self._study = plan.study
        self._ledger = ledger
        self._engine = engine
        self._listeners = listeners
        self._records = {record.number: record for record in ledger.trials(self._study.name)}
        self._results: dict[int, Result] = {
            number: Result.of(record, ledger.epochs(self._study.name, number), self._metric)
            for number, record in self._records.items()
            if record.is_finished
        }
        self._retries = sorted({e.asked for r in self._records.values() for e in r.earlier})
        self._prefix: list[Result] = []
        self._extend_prefix()
        stored = ledger.study(self._study.name)
        self._extends = None if stored is None else stored.notes.extends
        self._view = View(self._study, earlier, self._extends)
        self._view.rebuild(list(self._records.values()), self._prefix)
        self._waiting = deque(n for n in self._records if n not in self._results and n < plan.total)
        self._running: dict[int, int] = {}
        self._imported: dict[int, dict[str, str]] = {}
        self._pruner = pruners.build(self._study.section.pruner, self._study.epochs)
        self._stopping: SearchEnd | None = None
        self._stop_requested = False
        self.is_over = False

    @property
    def _metric(self) -> str:
        return self._study.section.metric

    @property
    def failure(self) -> Failure | None:
        """The failure that all of the first trials ended with, or None."""
        return same_failure([self._records.get(number) for number in self._first])

    @property
    def _first(self) -> range:
        """The trials that stop the study when they all fail alike."""
        start = self._extends.copies if self._extends else 0
        return range(start, min(start + self._study.section.window, self._plan.total))

    def stop(self, reason: SearchEnd = "stopped") -> None:
        """Ask no more trials; running ones stop at the end of their epoch and stay open.

        A signal handler may call this: it only sets a flag that `run` checks.
        """
        if self._stopping is None:
            self._stopping = reason

    def run(self) -> SearchEnd:
        """Search until the study is complete, stopped, timed out or failing."""
        try:
            return self._run()
        finally:
            self.is_over = True

    def _run(self) -> SearchEnd:
        while True:
            self._check_end()
            if self._stopping is None:
                self._fill_workers()
            elif not self._stop_requested:
                self._request_stop()
            if not self._running and (self._stopping is not None or not self._waiting):
                return self._stopping or "finished"
            for event in self._engine.events(timeout=0.2):
                self._handle(event)
                del event  # its model, which may be large, while the next one is received
            for listener in self._listeners:
                listener.waited()

    def _request_stop(self) -> None:
        self._stop_requested = True
        self._engine.stop_trials()
        if self._stopping == "stopped" and self._running:
            self._warn(
                "stopping at the end of the running epochs; press Ctrl-C again to stop at once"
            )

    def _check_end(self) -> None:
        if self._stopping is None and self.failure is not None:
            self.stop("failed")
        deadline = self._plan.deadline
        if self._stopping is None and deadline is not None and time.monotonic() >= deadline:
            self.stop("timeout")

    # Asking and starting

    def _fill_workers(self) -> None:
        """Start trials on all free workers, and ask one ahead so that no worker waits for it."""
        while self._engine.free and (self._waiting or self._ask()):
            self._start(self._waiting.popleft())
        if not self._waiting:
            self._ask()

    def _ask(self) -> bool:
        """Ask for the next trial if the rule allows it now; return whether it did."""
        number = self._view.asked
        if number >= self._plan.total or len(self._prefix) < self._view.needs:
            return False
        # The file's first trials come first. A trial that a user wants is no matter of a stop rule.
        is_first = self._view.first(number) is not None
        queued = None if is_first else next(iter(self._ledger.queued(self._study.name)), None)
        if self._in_doubt(number) or (queued is None and self._stop_rule_met()):
            return False
        while self._view.known < self._view.needs:
            self._view.tell(self._prefix[self._view.known])
        asked = self._view.ask(None if queued is None else queued.parameters)
        attributes = asked.attributes
        if queued is not None:
            attributes = replace(attributes, added=queued.added)
        record = TrialRecord(
            study=self._study.name,
            number=number,
            state="running",
            settings=self._settings(number, asked.parameters),
            parameters=asked.parameters,
            sampler_attributes=attributes,
            asked=time.time(),
        )
        self._ledger.add_trial(record)
        self._records[number] = record
        self._waiting.append(number)
        return True

    def _settings(self, number: int, chosen: Values) -> Values:
        """Return the settings of a trial as plain values.

        Each value is in the space, but the settings class may reject their combination. Then they
        stay plain: the worker builds the settings too, and fails the trial with the message.
        """
        try:
            return to_plain(self._study.settings(number, chosen))
        except Exception:  # a settings class may be anyone's
            return self._study.values(number, chosen)

    def _in_doubt(self, number: int) -> bool:
        """Return whether the study may still stop because its first trials all fail alike.

        Until that is decided no other trial is asked, or the trials of a study with an error in it
        would depend on the number of workers.
        """
        if number not in self._first:
            known = [self._records[n] for n in self._first if n in self._results]
            return len(known) < len(self._first) and same_failure(known) is not None
        return False

    def _stop_rule_met(self) -> bool:
        section = self._study.section
        known = self._prefix[: self._view.needs]
        return section.stop is not None and met(section.stop, known, section.direction.better)

    def _start(self, number: int) -> None:
        """Start an attempt at a trial, from its last checkpoint if it has one."""
        record = self._records[number]
        # Counted before it is sent: a driver killed in between has only used up a number.
        attempt = self._ledger.start_attempt(self._study.name, number)
        last, state = self._ledger.checkpoint(self._study.name, number) or (0, None)
        epochs = self._ledger.epochs(self._study.name, number)
        past = {e.number: e.metrics[self._metric] for e in epochs if e.number <= last}
        section = self._study.section
        job = Job(
            trial=number,
            attempt=attempt,
            objective=section.objective,
            settings_class=section.settings,
            settings=record.settings,
            data=self._plan.folders.get(record.settings.get("data", "")),
            data_sha256=self._plan.digests.get(record.settings.get("data", "")),
            own_modules=tuple(self._study.own_modules),
            pruning=self._pruning(number, past),
            metric=section.metric,
            state=state,
            past=past,
            threads=self._plan.threads,
            limits=self._limits(sum(e.seconds for e in epochs if e.number <= last)),
            keep_model=section.models == "all",
            keep_state=section.keep_state,
            checkpoint_seconds=self._plan.checkpoint_seconds,
        )
        worker = self._engine.start(job)
        self._ledger.name_worker(self._study.name, number, worker)
        self._records[number] = replace(
            record, attempts=attempt, worker=worker, started=record.started or time.time()
        )
        self._running[number] = attempt
        for listener in self._listeners:
            listener.started(self._records[number])

    def _limits(self, spent: float) -> Limits | None:
        """Return the limits of an attempt at a trial whose epochs so far took `spent` seconds."""
        memory, seconds = self._study.section.memory, self._study.section.trial_seconds
        if memory is None and seconds is None:
            return None
        return Limits(memory, None if memory is None else bytes_of(memory), seconds, spent)

    def _pruning(self, number: int, past: Mapping[int, float]) -> PruningContext | None:
        """Return what the worker needs to prune by the search rule: trials 0..k-W, no others."""
        section = self._study.section
        if section.pruner.name == "none":
            return None
        known = self._view.needed(number)
        retries = sum(number < asked for asked in self._retries)
        return PruningContext(
            study=section.name,
            direction=section.direction,
            pruner=self._pruner,
            number=number,
            known=known,
            history=self._prefix[:known] if not retries else self._seen(number, known),
            past=dict(past),
            retries=retries,
        )

    def _seen(self, number: int, known: int) -> list[Result]:
        """Return the results of the first trials as they were when trial `number` was asked.

        Those that have been retried since had failed.
        """
        return [
            Result.failure()
            if any(number < earlier.asked for earlier in self._records[n].earlier)
            else self._results[n]
            for n in range(known)
        ]

    # Events

    def _handle(self, event: Event) -> None:
        if isinstance(event, Notice):
            self._warn(event.message)
            return
        if self._running.get(event.trial) != event.attempt:
            return
        if event.imported is not None:
            self._imported[event.trial] = event.imported
        match event:
            case EpochDone():
                self._epoch_done(event)
            case TrialDone(state="failed") if self._stopping == "stopped":
                # Stopping a search may also have ended what the objective started, as a service
                # manager does. If that was not the cause, the trial will fail again.
                self._leave_open(event.trial)
            case TrialDone():
                self._finish(event)
            case TrialStopped():
                self._leave_open(event.trial)
            case WorkerCrashed():
                self._worker_crashed(event)

    def _epoch_done(self, event: EpochDone) -> None:
        epoch = EpochRecord(event.number, event.metrics, event.digests, event.seconds, time.time())
        equal = self._ledger.add_epoch(self._study.name, event.trial, epoch, event.state)
        for listener in self._listeners:
            listener.epoch(self._records[event.trial], epoch)
        if not equal:
            self._warn(
                f"trial {event.trial}: epoch {event.number} gave other results when it was "
                "repeated; the objective is not deterministic, or the machine has changed"
            )

    def _leave_open(self, number: int) -> None:
        """Queue a trial for another attempt, before all others."""
        del self._running[number]
        self._waiting.appendleft(number)

    def _finish(self, event: TrialDone) -> None:
        name, number = self._study.name, event.trial
        outcome = event.outcome
        environment = outcome.environment or self._plan.environment
        if environment is not None and (imported := self._imported.pop(number, None)) is not None:
            environment = replace(environment, imported=imported)
        before = self._records[number].outcome
        outcome = replace(
            outcome, environment=environment, earlier=before.earlier, stages=before.stages
        )
        keep = self._study.section.keep_state and event.state == "complete"
        self._ledger.finish_trial(
            name, number, event.state, outcome, event.model, event.files, keep_checkpoint=keep
        )
        record = self._ledger.trial(name, number)
        assert record is not None
        self._records[number] = record
        self._results[number] = Result.of(record, self._ledger.epochs(name, number), self._metric)
        del self._running[number]
        self._extend_prefix()
        for listener in self._listeners:
            listener.finished(record)

    def _worker_crashed(self, event: WorkerCrashed) -> None:
        if self._stopping is not None:
            # Stopping a search may also have ended its workers, which does not count.
            self._leave_open(event.trial)
            return
        crashes = self._ledger.add_crash(self._study.name, event.trial)
        if crashes < MAX_CRASHES:
            self._leave_open(event.trial)
            self._warn(f"trial {event.trial}: its worker crashed ({event.reason}); retrying")
            return
        self._finish(event.as_failure(crashes))

    def _warn(self, message: str) -> None:
        for listener in self._listeners:
            listener.warned(message)

    def _extend_prefix(self) -> None:
        """Extend the results of the trials from 0 on that have finished without a gap."""
        while len(self._prefix) in self._results:
            self._prefix.append(self._results[len(self._prefix)])
