"""The cost of one more trial for the driver and a worker, at 100, 1,000 and 10,000 finished trials.

Everything runs on one thread, and the times are processor time, which excludes other processes.
"""

from __future__ import annotations

import json
import pickle
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import recorded
from benchmarks.utilization import study
from nets.settings import to_plain
from studies.definition.study_file import Study
from studies.search.driver import Plan, Search
from studies.workers.messages import EpochDone, Event, Job, TrialDone
from studies.workers.pruning import History, PrunerStudy
from tracking.ledger import Ledger
from tracking.records import Environment, TrialOutcome

MORE = 20
"""Number of trials that are added."""


@dataclass(frozen=True)
class Cost:
    """Milliseconds per trial, except for the rebuild; bytes of a job.

    `first_bytes` is the size of a job for a new worker, `later_bytes` that for a known one.
    """

    rebuild_seconds: float
    ask: float
    driver: float
    worker: float
    first_bytes: int
    later_bytes: int


def cost(finished: int) -> Cost:
    """Measure the search of a study with a number of finished trials, with the TPE sampler."""
    searched = study(finished + MORE, 8)
    with TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.db")
        fill(ledger, searched, finished)
        engine = _Instant()
        began = time.process_time()
        plan = Plan(study=searched, total=finished + MORE, folders={})
        search = Search(plan, ledger, engine)
        rebuild = time.process_time() - began
        asks = _timed(search._view, "ask")
        began = time.process_time()
        search.run()
        whole = time.process_time() - began - engine.seconds
        ledger.close()
    return Cost(
        rebuild_seconds=rebuild,
        ask=1000 * statistics.median(asks),
        driver=1000 * whole / MORE,
        worker=1000 * statistics.median(engine.pruning),
        first_bytes=engine.bytes[0],
        later_bytes=int(statistics.median(engine.bytes[1:])),
    )


def fill(ledger: Ledger, searched: Study, finished: int) -> None:
    """Write finished trials into a ledger as a search would have, in one transaction."""
    generator = np.random.default_rng(0)
    ledger.add_study(searched.name, searched.definition, Environment())
    trials, epochs = [], []
    for number in range(finished):
        parameters = {
            name: int(generator.integers(ends["low"], ends["high"] + 1))
            for name, ends in recorded.SPACE.items()
        }
        curve = recorded.curve(recorded.Place(**parameters))
        pruned = bool(generator.random() < 0.5)
        length = int(generator.integers(1, recorded.EPOCHS)) if pruned else recorded.EPOCHS
        outcome = {"value": curve[length - 1], "epoch": length, "attributes": {}}
        settings = to_plain(searched.settings(number, parameters))
        trials.append(
            (
                searched.name, number, "pruned" if pruned else "complete", json.dumps(settings),
                json.dumps(parameters), '{"trial": {}, "study": {}}', 0.0, 0.0, 0.0, 1,
                json.dumps(outcome),
            )
        )  # fmt: skip
        epochs.extend(
            (searched.name, number, e, json.dumps({"val_loss": v}), "{}", 0.0, 0.0)
            for e, v in enumerate(curve[:length], start=1)
        )
    with ledger.transaction() as connection:
        connection.executemany(
            "INSERT INTO trial (study, number, state, settings, parameters, memory, asked, started,"
            " finished, attempts, outcome) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            trials,
        )
        connection.executemany("INSERT INTO epoch VALUES (?, ?, ?, ?, ?, ?, ?)", epochs)


class _Instant:
    """One worker that trains in no time; its own work is measured separately."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.pruning: list[float] = []
        self.bytes: list[int] = []
        self._history = History()
        self._sent = 0
        self._events: list[Event] = []

    @property
    def free(self) -> int:
        return int(not self._events)

    def start(self, job: Job) -> str:
        context = job.pruning
        assert context is not None
        sent = pickle.dumps(context.after(self._sent))  # the driver does this
        self.bytes.append(len(sent))
        self._sent = max(self._sent, context.known)
        began = time.process_time()
        asked = PrunerStudy(pickle.loads(sent), self._history)
        losses = recorded.curve(recorded.Place(**job.settings))
        for number, loss in enumerate(losses, start=1):
            asked.prunes(number, loss)
        taken = time.process_time() - began
        self.pruning.append(taken)
        self.seconds += taken
        self._events = [
            EpochDone(job.trial, job.attempt, number, {"val_loss": loss}, {}, 0.0)
            for number, loss in enumerate(losses, start=1)
        ]
        outcome = TrialOutcome(value=losses[-1], epoch=len(losses), attributes={})
        self._events.append(TrialDone(job.trial, job.attempt, "complete", outcome))
        return "here"

    def events(self, timeout: float) -> Iterable[Event]:
        events, self._events = self._events, []
        return events

    def stop_trials(self) -> None: ...

    def close(self) -> None: ...


def _timed(owner: object, name: str) -> list[float]:
    """Make a method append the duration of each call to a list, and return the list."""
    taken: list[float] = []
    method = getattr(owner, name)

    def timed(*arguments):  # type: ignore[no-untyped-def]
        began = time.process_time()
        try:
            return method(*arguments)
        finally:
            taken.append(time.process_time() - began)

    setattr(owner, name, timed)
    return taken
