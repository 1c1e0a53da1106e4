"""The code of a study's trials is kept with its run: once each, and only what is really theirs."""

import zipfile

import pytest

from nets.errors import InputError
from tracking.provenance import source_code
from tracking.records import Environment
from tracking.runs import recorded_code
from tracking.runs.delivery import Delivery
from tracking.runs.reader import find_trial
from tracking.store import names


@pytest.fixture
def objective(tmp_path, monkeypatch):
    """Writes the module of an objective; returns an environment with its digest."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text):
        (tmp_path / "sample_objective.py").write_text(text)
        source_code._archive.cache_clear()
        modules = ("nets", "sample_objective")
        return Environment(code={name: source_code.digest(name) for name in modules})

    return write


@pytest.fixture
def deliver(store, ledger, environment, quick_figures):
    """Delivers as a driver in an environment would; returns the archives of the study's run."""

    def deliver(code):
        delivery = Delivery(store, ledger, ledger.study("digits"), environment.with_worker(code))
        assert delivery.deliver() is None
        client = store.client
        experiment = client.get_experiment_by_name("digits").experiment_id
        (run,) = client.search_runs([experiment], f"tags.`{names.KIND_TAG}` = 'study'")
        kept = client.list_artifacts(run.info.run_id, names.CODE_FOLDER)
        return {file.path: client.download_artifacts(run.info.run_id, file.path) for file in kept}

    return deliver


def files_of_model(store):
    """The files in the archive of the only model, by their names."""
    from mlflow.artifacts import download_artifacts

    experiment = store.client.get_experiment_by_name("digits").experiment_id
    (model,) = store.client.search_logged_models([experiment])
    place = download_artifacts(
        artifact_uri=f"{model.artifact_location}/{names.MODEL_CODE_FILE}", tracking_uri=store.uri
    )
    with zipfile.ZipFile(place) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_each_code_that_trained_a_study_is_kept_once(deliver, objective):
    first = deliver(objective("x = 1\n"))
    assert deliver(objective("x = 1\n")).keys() == first.keys()
    second = deliver(objective("x = 2\n"))
    (path,) = second.keys() - first.keys()
    with zipfile.ZipFile(second[path]) as opened:
        assert opened.read("sample_objective.py") == b"x = 2\n"
        top = {name.partition("/")[0] for name in opened.namelist()}
    assert top == {"nets", "studies", "tracking", "sample_objective.py"}


def test_code_that_the_driver_does_not_have_is_not_kept(deliver, store, trials):
    trials.whole(0)
    assert deliver(Environment()) == {}  # the digest of the fixture is of no code
    with pytest.raises(InputError, match=r"not have the code of trial 0 \(nets cccccccccccc\)"):
        recorded_code.extract(store, find_trial(store, "digits", 0), None)


def test_a_trial_s_code_is_found_by_what_its_own_environment_tells(
    deliver, objective, store, trials, tmp_path
):
    code = objective("x = 1\n")
    trials.whole(0)
    deliver(code)
    deliver(objective("x = 2\n"))
    recorded = find_trial(store, "digits", 0)
    recorded_code.extract(store, recorded, tmp_path / "there")
    assert (tmp_path / "there" / "sample_objective.py").read_text() == "x = 1\n"
    assert (tmp_path / "there" / "studies" / "digits.toml").exists()


def test_a_trial_that_a_later_driver_delivers_has_the_code_it_was_trained_with(
    deliver, objective, store, trials
):
    code = objective("x = 1\n")
    deliver(code)
    trials.whole(0, environment=code)
    deliver(objective("x = 2\n"))
    assert find_trial(store, "digits", 0).environment.code == code.code
    assert files_of_model(store)["sample_objective.py"] == b"x = 1\n"


def test_a_model_carries_the_code_of_its_trial(deliver, objective, store, trials):
    trials.whole(0)
    deliver(objective("x = 1\n"))
    files = files_of_model(store)
    assert files["sample_objective.py"] == b"x = 1\n"
    assert "nets/model_source.py" in files
    assert not any(name.startswith(("studies", "tracking")) for name in files)
