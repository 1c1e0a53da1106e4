"""A store is a folder: copied or moved, it has all of its studies, and none of another store's."""

import json
import os
import shutil
import sqlite3
import sys

import pytest
from mlflow_server import MLflowServer
from programs import Program, killed_afterwards
from waiting import until

from studies.cli.main import main
from tracking.ledger import Ledger
from tracking.runs.reader import study_run
from tracking.store import names
from tracking.store.client import all_runs
from tracking.store.errors import StoreUnavailable
from tracking.store.store import open_store

# MLflow warns while it loads what describes a model, once per process.
pytestmark = pytest.mark.filterwarnings("ignore:.*type hint")

STUDY = """
[study]
name = "moved"
trials = {trials}
objective = "curves:climb"
settings = "curves:Curve"
metric = "value"
direction = "maximize"
pruner = {{ name = "none" }}
[settings]
epochs = 3
delay = {delay}
[space]
rate = {{ low = 0.001, high = 1.0, log = true }}
"""


@pytest.fixture
def retrial(tmp_path, monkeypatch, capsys):
    """Run a command on a store in the test's folder; return exit code and output."""
    monkeypatch.chdir(tmp_path)

    def run(store, *arguments):
        code = main([*arguments, "--store", str(tmp_path / store)])
        return code, "".join(capsys.readouterr())

    return run


def study_file(folder, trials, delay=0.0):
    path = folder / "moved.toml"
    path.write_text(STUDY.format(trials=trials, delay=delay))
    return str(path)


def searching(folder, study, store, jobs):
    """Start a search in another process."""
    return Program(
        "-m", "studies.cli.main", "search", study, "--jobs", jobs, "--store", folder / store,
        folder=folder, PYTHONPATH=os.pathsep.join(path for path in sys.path if path),
    )  # fmt: skip


def contents(store):
    """Every file of a store's runs and models, by its path, and what the databases say."""
    files = {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in (store / names.ARTIFACTS).rglob("*")
        if path.is_file()
    }
    with sqlite3.connect(store / names.MLFLOW_DATABASE) as database:
        runs = database.execute("SELECT run_uuid, artifact_uri, status FROM runs").fetchall()
    return files, sorted(runs)


def locations(store):
    with sqlite3.connect(store / names.MLFLOW_DATABASE) as database:
        return {
            location
            for statement in (
                "SELECT artifact_location FROM experiments",
                "SELECT artifact_uri FROM runs",
                "SELECT artifact_location FROM logged_models",
            )
            for (location,) in database.execute(statement)
        }


def verdict(retrial, store, trial):
    _, output = retrial(store, "reproduce", str(trial), "--study", "moved", "--json")
    return json.loads(output)["verdict"]


def test_a_copy_continues_in_its_own_files_and_leaves_the_original_alone(retrial, tmp_path):
    study = study_file(tmp_path, trials=2)
    assert retrial("one", "search", study, "--jobs", "1")[0] == 0
    before = contents(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "a copy")
    assert retrial("a copy", "search", study, "--jobs", "1", "--trials", "4")[0] == 0
    assert contents(tmp_path / "one") == before
    inside = f"{tmp_path / 'a copy' / names.ARTIFACTS}"
    assert {place for place in locations(tmp_path / "a copy") if not place.startswith(inside)} == (
        set()
    )
    assert retrial("one", "gc", "--yes") == (0, f"{tmp_path / 'one'} is clean\n")
    assert verdict(retrial, "a copy", 3) == "exact"
    assert retrial("a copy", "delete", "moved", "--yes")[0] == 0
    assert contents(tmp_path / "one") == before
    assert verdict(retrial, "one", 1) == "exact"


def test_a_moved_store_reproduces_continues_and_packs_all_of_its_files(retrial, tmp_path):
    study = study_file(tmp_path, trials=2)
    assert retrial("old", "search", study, "--jobs", "1")[0] == 0
    (tmp_path / "old").rename(tmp_path / "a new one")
    assert verdict(retrial, "a new one", 0) == "exact"
    assert retrial("a new one", "search", study, "--jobs", "1", "--trials", "3")[0] == 0
    assert not (tmp_path / "old").exists()
    code, output = retrial("a new one", "pack", "moved", "moved.pack")
    assert (code, "4 runs" in output) == (0, True)
    assert retrial("third", "unpack", "moved.pack")[0] == 0
    assert [verdict(retrial, "third", trial) for trial in range(3)] == ["exact"] * 3


def test_a_store_without_its_database_is_recorded_again_from_the_ledger(retrial, tmp_path):
    study = study_file(tmp_path, trials=3)
    # In another process: MLflow keeps a database open as long as its process runs.
    assert searching(tmp_path, study, "one", jobs=1).wait() == 0
    (tmp_path / "one" / names.MLFLOW_DATABASE).unlink()
    code, output = retrial("one", "search", study, "--jobs", "1")
    assert (code, "lost trials that it had before (0 to 2)" in output) == (0, True)
    assert [verdict(retrial, "one", trial) for trial in ("best", 0, 1, 2)] == ["exact"] * 4
    code, output = retrial("one", "search", study, "--jobs", "1")
    assert (code, "nothing to do" in output) == (0, True)


def test_the_best_trial_is_not_chosen_among_those_that_mlflow_has_left(retrial, tmp_path):
    study = study_file(tmp_path, trials=2)
    assert retrial("one", "search", study, "--jobs", "1")[0] == 0
    with Ledger(tmp_path / "one" / names.LEDGER) as ledger:
        lost = ledger.trial("moved", 0).recorded_run
    shutil.rmtree(tmp_path / "one" / names.ARTIFACTS / lost)
    for trial in ("best", "0"):
        code, output = retrial("one", "reproduce", trial, "--study", "moved")
        assert (code, output) == (
            2,
            "retrial: trial: MLflow has lost trials 0 of moved, which the ledger has; searching "
            "moved again records them from the ledger\n",
        )
    assert verdict(retrial, "one", 1) == "exact"
    assert retrial("one", "pack", "moved", str(tmp_path / "moved.pack"))[0] == 0
    assert verdict(retrial, "one", "best") == "exact"


def test_a_pack_without_the_files_of_a_model_is_refused(retrial, tmp_path):
    assert retrial("one", "search", study_file(tmp_path, trials=1), "--jobs", "1")[0] == 0
    (model,) = (tmp_path / "one" / names.ARTIFACTS / "models").iterdir()
    shutil.rmtree(model)
    code, output = retrial("one", "pack", "moved", str(tmp_path / "moved.pack"))
    assert code == 2
    assert output.startswith(
        f"retrial: pack: the files of model {model.name} (trial 0000) are miss"
    )
    assert not (tmp_path / "moved.pack").exists()


@pytest.mark.slow
def test_a_store_that_moves_during_a_search_loses_nothing(retrial, tmp_path):
    study = study_file(tmp_path, trials=8, delay=0.1)
    search = searching(tmp_path, study, "old", jobs=2)
    search.wait_for("trial +2 +complete")
    until(lambda: _recorded(tmp_path / "old" / names.LEDGER) >= 2, "two recorded trials")
    shutil.copytree(tmp_path / "old", tmp_path / "a copy")
    (tmp_path / "old").rename(tmp_path / "new")
    code, _, errors = search.finish()
    assert code == 0
    assert "was moved or removed while it was in use" in errors
    for store in ("new", "a copy"):
        assert retrial(store, "search", study, "--jobs", "2")[0] == 0
        assert [verdict(retrial, store, trial) for trial in range(8)] == ["exact"] * 8
        assert _recorded(tmp_path / store / names.LEDGER) == 8
    assert not (tmp_path / "old" / names.LEDGER).exists()
    assert not (tmp_path / "old" / names.MLFLOW_DATABASE).exists()


def _recorded(path):
    with Ledger(path, create=False) as ledger:
        return sum(trial.recorded_state == "complete" for trial in ledger.trials("moved"))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server that serves artifacts, named by `MLFLOW_TRACKING_URI`; its files are its own."""
    (tmp_path / "server").mkdir()
    database = f"sqlite:///{tmp_path / 'server' / 'mlflow.db'}"
    server = MLflowServer(database, tmp_path / "server" / "files")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    with killed_afterwards():
        server.start()
        yield server


@pytest.mark.slow
def test_a_store_with_a_server_is_copied_and_moved_without_its_record(
    retrial, server, tmp_path, monkeypatch
):
    study = study_file(tmp_path, trials=2)
    assert retrial("one", "search", study, "--jobs", "1")[0] == 0
    shutil.copytree(tmp_path / "one", tmp_path / "a copy")
    (tmp_path / "one").rename(tmp_path / "moved here")
    # Both search on with the same server, which has each trial once.
    for store, trials in (("a copy", 4), ("moved here", 3), ("moved here", 5), ("a copy", 5)):
        code, output = retrial(store, "search", study, "--jobs", "1", "--trials", str(trials))
        assert (code, "lost" in output) == (0, False), output
        with open_store(tmp_path / store) as opened:
            experiment = opened.client.get_experiment_by_name("moved")
            runs = [run.info.run_name for run in all_runs(opened.client, experiment.experiment_id)]
        assert len(set(runs)) == len(runs)
    assert len(runs) == 6
    for store in ("a copy", "moved here"):
        assert [verdict(retrial, store, trial) for trial in ("best", *range(5))] == ["exact"] * 6
        assert not {names.MLFLOW_DATABASE, names.ARTIFACTS} & set(os.listdir(tmp_path / store))
        assert retrial(store, "gc", "--yes")[0] == 0
        assert _recorded(tmp_path / store / names.LEDGER) == 5
    assert not (tmp_path / "one").exists()
    code, output = retrial("a copy", "pack", "moved", "moved.pack")
    assert (code, "6 runs" in output, "5 models" in output) == (0, True, True), output
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert retrial("third", "unpack", "moved.pack")[0] == 0
    assert [verdict(retrial, "third", trial) for trial in range(5)] == ["exact"] * 5


def test_files_of_a_study_outside_of_the_store_are_refused(retrial, tmp_path):
    assert retrial("one", "search", study_file(tmp_path, trials=1), "--jobs", "1")[0] == 0
    outside = tmp_path / "precious"
    outside.mkdir()
    for place in (str(outside), f"{tmp_path}/one/artifacts/../../precious", f"file://{outside}"):
        with sqlite3.connect(tmp_path / "one" / names.MLFLOW_DATABASE) as database:
            database.execute("UPDATE runs SET artifact_uri = ? WHERE name = 'trial 0000'", (place,))
        with pytest.raises(StoreUnavailable, match=r"it has files of a study in .*, outside of"):
            open_store(tmp_path / "one")
        code, output = retrial("one", "delete", "moved", "--yes")
        assert (code, output.count("\n")) == (2, 1)
    assert outside.is_dir()


@pytest.mark.slow
def test_a_database_elsewhere_decides_on_no_folder_of_this_machine(retrial, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    assert retrial("one", "search", study_file(tmp_path, trials=1), "--jobs", "1")[0] == 0
    with open_store(tmp_path / "one") as store:
        run = study_run(store, "moved")
    (precious := tmp_path / "artifacts").mkdir()
    (precious / "thesis.txt").write_text("precious")
    for place in (str(precious), f"file://{precious}", f"{precious}/{run.info.run_id}/../"):
        with sqlite3.connect(tmp_path / "elsewhere.db") as database:
            database.execute(
                "UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (place, run.info.run_id)
            )
        code, output = retrial("one", "delete", "moved", "--yes")
        assert (code, output.count("\n")) == (2, 1), output
        assert "is not the folder of a run or model, expected a folder .../ID/artifacts" in output
    with sqlite3.connect(tmp_path / "elsewhere.db") as database:
        database.execute("UPDATE runs SET artifact_uri = ?", (str(precious),))
    code, output = retrial("one", "reproduce", "0", "--study", "moved")
    assert (code, "is not the folder of a run or model" in output) == (2, True), output
    assert [path.name for path in precious.iterdir()] == ["thesis.txt"]
