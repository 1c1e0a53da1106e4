"""A search with many simulated workers: their time is simulated, the driver's time is real.

Every trial is a recorded training whose epochs take a given simulated time; it is pruned by the
rule, as in a worker. Only the driver's own computation is measured, and it advances the simulated
clock: a worker whose trial has ended waits until the driver is free.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import recorded
from benchmarks.utilization import study
from studies.definition.study_file import Study
from studies.search.driver import Plan, Search
from studies.workers.messages import EpochDone, Event, Job, TrialDone
from studies.workers.pruning import History, PrunerStudy
from tracking.ledger import Ledger
from tracking.records import Environment, TrialOutcome, TrialRecord


@dataclass(frozen=True)
class Simulated:
    """The result of a simulated search."""

    utilization: float
    """Share of the workers' time spent training, up to the start of the last trial."""
    driver_load: float
    """Share of the time in which the driver was busy."""
    driver_milliseconds: float
    """The driver's time per trial."""


def simulate(workers: int, trials: int, trial_seconds: float, sampler: str = "tpe") -> Simulated:
    """Search with a window of four times the workers; a full trial takes `trial_seconds`."""
    searched = study(trials, 4 * workers, sampler={"name": sampler})
    engine = SimulatedEngine(workers, trial_seconds / recorded.EPOCHS)
    run(searched, engine)
    last = max(start for start, _ in engine.trainings)
    trained = sum(min(end, last) - start for start, end in engine.trainings)
    return Simulated(
        trained / workers / last,
        engine.driver / engine.clock,
        1000 * engine.driver / trials,
    )


def run(searched: Study, engine: SimulatedEngine) -> list[TrialRecord]:
    """Search a study over the recorded table; return its trials."""
    with TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.db") as ledger:
        ledger.add_study(searched.name, searched.definition, Environment())
        plan = Plan(study=searched, total=searched.section.trials, folders={})
        search = Search(plan, ledger, engine)
        engine.begin()
        search.run()
        return ledger.trials(searched.name)


class SimulatedEngine:
    """Workers that train in simulated time."""

    def __init__(self, count: int, epoch_seconds: float) -> None:
        self.clock = 0.0
        self.driver = 0.0
        self.trainings: list[tuple[float, float]] = []
        """Start and end of each."""
        self._count = count
        self._epoch_seconds = epoch_seconds
        self._history = History()
        self._due: list[tuple[float, int, int, Event]] = []
        self._running = 0
        self._since = 0.0

    def begin(self) -> None:
        """Start to measure the driver's time."""
        self._since = time.process_time()

    @property
    def free(self) -> int:
        """Number of idle workers."""
        return self._count - self._running

    def start(self, job: Job) -> str:
        """Train a full trial, and keep its events until they are due."""
        self._pause()
        self._running += 1
        asked = None
        if job.pruning is not None:
            known = len(self._history._trials)
            asked = PrunerStudy(job.pruning.after(known), self._history)
        now, number, pruned = self.clock, 0, False
        losses = recorded.curve(recorded.Place(**job.settings))
        for number, loss in enumerate(losses, start=1):
            now += self._epoch_seconds
            pruned = asked is not None and asked.prunes(number, loss)
            epoch = EpochDone(job.trial, job.attempt, number, {"val_loss": loss}, {}, 0.0)
            heapq.heappush(self._due, (now, job.trial, number, epoch))
            if pruned:
                break
        self.trainings.append((self.clock, now))
        outcome = TrialOutcome(
            value=losses[number - 1], epoch=number,
            attributes=asked.attributes if asked else {},
            reason="pruned" if pruned else "finished",
        )  # fmt: skip
        end = TrialDone(job.trial, job.attempt, "pruned" if pruned else "complete", outcome)
        heapq.heappush(self._due, (now, job.trial, recorded.EPOCHS + 1, end))
        self.begin()
        return "simulated"

    def events(self, timeout: float) -> Iterable[Event]:
        """Advance the clock to the next event, and return the events that are due."""
        self._pause()
        if self._due:
            self.clock = max(self.clock, self._due[0][0])
        events = []
        while self._due and self._due[0][0] <= self.clock:
            events.append(heapq.heappop(self._due)[-1])
        self._running -= sum(isinstance(event, TrialDone) for event in events)
        self.begin()
        return events

    def _pause(self) -> None:
        """Add the driver's computation to its time and to the simulated clock."""
        taken = time.process_time() - self._since
        self.driver += taken
        self.clock += taken

    def stop_trials(self) -> None:
        """Do nothing: simulated trials are not stopped."""

    def close(self) -> None:
        """Do nothing: no resource is open."""
