"""What crashed processes left is found, listed and removed; what is needed is kept."""

import os
import socket

import pytest

from tracking.maintenance import deletion, gc
from tracking.maintenance.pack.contents import UNPACKING_TAG
from tracking.maintenance.pack.packing import BESIDE
from tracking.records import Environment, EpochRecord
from tracking.runs.delivery import Delivery
from tracking.runs.reader import find_trial
from tracking.store import names

STUDY = "digits"
NOBODY = 4_200_000
"""An id that no process has: above the largest one of the operating system."""


@pytest.fixture
def recorded(store, ledger, trials, environment, quick_figures):
    """A store with two completely recorded trials of a study."""
    trials.whole(0)
    trials.whole(1, "pruned")
    delivery = Delivery(store, ledger, ledger.study(STUDY), environment)
    assert delivery.deliver() is None
    delivery.end("FINISHED")
    return store


@pytest.fixture
def found(recorded, ledger):
    """Counts and bytes of the waste, by its description."""

    def find(busy=()):
        return {w.what: (w.count, w.bytes) for w in gc.find(recorded, ledger, busy)}

    return find


@pytest.fixture
def clean(recorded, ledger, contents):
    """Remove everything that is found, and check that the trials are unchanged."""

    def remove():
        before = contents(recorded)
        for waste in gc.find(recorded, ledger, ()):
            waste.remove()
        after = contents(recorded)
        assert gc.find(recorded, ledger, ()) == []
        for name, run in before.items():
            assert after[name]["files"] == run["files"]
            assert after[name]["models"] == run["models"]

    return remove


def files_below(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_intact_store_is_clean(found, clean):
    assert found() == {}
    clean()


def test_deleted_runs_are_removed_with_their_models_and_files(recorded, found, clean):
    gone = find_trial(recorded, STUDY, 1).run_id
    model = recorded.client.get_run(gone).outputs.model_outputs[0].model_id
    recorded.client.delete_run(gone)
    paths = [p for p in files_below(recorded.root) if gone in p.parts or model in p.parts]
    size = sum(path.stat().st_size for path in paths)
    assert found() == {"deleted runs in MLflow": (1, size)}
    clean()
    assert not any(path.exists() for path in paths)
    left = {run.info.run_name for run in recorded.client.search_runs(["1"])}
    assert left == {"trial 0000", "study digits"}


def test_artifact_folders_without_a_run_are_kept(recorded, found, clean):
    """Another store's runs may have been written here, or the database is an older copy."""
    run = recorded.root / names.ARTIFACTS / ("a" * 32)
    model = recorded.root / names.ARTIFACTS / "models" / ("m-" + "b" * 32)
    for folder in (run / "artifacts", model / "artifacts"):
        folder.mkdir(parents=True)
        (folder / "weights.npz").write_bytes(b"12345")
    assert found() == {}
    clean()
    assert (run.exists(), model.exists()) == (True, True)


def test_unneeded_checkpoints_and_models_are_removed(ledger, trials, found, clean):
    trials.add(2)
    ledger.add_epoch(STUDY, 2, EpochRecord(1, {}, {}, 0.1, 1.0), b"of an open trial")
    with ledger.transaction() as connection:
        connection.execute("INSERT INTO checkpoint VALUES ('digits', 0, 4, x'010203')")
        connection.execute("INSERT INTO model VALUES ('digits', 1, 'source', x'0102')")
    assert found() == {
        "checkpoints of finished trials": (1, 3),
        "models that MLflow also has": (1, 2),
    }
    clean()
    assert ledger.checkpoint(STUDY, 0) is None
    assert ledger.checkpoint(STUDY, 2) == (1, b"of an open trial")


def test_a_model_that_mlflow_does_not_have_is_kept(ledger, trials, found):
    trials.whole(2)
    assert found() == {}
    assert ledger.model(STUDY, 2) is not None


def test_temporary_files_of_ended_processes_are_removed(recorded, found, clean):
    left = [
        recorded.root / f".{names.MLFLOW_DATABASE}.{NOBODY}",
        recorded.root / f"{BESIDE}{NOBODY}-abc" / "ledger.db",
        recorded.root / f".{names.MLFLOW_DATABASE}.{socket.gethostname()}.{NOBODY}",
    ]
    kept = [
        recorded.root / f".{names.MLFLOW_DATABASE}.{os.getpid()}",
        recorded.root / f".{names.MLFLOW_DATABASE}.another-host.org.{NOBODY}",
        recorded.root / f"{BESIDE}another-host.org.{NOBODY}-abc" / "ledger.db",
        recorded.root / f"{BESIDE}{names.writer()}-abc" / "ledger.db",
        recorded.root / f"{BESIDE}{os.getpid()}-abc" / "ledger.db",
    ]
    for path in (*left, *kept):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1234")
    assert found() == {"temporary files of ended processes": (3, 12)}
    clean()
    assert [path.exists() for path in (*left, *kept)] == [False] * 3 + [True] * 5
    assert not left[1].parent.exists()


def test_runs_without_a_driver_are_marked_as_killed(recorded, found, clean):
    run_id = find_trial(recorded, STUDY, 1).run_id
    recorded.client.update_run(run_id, status="RUNNING")
    assert found(busy=[STUDY]) == {}
    assert found() == {"runs with status RUNNING but no driver: marked as killed": (1, 0)}
    clean()
    assert recorded.client.get_run(run_id).info.status == "KILLED"


def test_an_interrupted_unpacking_is_removed(recorded, found, clean):
    made = recorded.client.create_experiment(
        "letters",
        artifact_location=str(recorded.root / names.ARTIFACTS),
        tags={UNPACKING_TAG: "true"},
    )
    run = recorded.client.create_run(made)
    recorded.client.log_text(run.info.run_id, "12345", "note.txt")
    assert found(busy=["letters"]) == {}
    assert found() == {"studies whose unpacking was interrupted": (1, 5)}
    clean()
    assert recorded.client.get_experiment_by_name("letters") is None


def test_what_has_been_completed_since_it_was_found_is_kept(recorded, ledger):
    client = recorded.client
    made = client.create_experiment("letters", tags={UNPACKING_TAG: "true"})
    deleted, running = (find_trial(recorded, STUDY, number).run_id for number in (0, 1))
    client.delete_run(deleted)
    client.update_run(running, status="RUNNING")
    wastes = gc.find(recorded, ledger, ())
    assert [waste.studies for waste in wastes] == [{STUDY}, {"letters"}, {STUDY}]

    client.delete_experiment_tag(made, UNPACKING_TAG)
    client.restore_run(deleted)
    client.set_terminated(running, "FINISHED")
    for waste in wastes:
        waste.remove()

    assert client.get_experiment(made).lifecycle_stage == "active"
    assert client.get_run(deleted).info.lifecycle_stage == "active"
    assert client.get_run(running).info.status == "FINISHED"


def test_a_study_that_the_ledger_has_meanwhile_is_kept_although_its_tag_is_left(recorded, ledger):
    recorded.client.create_experiment("letters", tags={UNPACKING_TAG: "true"})
    wastes = gc.find(recorded, ledger, ())
    ledger.add_study("letters", {}, Environment())
    for waste in wastes:
        waste.remove()
    assert recorded.client.get_experiment_by_name("letters").lifecycle_stage == "active"


def test_a_study_that_has_become_busy_is_left_alone(recorded, ledger):
    run_id = find_trial(recorded, STUDY, 1).run_id
    recorded.client.update_run(run_id, status="RUNNING")
    for waste in gc.find(recorded, ledger, ()):
        waste.remove({STUDY})
    assert recorded.client.get_run(run_id).info.status == "RUNNING"


def test_foreign_runs_in_a_studys_experiment_are_left_alone(recorded, found):
    experiment = recorded.client.get_experiment_by_name(STUDY).experiment_id
    recorded.client.create_run(experiment, run_name="by hand")
    deleted = recorded.client.create_run(experiment, run_name="deleted by hand")
    recorded.client.delete_run(deleted.info.run_id)
    assert found() == {}


def test_foreign_content_of_a_studys_experiment_outlives_the_study(recorded):
    client = recorded.client
    experiment = client.get_experiment_by_name(STUDY).experiment_id
    run = client.create_run(experiment, run_name="by hand")
    client.log_text(run.info.run_id, "12345", "note.txt")
    client.create_logged_model(experiment, name="mine", source_run_id=run.info.run_id)

    holdings = deletion.survey(recorded, STUDY)
    assert holdings.foreign == ["run by hand", "model mine"]
    assert deletion.remove(recorded, holdings)

    (left,) = client.search_runs([experiment])
    assert left.info.run_name == "by hand"
    assert [file.path for file in client.list_artifacts(left.info.run_id)] == ["note.txt"]
    assert [model.name for model in client.search_logged_models([experiment])] == ["mine"]
    tags = client.get_experiment(experiment).tags
    assert not [tag for tag in tags if tag.startswith("retrial.")]


def test_experiments_of_others_are_left_alone(recorded, found):
    made = recorded.client.create_experiment("by hand")
    run = recorded.client.create_run(made)
    recorded.client.delete_run(run.info.run_id)
    assert found() == {}


def test_unused_space_of_the_ledger_is_released(ledger, found, clean):
    ledger.attach(STUDY, "much", bytes(3 << 20))
    ledger.detach(STUDY)
    with ledger.transaction():
        pass
    (entry,) = found().items()
    assert entry[0] == "unused space in the ledger"
    assert entry[1][1] >= 3 << 20
    before = ledger.path.stat().st_size
    clean()
    assert ledger.path.stat().st_size < before - (2 << 20)


def test_behind_a_server_only_what_is_here_is_removed(recorded, ledger, monkeypatch):
    run_id = find_trial(recorded, STUDY, 1).run_id
    recorded.client.delete_run(run_id)
    monkeypatch.setattr("tracking.maintenance.deletion.can_erase", lambda store: False)
    assert gc.find(recorded, ledger, ()) == []
