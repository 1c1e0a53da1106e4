"""Optuna's storage on a real PostgreSQL server, by its URL in the study file."""

import optuna
import pytest
from drivers import Driver, write_study
from searches import a_study, search

from studies.recording.optuna_storage import (
    OptunaFeed,
    Target,
    close_storage,
    open_storage,
    trials_in,
)
from studies.workers.local import LocalEngine


@pytest.mark.slow
def test_finished_trials_are_appended_in_order_and_once(postgresql, ledger):
    url = postgresql.database()
    study = a_study(trials=6, storage=url)
    search(study, ledger, LocalEngine(2))
    storage = open_storage(url)
    assert [Target(storage, study).append_finished(ledger) for _ in range(2)] == [6, 0]
    stored = optuna.load_study(study_name=study.name, storage=storage)
    assert [t.number for t in stored.trials] == list(range(6))
    records = ledger.trials(study.name)
    assert [t.value for t in stored.trials] == [record.value for record in records]
    assert stored.best_trial.value == max(record.value for record in records)
    close_storage(storage)


@pytest.mark.slow
def test_a_search_fills_the_storage_of_its_study_file(postgresql, tmp_path):
    url = postgresql.database()
    file = write_study(tmp_path, trials=5, study=f"storage = '{url}'")
    code, _, errors = Driver(file, tmp_path / "store", "--jobs", "1").finish()
    assert (code, errors) == (0, "")
    assert trials_in(url, "curves") == 5
    assert not (tmp_path / "store" / "optuna.db").exists()


@pytest.mark.slow
def test_a_storage_that_is_away_is_caught_up_when_it_is_back(postgresql, ledger):
    url = postgresql.database()
    study = a_study(trials=6, storage=url)
    feed = OptunaFeed(ledger.path, study, url)
    postgresql.stop()
    try:
        feed.start()
        search(study, ledger, LocalEngine(1))
        feed.finish()
        assert feed.problem.startswith("Optuna's storage: OperationalError: ")
    finally:
        postgresql.start()
    again = OptunaFeed(ledger.path, study, url)
    again.start()
    again.finish()
    assert again.problem is None
    assert trials_in(url, study.name) == 6
