"""Finished trials, appended to Optuna's storage, so that Optuna's own tools read the study.

The storage is fed from the ledger in trial order by a thread that the search never waits for; its
number of trials says how far it is, so a restart goes on where it stopped. Open trials are in no
Optuna storage.
"""

import contextlib
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection

from nets.errors import InputError
from studies.definition.optuna_internals import storage_of
from studies.definition.study_file import Study
from studies.search.sampling_view import finished_trial
from studies.workers.history import result_of
from tracking.ledger.access import Ledger, TrialRecord


class OptunaFeed:
    """Follows the ledger and appends what is finished; a `Listener` of the search."""

    def __init__(self, ledger: Path, study: Study, url: str) -> None:
        self._ledger_path = ledger
        self._study = study
        self._url = url
        self._news = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="optuna feed", daemon=True)
        self.problem: str | None = None
        """What keeps the storage from being up to date, in one line."""

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def notify(self) -> None:
        """Say that there is something new in the ledger."""
        self._news.set()

    def finish(self) -> None:
        """Append what is left and stop; what cannot be appended now is appended another time."""
        self._closing = True
        self._news.set()
        self._thread.join()

    def _run(self) -> None:
        ledger: Ledger | None = None
        storage: optuna.storages.RDBStorage | None = None
        target: Target | None = None
        while True:
            # Read before feeding: what is committed before `finish` is then always fed.
            closing = self._closing
            try:
                ledger = ledger or Ledger(self._ledger_path)
                storage = storage or open_storage(self._url)
                target = target or Target(storage, self._study)
                target.append_finished(ledger)
                self.problem = None
            except Exception as error:  # the search goes on whatever befalls the storage
                self.problem = f"Optuna's storage: {type(error).__name__}: {error}".split("\n")[0]
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
    """Open Optuna's storage; raises InputError where a driver for the database is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return optuna.storages.RDBStorage(url)
        except ImportError as error:
            raise InputError(
                f"study.storage: got {url.split('@')[-1]!r}: {error}; for PostgreSQL install it "
                "with: pip install 'psycopg[binary]'"
            ) from error


def close_storage(storage: optuna.storages.RDBStorage | None) -> None:
    """Close the connections of a storage, which a server would otherwise count until it is gone."""
    if storage is not None:
        with contextlib.suppress(Exception):  # one that is broken is closed already
            storage.remove_session()
        storage.engine.dispose()


def trials_in(url: str, study: str) -> int | None:
    """Return how many trials a storage has of a study; None where it does not know the study."""
    with _existing(url) as storage:
        if storage is None:
            return None
        try:
            known = storage.get_study_id_from_name(study)
        except KeyError:
            return None
        return int(storage.get_n_trials(known))


def remove(url: str, study: str) -> None:
    """Remove a study from a storage, where it has it."""
    with _existing(url) as storage, contextlib.suppress(KeyError):
        if storage is not None:
            storage.delete_study(storage.get_study_id_from_name(study))


@contextlib.contextmanager
def _existing(url: str) -> Iterator[optuna.storages.RDBStorage | None]:
    """Open a storage without creating the file of one."""
    path = url.removeprefix("sqlite:///")
    storage = None if path != url and not Path(path).is_file() else open_storage(url)
    try:
        yield storage
    finally:
        close_storage(storage)


class Target:
    """A study in Optuna's storage, found or created."""

    def __init__(self, storage: optuna.storages.BaseStorage, study: Study) -> None:
        self._study = study
        self._stored = optuna.create_study(
            storage=storage,
            study_name=study.name,
            direction=StudyDirection[study.section.direction.name],
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        # Counted once: Optuna reads all trials for it.
        self._present = storage.get_n_trials(storage_of(self._stored)[1])

    def append_finished(self, ledger: Ledger) -> int:
        """Append finished trials in trial order, as far as there is no gap; returns how many."""
        before = self._present
        for record in ledger.trials(self._study.name, from_number=before):
            if record.state == "running":
                break
            self._stored.add_trial(self._frozen(record, ledger))
            self._present += 1
        return self._present - before

    def _frozen(self, record: TrialRecord, ledger: Ledger) -> optuna.trial.FrozenTrial:
        epochs = ledger.epochs(self._study.name, record.number)
        result = result_of(record, epochs, self._study.section.metric)
        reason = record.outcome.get("reason", "failed")
        attributes: dict[str, Any] = {"reason": reason, "seed": record.settings.get("seed")}
        return finished_trial(self._study, record, result, attributes)
