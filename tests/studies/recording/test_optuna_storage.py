"""Optuna's storage: finished trials in trial order, readable by Optuna, caught up when behind."""

import itertools
import sqlite3
from contextlib import closing

import optuna
import pytest
import sqlalchemy
from searches import MIXED, ShuffledEngine, a_study, search
from waiting import until

from studies.definition.optuna_internals import TRIAL_STATES
from studies.recording.optuna_storage import (
    OptunaFeed,
    Target,
    close_storage,
    open_storage,
    trials_in,
)
from tracking.ledger.retries import retry_failed


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'optuna.db'}"


@pytest.fixture
def storage(url):
    storage = open_storage(url)
    yield storage
    close_storage(storage)


def searched(ledger, generator, trials=12, **section):
    """A study whose trials finish out of order, some pruned, some diverged."""
    study = a_study(MIXED, {"fault": "nan"}, trials=trials, pruner={"name": "hyperband"}, **section)
    search(study, ledger, ShuffledEngine(4, generator))
    return study


def feed(ledger, study, url):
    feed = OptunaFeed(ledger.path, study, url)
    feed.start()
    feed.finish()
    return feed


def test_optuna_reads_what_the_ledger_has(ledger, generator, url, storage):
    study = searched(ledger, generator)
    assert feed(ledger, study, url).problem is None
    stored = optuna.load_study(study_name=study.name, storage=storage)
    records = ledger.trials(study.name)
    assert [trial.number for trial in stored.trials] == [r.number for r in records]
    for trial, record in zip(stored.trials, records, strict=True):
        assert trial.state == TRIAL_STATES[record.state]
        assert trial.params == record.parameters
        assert trial.user_attrs["seed"] == record.settings["seed"]
        epochs = ledger.epochs(study.name, record.number)
        assert repr(list(trial.intermediate_values.items())) == repr(
            [(epoch.number, epoch.metrics["value"]) for epoch in epochs]
        )
        assert trial.datetime_start.timestamp() == pytest.approx(record.started, abs=1e-5)
        assert trial.datetime_complete.timestamp() == pytest.approx(record.finished, abs=1e-5)
    best = max((r for r in records if r.state == "complete"), key=lambda r: r.value)
    assert (stored.best_trial.number, stored.best_value) == (best.number, best.value)
    assert {trial.user_attrs["reason"] for trial in stored.trials} >= {"finished", "diverged"}


def test_a_storage_whose_creation_was_interrupted_at_any_statement_is_completed(
    ledger, generator, tmp_path
):
    study = searched(ledger, generator, trials=2)
    whole = tmp_path / "whole.db"
    close_storage(open_storage(f"sqlite:///{whole}"))
    with closing(sqlite3.connect(whole)) as database:
        schema = set(database.execute("SELECT name, sql FROM sqlite_master"))

    def interrupt(*_):
        statements.pop()  # raises IndexError after the last one

    counts = itertools.count(1)
    interrupted = True
    while interrupted:
        statements = [None] * next(counts)
        path = tmp_path / f"{len(statements)}.db"
        sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", interrupt)
        try:
            close_storage(open_storage(f"sqlite:///{path}"))
            interrupted = False
        except IndexError:
            pass
        finally:
            sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", interrupt)
        for _ in range(2):
            assert feed(ledger, study, f"sqlite:///{path}").problem is None
        assert trials_in(f"sqlite:///{path}", study.name) == 2
        with closing(sqlite3.connect(path)) as database:
            assert set(database.execute("SELECT name, sql FROM sqlite_master")) == schema
            assert database.execute("SELECT COUNT(*) FROM studies").fetchone() == (1,)
    assert next(counts) > 30


def test_feed_that_was_behind_goes_on_where_it_stopped(ledger, generator, url):
    for total in (5, 5, 12):
        study = searched(ledger, generator, trials=total)
        feed(ledger, study, url)
        assert trials_in(url, study.name) == total


def test_open_trials_hold_back_those_behind_them(ledger, generator, storage):
    study = searched(ledger, generator)
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET state = 'running' WHERE number = 4")
    target = Target(storage, study)
    assert target.append_finished(ledger) == 4
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET state = 'complete' WHERE number = 4")
    assert target.append_finished(ledger) == 8


def test_a_trial_that_is_trained_again_gets_its_new_result(
    ledger, generator, url, storage, monkeypatch
):
    study = a_study(MIXED, {"fault": "raise"}, trials=12)
    search(study, ledger, ShuffledEngine(4, generator))
    feed(ledger, study, url)
    failed = retry_failed(ledger, study.name, 12)
    feed(ledger, study, url)  # as by a driver that is killed before they have finished
    stored = optuna.load_study(study_name=study.name, storage=storage)
    assert [t.number for t in stored.trials if t.state.name == "FAIL"] == failed
    monkeypatch.setenv("CURVES_FIXED", "1")
    following = Target(storage, study)
    following.append_finished(ledger)
    search(study, ledger, ShuffledEngine(4, generator))
    following.append_finished(ledger)
    storage.remove_session()
    found = optuna.load_study(study_name=study.name, storage=storage).trials
    for trial, record in zip(found, ledger.trials(study.name), strict=True):
        assert trial.state == TRIAL_STATES[record.state]
        assert (trial.number, trial.value) == (record.number, record.value)
        assert list(trial.intermediate_values) == [1, 2, 3, 4, 5, 6]
        assert trial.user_attrs.get("retries", 0) == (record.number in failed)
        assert trial.datetime_complete.timestamp() == pytest.approx(record.finished, abs=1e-5)


def stored_rows(path):
    """The number of trials in a storage that may not be complete yet."""
    try:
        with closing(sqlite3.connect(path)) as database:
            return database.execute("SELECT count(*) FROM trials").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_feed_follows_while_the_search_runs(ledger, generator, url, tmp_path):
    study = a_study(trials=6)
    follower = OptunaFeed(ledger.path, study, url)
    follower.start()
    search(study, ledger, ShuffledEngine(2, generator))
    follower.notify()
    until(lambda: stored_rows(tmp_path / "optuna.db") == 6)
    assert follower.problem is None
    follower.finish()


def test_storage_that_cannot_be_opened_is_a_problem_and_no_failure(ledger, generator, tmp_path):
    study = searched(ledger, generator, trials=2)
    (tmp_path / "file").write_text("")
    broken = feed(ledger, study, f"sqlite:///{tmp_path / 'file' / 'optuna.db'}")
    assert broken.problem.startswith("Optuna's storage: OperationalError: ")
    assert "\n" not in broken.problem
