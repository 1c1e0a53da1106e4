"""A library's model in a store: the ledger, MLflow's own loaders, the digest, packs."""

import shutil
import zipfile

import numpy as np
import pytest
from library_models import MODELS, X, made
from trial_writer import STUDY, Trials

from nets.errors import InputError
from nets.outcome import Model
from studies.objective.estimators import archived
from studies.objective.models import ModelRefused, saved
from studies.objective.stored_models import load_model
from tracking.ledger import Ledger
from tracking.ledger.copy import check_tables, copy_study
from tracking.maintenance.pack.packing import pack, unpack
from tracking.models import registry
from tracking.records import RecordDamaged, TrialOutcome
from tracking.records.confirmation import Evidence
from tracking.runs.content import log_model
from tracking.runs.recorder import Recorder
from tracking.store import names
from tracking.store.store import open_store

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of libraries among themselves
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

TWO_FILES = Model(
    "",
    {names.INPUT_EXAMPLE: np.ones((1, 2))},
    {"MLmodel": b"flavors: {}\n", "data/weights.bin": bytes(range(256))},
    "mlflow",
)


def logged(store, model, tags=None):
    """The id of a run with a model, and that of the model."""
    experiment = store.client.get_experiment_by_name(STUDY)
    experiment = experiment and experiment.experiment_id
    experiment = experiment or store.client.create_experiment(STUDY, store.artifact_location)
    run_id = store.client.create_run(experiment).info.run_id
    model_id = log_model(
        store, experiment, run_id, model, name="trial 0000", tags=tags or {}, params={}, step=1
    )
    return run_id, model_id


def folder_of(store, model_id):
    return store.root / names.ARTIFACTS / store.client.get_logged_model(
        model_id
    ).artifact_location.partition(f"/{names.ARTIFACTS}/")[2]  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_mlflow_loads_a_model_with_its_own_flavor_and_with_pyfunc(store, name, monkeypatch):
    import mlflow

    model, answers = made(name)
    form = MODELS[name][1]
    if form != "sklearn" and name != "lightgbm_classifier":  # there, it also refuses skops
        monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    _, model_id = logged(store, saved(model, X[:4]))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    address = folder_of(store, model_id)
    flavor = __import__(f"mlflow.{form}", fromlist=["load_model"])
    again = flavor.load_model(str(address))
    expected = np.asarray(answers(model))
    if form != "pytorch":
        np.testing.assert_array_equal(np.asarray(answers(again)), expected)
    found = mlflow.pyfunc.load_model(str(address)).predict(X)
    found = next(iter(found.values())) if isinstance(found, dict) else found
    np.testing.assert_array_equal(np.asarray(found).reshape(expected.shape), expected)


def test_the_folder_names_versions_the_example_and_the_input(store):
    import yaml

    model, _ = made("svc")
    _, model_id = logged(store, saved(model, X[:4]))
    folder = folder_of(store, model_id)
    described = yaml.safe_load((folder / "MLmodel").read_text())
    assert set(described["flavors"]) == {"python_function", "sklearn"}
    assert "sklearn.svm._classes.SVC" in described["flavors"]["sklearn"]["skops_trusted_types"]
    assert "float32" in described["signature"]["inputs"]
    assert described["saved_input_example_info"]["artifact_path"] == "input_example.json"
    requirements = (folder / "requirements.txt").read_text().split()
    assert [line.partition("==")[0] for line in requirements] == [
        "mlflow", "scikit-learn", "skops", "numpy", "scipy",
    ]  # fmt: skip
    assert all("==" in line and "+" not in line for line in requirements)


@pytest.fixture
def record(root, ledger, environment, quick_figures):
    """Deliver everything that the ledger has."""

    def record():
        recorder = Recorder(ledger.path, root, STUDY, environment)
        recorder.start()
        recorder.finish("finished")

    return record


def test_a_trained_model_goes_from_the_ledger_to_mlflow_and_back(store, ledger, trials, record):
    model, answers = made("svc")
    trials.model = lambda: saved(model, X[:4])
    trials.whole(0)
    stored = ledger.model(STUDY, 0)
    assert (dict(stored.files), stored.format) == (dict(saved(model).files), "sklearn")
    np.testing.assert_array_equal(stored.arrays[names.INPUT_EXAMPLE], X[:4])
    record()
    assert ledger.model(STUDY, 0) is None
    run_id = ledger.trial(STUDY, 0).recorded_run
    again = load_model(store, run_id)
    np.testing.assert_array_equal(answers(again), answers(model))
    with ledger.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM model_file").fetchone() == (0,)


def test_a_registered_model_is_loaded_by_each_of_its_names(store):
    model, answers = made("svc")
    run_id, model_id = logged(store, saved(model))
    registry.register(store, STUDY, run_id=run_id, model_id=model_id, description="", tags={})
    for which in (STUDY, f"{STUDY}@champion", f"{STUDY}/1"):
        np.testing.assert_array_equal(answers(load_model(store, which)), answers(model))
    with pytest.raises(InputError) as caught:
        registry.load(store, STUDY)
    assert str(caught.value) == (
        "model: digits/1 is a model of scikit-learn, which retrial cannot apply to images; load "
        "it in Python: studies.load_model('digits')"
    )
    with pytest.raises(InputError, match="no registered model 'other'"):
        load_model(store, "other")


def test_a_model_of_source_and_arrays_is_loaded_as_mlflow_loads_it(store):
    run_id, model_id = logged(store, Trials.model())
    registry.register(store, STUDY, run_id=run_id, model_id=model_id, description="", tags={})
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    np.testing.assert_array_equal(
        load_model(store, STUDY).predict(images), 2.0 * images.reshape(2, 4)
    )


def test_changed_files_are_not_loaded(store):
    run_id, model_id = logged(store, saved(made("svc")[0]))
    registry.register(store, STUDY, run_id=run_id, model_id=model_id, description="", tags={})
    path = folder_of(store, model_id) / "model.skops"
    path.write_bytes(path.read_bytes().replace(b'\\"rbf\\"', b'\\"lin\\"'))
    with pytest.raises(InputError) as caught:
        load_model(store, STUDY)
    assert str(caught.value) == (
        "model: the files of the model of digits/1 differ from those that were recorded, expected "
        "a model that retrial recorded"
    )
    path.unlink()
    with pytest.raises(InputError, match="cannot read the model of digits/1"):
        load_model(store, STUDY)


def test_the_list_of_trusted_types_in_mlmodel_changes_nothing(store):
    run_id, model_id = logged(store, saved(made("svc")[0]))
    registry.register(store, STUDY, run_id=run_id, model_id=model_id, description="", tags={})
    path = folder_of(store, model_id) / "model.skops"
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    members["schema.json"] = members["schema.json"].replace(
        b"sklearn.svm._classes", b"__main__.Anything.x1"
    )
    path.write_bytes(archived(members))
    about = path.parent / "MLmodel"
    about.write_text(about.read_text().replace("sklearn.svm._classes", "__main__.Anything.x1"))
    store.client.delete_logged_model_tag(model_id, names.CONTENT_TAG)
    with pytest.raises(ModelRefused, match=r"contains __main__\.Anything\.x1\.SVC, which could"):
        load_model(store, STUDY)


def test_a_folder_of_mlflow_is_stored_as_it_is(store, tmp_path):
    import mlflow.sklearn

    model, answers = made("svc")
    with_model = tmp_path / "svc"
    mlflow.sklearn.save_model(model, with_model, serialization_format="skops")
    run_id, model_id = logged(store, saved(with_model))
    registry.register(store, STUDY, run_id=run_id, model_id=model_id, description="", tags={})
    stored = {path.name for path in folder_of(store, model_id).iterdir()}
    assert stored == {path.name for path in with_model.iterdir()}
    np.testing.assert_array_equal(answers(load_model(store, STUDY)), answers(model))


# The ledger


def test_the_ledger_keeps_every_file_of_a_model(ledger, trials):
    trials.model = lambda: TWO_FILES
    trials.whole(0)
    found = ledger.model(STUDY, 0)
    assert (dict(found.files), found.format) == (TWO_FILES.files, "mlflow")


def test_an_older_ledger_gets_the_table_of_files_when_it_is_opened(ledger, trials):
    trials.whole(0)
    with ledger.transaction() as connection:
        connection.execute("DROP TABLE model_file")
    ledger._connection.execute("PRAGMA user_version = 2")
    with Ledger(ledger.path) as again:
        assert dict(again.model(STUDY, 0).files) == {}
        assert again.model(STUDY, 0).arrays["factor"] == np.float32(2)


def test_a_copy_of_a_study_has_the_files_of_its_models(ledger, trials, tmp_path):
    trials.model = lambda: TWO_FILES
    trials.whole(0)
    with Ledger(tmp_path / "copy.db") as copy:
        assert copy_study(ledger, copy, STUDY)["model_file"] == 2
        check_tables(copy)
        assert dict(copy.model(STUDY, 0).files) == TWO_FILES.files


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("path", "../x", "got '../x', expected a relative path"),
        ("path", "/x", "got '/x', expected a relative path"),
        ("path", "MLmodel/x", "MLmodel is a file, and a folder with MLmodel/x"),
        ("path", b"x", "a row is no file"),
        ("content", "text", "a row is no file"),
        ("format", "../x", "Model.format: got '../x' and 2 files"),
    ],
)
def test_a_ledger_with_other_files_is_damaged(ledger, trials, column, value, expected):
    trials.model = lambda: TWO_FILES
    trials.whole(0)
    with ledger.transaction() as connection:
        connection.execute(
            f"UPDATE model_file SET {column} = ? WHERE path = 'data/weights.bin'", (value,)
        )
    with pytest.raises(RecordDamaged, match=expected):
        check_tables(ledger)


def test_the_evidence_of_a_confirmation_keeps_the_files():
    evidence = Evidence({}, "accuracy", (), TrialOutcome(), TWO_FILES)
    found = Evidence.unpacked(evidence.packed()).model
    assert (dict(found.files), found.format) == (TWO_FILES.files, "mlflow")
    np.testing.assert_array_equal(found.arrays[names.INPUT_EXAMPLE], np.ones((1, 2)))


def test_a_pack_carries_models_of_libraries(
    store, ledger, trials, tmp_path, record, migrated_database
):
    model, answers = made("svc")
    trials.model = lambda: saved(model)
    trials.whole(0)
    record()
    trials.whole(1)
    pack(store, ledger, STUDY, tmp_path / "digits.pack")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copyfile(migrated_database, other / names.MLFLOW_DATABASE)
    with open_store(other) as unpacked, Ledger(other / names.LEDGER) as copy:
        unpack(unpacked, copy, tmp_path / "digits.pack")
        assert dict(copy.model(STUDY, 1).files) == dict(saved(model).files)
        again = load_model(unpacked, copy.trial(STUDY, 0).recorded_run)
    np.testing.assert_array_equal(answers(again), answers(model))
