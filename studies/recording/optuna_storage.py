"""Optuna's storage: finished trials are appended to it, so that Optuna's own tools read the study.

A thread that the search never waits for copies them from the ledger in trial order; the storage's
number of trials shows how far it is, so a restart continues there. Open trials are in no Optuna
storage, except one that is trained again: it is failed there until it has a new result.
"""

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import takewhile
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from nets.errors import ModuleMissing
from studies.definition.optuna_internals import (
    TRIAL_STATES,
    add_trials,
    create_missing_indexes,
    number_of_trials,
    replace_results,
)
from studies.definition.study_file import Study
from studies.workers.messages import Result
from tracking.ledger import Ledger
from tracking.records import TrialRecord
from tracking.runs.recorder import join
from tracking.store.store import one_line, without_password, without_secrets

BATCH = 100
"""Number of trials that are appended in one transaction."""

RETRIES = "retries"
"""User attribute of a trial that was trained again after it had failed: how often."""


class OptunaFeed:
    """Follows the ledger and appends finished trials to Optuna's storage."""

    def __init__(self, ledger: Path, study: Study, url: str) -> None:
        self._ledger_path = ledger
        self._study = study
        self._url = url
        self._news = threading.Event()
        self._closing = False
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="optuna feed", daemon=True)
        self.problem: str | None = None
        """What keeps the storage from being up to date, in one line."""

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def notify(self) -> None:
        """Notify the thread that the ledger has changed."""
        self._news.set()

    def finish(self, waiting: Callable[[], None] = lambda: None) -> None:
        """Append the rest and stop; what cannot be appended now, the next search appends.

        `waiting` is called again and again meanwhile.
        """
        self._closing = True
        self._news.set()
        join(self._thread, waiting)

    def stop(self) -> None:
        """Let `finish` return after the trial that is being appended."""
        self._stopped = True

    def _run(self) -> None:
        ledger: Ledger | None = None
        storage: optuna.storages.RDBStorage | None = None
        target: Target | None = None
        while True:
            # Read before appending: what is committed before `finish` is then always appended.
            closing = self._closing
            try:
                ledger = ledger or Ledger(self._ledger_path, create=False)
                storage = storage or open_storage(self._url)
                target = target or Target(storage, self._study)
                target.append_finished(ledger, lambda: self._stopped)
                self.problem = None
            except Exception as error:  # the search continues whatever happens to the storage
                self.problem = f"Optuna's storage: {type(error).__name__}: {one_line(error)}"
                close_storage(storage)
                storage = target = None
            if closing:
                break
            self._news.wait(timeout=5.0 if self.problem else None)
            self._news.clear()
        close_storage(storage)
        if ledger is not None:
            ledger.close()


def open_storage(url: str) -> optuna.storages.RDBStorage:
    """Open Optuna's storage; raises ModuleMissing where a database driver is missing."""
    with warnings.catch_warnings(action="ignore"):
        try:
            storage = optuna.storages.RDBStorage(url)
        except ImportError as error:
            raise ModuleMissing(
                "study.storage",
                problem=f"cannot open {without_password(without_secrets(url))!r}: {error}",
                hint="for PostgreSQL, install it with: pip install 'psycopg[binary]'",
            ) from error
    create_missing_indexes(storage)
    return storage


def close_storage(storage: optuna.storages.RDBStorage | None) -> None:
    """Close the connections of a storage, which a server would otherwise keep open."""
    if storage is not None:
        with contextlib.suppress(Exception):  # a broken one is closed already
            storage.remove_session()
        storage.engine.dispose()


def trials_in(url: str, study: str) -> int | None:
    """Return how many trials of a study a storage has; None if it lacks the study."""
    with _existing(url) as storage:
        if storage is None:
            return None
        try:
            return number_of_trials(storage, study)
        except KeyError:
            return None


def remove(url: str, study: str) -> None:
    """Remove a study from a storage, if it has it."""
    with _existing(url) as storage, contextlib.suppress(KeyError):
        if storage is not None:
            storage.delete_study(storage.get_study_id_from_name(study))


@contextlib.contextmanager
def _existing(url: str) -> Iterator[optuna.storages.RDBStorage | None]:
    """Open a storage without creating its file."""
    path = url.removeprefix("sqlite:///")
    storage = None if path != url and not Path(path).is_file() else open_storage(url)
    try:
        yield storage
    finally:
        close_storage(storage)


class Target:
    """A study in Optuna's storage, found or created."""

    def __init__(self, storage: optuna.storages.RDBStorage, study: Study) -> None:
        self._study = study
        self._database = storage
        optuna.create_study(
            storage=storage,
            study_name=study.name,
            direction=StudyDirection[study.section.direction.name],
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        self._present = number_of_trials(storage, study.name)
        self._retried: set[int] | None = None
        """Trials whose results there may be those of an earlier failure; None is unknown."""

    def append_finished(self, ledger: Ledger, stopped: Callable[[], bool] = lambda: False) -> int:
        """Append finished trials in order, to the first gap or until `stopped`; return how many."""
        before = self._present
        self._replace_retried(ledger)
        trials = ledger.trials(self._study.name, from_number=before)
        finished = list(takewhile(lambda trial: trial.state != "running", trials))
        while (due := finished[self._present - before :][:BATCH]) and not stopped():
            add_trials(self._database, self._study.name, [self._frozen(t, ledger) for t in due])
            self._present += len(due)
        return self._present - before

    def _replace_retried(self, ledger: Ledger) -> None:
        """Replace the results of trials that were trained again after they had been appended."""
        name = self._study.name
        if self._retried is None:  # a search retries trials at its start only
            trials = ledger.trials(name)[: self._present]
            self._retried = {trial.number for trial in trials if trial.earlier}
        trials = [trial for n in self._retried if (trial := ledger.trial(name, n)) is not None]
        done = {trial.number: trial for trial in trials if trial.is_finished}
        if done:
            frozen = {number: self._frozen(trial, ledger) for number, trial in done.items()}
            replace_results(self._database, name, frozen, RETRIES)
            self._retried -= done.keys()

    def _frozen(self, record: TrialRecord, ledger: Ledger) -> FrozenTrial:
        """Return a finished trial for Optuna's storage, with its recorded times."""
        epochs = ledger.epochs(self._study.name, record.number)
        result = Result.of(record, epochs, self._study.section.metric)
        trial = self._study.space.trial(
            record.parameters,
            TRIAL_STATES[result.state],
            value=result.value,
            system_attrs={**(record.sampler_attributes.trial or {}), **result.attributes},
            user_attrs={
                "reason": record.outcome.reason or "failed",
                "seed": record.settings.get("seed"),
                **({RETRIES: len(record.earlier)} if record.earlier else {}),
            },
            intermediate_values=result.intermediate,
        )
        trial.datetime_start = datetime.fromtimestamp(record.started or record.asked)
        trial.datetime_complete = datetime.fromtimestamp(record.finished or time.time())
        return trial
