"""Pages, batches and files through MLflow's client."""

import importlib.metadata
import math
import tomllib
from pathlib import Path

import pytest

from tracking.store import names
from tracking.store.client import all_pages, all_runs, files_of


@pytest.fixture
def experiment(store):
    return store.client.create_experiment("one", store.artifact_location)


@pytest.fixture
def run_id(store, experiment):
    return store.client.create_run(experiment).info.run_id


def test_all_pages_of_a_search_are_read_in_order_and_only_when_needed(store, experiment):
    client = store.client
    created = [client.create_run(experiment, start_time=k).info.run_id for k in range(1, 6)]
    requested = []

    def search(**query):
        requested.append(query)
        return client.search_runs(**query)

    order = ["attributes.start_time ASC"]
    runs = all_pages(search, experiment_ids=[experiment], order_by=order, max_results=2)
    assert [next(runs).info.run_id for _ in range(2)] == created[:2]
    assert len(requested) == 1
    assert [run.info.run_id for run in runs] == created[2:]
    assert len(requested) == 3


def test_deleted_runs_are_returned_on_request_only(store, experiment, run_id):
    store.client.delete_run(run_id)
    assert all_runs(store.client, experiment) == []
    assert [run.info.run_id for run in all_runs(store.client, experiment, deleted=True)] == [run_id]


def test_files_are_written_and_read_unchanged(store, run_id):
    value = {"loss": math.nan, "best": 0.1}
    files = {"a.json": value, "note.txt": "caf\udcff", "code/b.zip": b"\0\xff"}
    kept = files_of(store, store.client.get_run(run_id))
    kept.write(files)
    found = {name: kept.read(name) for name in files}
    assert [kept.has(name) for name in (*files, "code", "code/c.zip")] == [True] * 3 + [False] * 2
    assert found == {
        "a.json": b'{\n "loss": NaN,\n "best": 0.1\n}\n',
        "note.txt": rb"caf\udcff",
        "code/b.zip": b"\0\xff",
    }


def test_mlflow_itself_divides_what_is_too_much_for_one_request(store, run_id):
    from mlflow.entities import Metric, Param, RunTag

    store.client.log_batch(
        run_id,
        [Metric("loss", step / 7, step, step) for step in range(2500)],
        [Param(f"p{k}", str(k)) for k in range(250)],
        [RunTag(f"t{k}", str(k)) for k in range(250)],
    )
    history = store.client.get_metric_history(run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(k, k / 7) for k in range(2500)]
    data = store.client.get_run(run_id).data
    assert data.params == {f"p{k}": str(k) for k in range(250)}
    assert {f"t{k}" for k in range(250)} <= data.tags.keys()


PROJECT = Path(__file__).parents[3] / "pyproject.toml"
OF_CHECKOUT = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["version"]


@pytest.mark.parametrize(
    ("installed", "version"),
    [({"retrial-studies": "2", "retrial": "1"}, "2"), ({"retrial": "1"}, "1"), ({}, OF_CHECKOUT)],
)
def test_our_version_is_that_of_the_distribution_under_either_name_or_of_the_checkout(
    installed, version, monkeypatch
):
    def find(name):
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr("tracking.store.names.importlib.metadata.version", find)
    assert names.own_version() == version
