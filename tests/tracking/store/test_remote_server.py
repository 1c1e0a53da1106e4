"""A real MLflow server on PostgreSQL that serves artifacts, and is stopped and restarted."""

import json
import os
import signal
import sys

import pytest
from mlflow_server import MLflowServer
from programs import Program, run_to_end
from waiting import until

from tracking.ledger import Ledger
from tracking.store import names
from tracking.store.store import open_store

pytestmark = pytest.mark.slow

STUDY = """
[study]
name = "digits"
trials = 10
seed = 3
pruner = { name = "median", startup_trials = 3, warmup_epochs = 3 }

[data]
name = "digits"
validation = 360

[network]
hidden = [32]

[training]
epochs = 8

[space]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
"""


@pytest.fixture(scope="module")
def database(postgresql, tmp_path_factory):
    """A database with MLflow's tables, created once for this module."""
    server = MLflowServer(url := postgresql.database(), tmp_path_factory.mktemp("none"))
    server.start()
    server.stop()
    return url


@pytest.fixture
def server(postgresql, database, tmp_path, monkeypatch):
    """A running server for one test, named by `MLFLOW_TRACKING_URI`."""
    server = MLflowServer(postgresql.copy(database), tmp_path / "artifacts")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    server.start()
    yield server
    server.stop()


def retrial(*arguments, **environment):
    """Run a command; return its exit code, stdout and stderr."""
    done = run_to_end(
        [sys.executable, "-m", "studies.cli.main", *arguments], env={**os.environ, **environment}
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "digits.toml"
    path.write_text(STUDY)
    return path


def searching(study, store):
    """Start a search in another process."""
    return Program("-m", "studies.cli.main", "search", study, "--jobs", "2", "--store", store)


def finished_trials(program):
    return [line.split()[1] for line in program.lines if line.startswith("trial ")]


def wait_for_trials(program, count):
    """Wait until a search has finished a number of trials."""
    until(lambda: len(finished_trials(program)) >= count, f"{count} trials")


def assert_all_of_it_is_recorded(store, contents):
    """Check that the server has everything in a store's ledger, once and in order."""
    with open_store(store) as opened:
        runs = contents(opened)  # fails for two runs with one name
    ledger = Ledger(store / names.LEDGER)
    trials = ledger.trials("digits")
    assert set(runs) == {"study digits", *(names.trial_run_name(t.number) for t in trials)}
    assert {run["status"] for run in runs.values()} == {"FINISHED"}
    for trial in trials:
        run = runs[names.trial_run_name(trial.number)]
        epochs = ledger.epochs("digits", trial.number)
        for name in epochs[0].metrics:
            sent = [(e.number, repr(e.metrics[name]), int(e.at * 1000)) for e in epochs]
            assert run["metrics"][name] == sent
        recorded = json.loads(run["files"][names.EPOCHS_FILE])
        assert [entry["metrics"] for entry in recorded] == [e.metrics for e in epochs]
        [model] = run["models"]
        assert (model["status"], model["is an output"]) == ("READY", True)
    ledger.close()


def test_search_show_and_reproduce_work_through_a_server(server, study, tmp_path, contents):
    store = tmp_path / "store"
    code, output, errors = retrial("search", study, "--trials", 3, "--store", store)
    assert (code, errors) == (0, "")
    assert "digits: 3 of 3 trials" in output
    assert_all_of_it_is_recorded(store, contents)
    # The store has no database of MLflow's and no artifacts: both are the server's.
    assert not {names.MLFLOW_DATABASE, names.ARTIFACTS} & set(os.listdir(store))
    with open_store(store) as opened:
        run = opened.client.search_runs(["1"], max_results=1)[0]
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")

    assert retrial("show", "digits", "--store", store)[0] == 0
    # From the server alone: nothing of the searching machine's store is there.
    code, output, errors = retrial("reproduce", "best", "--study", "digits", "--store", tmp_path)
    assert (code, errors) == (0, "")
    assert "exact: all metrics and digests of" in output


def test_trials_continue_without_the_server_and_are_delivered_when_it_is_back(
    server, study, tmp_path, contents
):
    search = searching(study, tmp_path / "store")
    search.wait_for("trial +[0-9]")
    server.stop()
    gone = len(finished_trials(search))
    wait_for_trials(search, min(gone + 4, 9))
    server.start()
    assert search.wait() == 0
    assert not [line for line in search.lines if line.startswith("retrial:")]
    assert_all_of_it_is_recorded(tmp_path / "store", contents)


def test_a_driver_killed_during_the_outage_loses_nothing(server, study, tmp_path, contents):
    search = searching(study, tmp_path / "store")
    search.wait_for("trial +[0-9]")
    server.stop()
    gone = len(finished_trials(search))
    wait_for_trials(search, gone + 2)
    search.kill()
    server.start()
    code, _, errors = retrial("search", study, "--store", tmp_path / "store")
    assert (code, errors) == (0, "")
    assert_all_of_it_is_recorded(tmp_path / "store", contents)


def test_a_server_that_hangs_delays_no_trial(server, study, tmp_path, contents):
    search = searching(study, tmp_path / "store")
    search.wait_for("trial +[0-9]")
    os.killpg(server.program.pid, signal.SIGSTOP)
    gone = len(finished_trials(search))
    wait_for_trials(search, min(gone + 4, 9))
    os.killpg(server.program.pid, signal.SIGCONT)
    assert search.wait() == 0
    assert_all_of_it_is_recorded(tmp_path / "store", contents)


def test_a_search_refuses_to_begin_without_its_server(server, study, tmp_path):
    server.stop()
    code, _, errors = retrial("search", study, "--store", tmp_path / "store")
    assert code == 2
    assert f"no response from MLFLOW_TRACKING_URI={server.url} ([Errno " in errors
    assert not (tmp_path / "store").exists()
