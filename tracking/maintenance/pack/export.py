"""MLflow's share of a pack: runs, models, versions and their files, as plain values."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracking.maintenance.pack.archive import Writer
from tracking.store.artifacts import files_at
from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Experiment, LoggedModel, Metric, Run
    from mlflow.entities.model_registry import ModelVersion

EXPERIMENT_FILE = "mlflow/experiment.json"
RUNS_FILE = "mlflow/runs.json"
MODELS_FILE = "mlflow/models.json"
REGISTRY_FILE = "mlflow/registry.json"
ARTIFACTS = "mlflow/artifacts"
"""Folder of the files: one folder a run or model in it, by its id."""


def export(store: Store, study: str, writer: Writer) -> dict[str, int]:
    """Write what MLflow has of a study into a pack; return how much, empty where it has nothing."""
    experiment = store.client.get_experiment_by_name(study)
    if experiment is None or experiment.lifecycle_stage != "active":
        return {}
    runs = all_runs(store, experiment.experiment_id)
    models = all_models(store, experiment.experiment_id)
    writer.add_json(EXPERIMENT_FILE, _experiment(experiment))
    writer.add_json(RUNS_FILE, [_run(store, run) for run in runs])
    writer.add_json(MODELS_FILE, [_model(model) for model in models])
    writer.add_json(REGISTRY_FILE, _registry(store, {run.info.run_id for run in runs}))
    for identity, place in [
        *((run.info.run_id, run.info.artifact_uri) for run in runs),
        *((model.model_id, model.artifact_location) for model in models),
    ]:
        _add_files(store, writer, place, f"{ARTIFACTS}/{identity}")
    return {"runs": len(runs), "models": len(models)}


def all_runs(store: Store, experiment_id: str, *, deleted: bool = False) -> "list[Run]":
    """Return the runs of an experiment, oldest first; the deleted ones too where asked for."""
    from mlflow.entities import ViewType

    runs: list[Run] = []
    token = None
    while True:
        page = store.client.search_runs(
            [experiment_id],
            run_view_type=ViewType.ALL if deleted else ViewType.ACTIVE_ONLY,
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
            page_token=token,
        )
        runs += page
        if not (token := page.token):
            return runs


def all_models(store: Store, experiment_id: str) -> "list[LoggedModel]":
    """Return the logged models of an experiment, oldest first."""
    models: list[LoggedModel] = []
    token = None
    while True:
        page = store.client.search_logged_models([experiment_id], page_token=token)
        models += page
        if not (token := page.token):
            return sorted(models, key=lambda model: (model.creation_timestamp, model.model_id))


def versions_of(store: Store, run_ids: Iterable[str]) -> "list[ModelVersion]":
    """Return the versions of registered models that came of some runs, the oldest first."""
    wanted = set(run_ids)
    found: list[ModelVersion] = []
    token = None
    while True:
        page = store.client.search_model_versions(page_token=token)
        found += [version for version in page if version.run_id in wanted]
        if not (token := page.token):
            return sorted(found, key=lambda version: (version.name, int(version.version)))


def _experiment(experiment: "Experiment") -> dict[str, Any]:
    return {
        "id": experiment.experiment_id,
        "name": experiment.name,
        "location": experiment.artifact_location,
        "tags": dict(experiment.tags),
    }


def _run(store: Store, run: "Run") -> dict[str, Any]:
    info, data = run.info, run.data
    return {
        "id": info.run_id,
        "name": info.run_name,
        "status": info.status,
        "started": info.start_time,
        "ended": info.end_time,
        "location": info.artifact_uri,
        "tags": dict(data.tags),
        "params": dict(data.params),
        "metrics": {
            key: [_point(point) for point in store.client.get_metric_history(info.run_id, key)]
            for key in data.metrics
        },
        "inputs": [
            {
                **{key: getattr(entry.dataset, key) for key in DATASET_KEYS},
                "tags": {tag.key: tag.value for tag in entry.tags},
            }
            for entry in (run.inputs.dataset_inputs if run.inputs else [])
        ],
        "outputs": [
            [output.model_id, output.step]
            for output in (run.outputs.model_outputs if run.outputs else [])
        ],
    }


DATASET_KEYS = ("name", "digest", "source_type", "source", "schema", "profile")


def _point(metric: "Metric") -> list[float]:
    """Return a metric as step, milliseconds since the epoch of Unix, and value."""
    return [metric.step, metric.timestamp, metric.value]


def _model(model: "LoggedModel") -> dict[str, Any]:
    return {
        "id": model.model_id,
        "name": model.name,
        "run": model.source_run_id,
        "type": model.model_type,
        "status": str(model.status),
        "location": model.artifact_location,
        "tags": dict(model.tags),
        "params": dict(model.params),
        "metrics": [[m.key, *_point(m)] for m in model.metrics or [] if m.run_id is not None],
    }


def _registry(store: Store, run_ids: set[str]) -> list[dict[str, Any]]:
    """Return the registered models that have versions of these runs, with those versions."""
    models: dict[str, dict[str, Any]] = {}
    for version in versions_of(store, run_ids):
        if version.name not in models:
            model = store.client.get_registered_model(version.name)
            models[version.name] = {
                "name": model.name,
                "description": model.description,
                "tags": dict(model.tags),
                "aliases": dict(model.aliases),
                "versions": [],
            }
        models[version.name]["versions"].append(
            {
                "version": str(version.version),
                "run": version.run_id,
                "model": version.model_id,
                "source": version.source,
                "description": version.description,
                "tags": dict(version.tags),
            }
        )
    return list(models.values())


def _add_files(store: Store, writer: Writer, place: str, into: str) -> None:
    """Add all files under an artifact location."""
    with tempfile.TemporaryDirectory() as folder:
        root = files_at(store, place).fetch(Path(folder))
        for path in sorted(root.rglob("*")):
            if path.is_file():
                writer.add_file(f"{into}/{path.relative_to(root).as_posix()}", path)
