"""Write MLflow's part of a pack: runs, models, versions and their files."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from nets.errors import InputError
from tracking.maintenance.pack.archive import Writer
from tracking.records import JsonObject
from tracking.store.client import all_models, all_runs, files_at, versions_of
from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Experiment, LoggedModel, Metric, Run

EXPERIMENT_FILE = "mlflow/experiment.json"
RUNS_FILE = "mlflow/runs.json"
MODELS_FILE = "mlflow/models.json"
REGISTRY_FILE = "mlflow/registry.json"
ARTIFACTS = "mlflow/artifacts"
"""Folder of the artifacts, with one folder per run or model, named by its id."""


def export(store: Store, study: str, writer: Writer) -> dict[str, int]:
    """Write what MLflow has of a study into a pack; return the counts, empty if it has nothing.

    Raises InputError if the files of a model are missing; a run without files was recorded again
    before.
    """
    experiment = store.client.get_experiment_by_name(study)
    if experiment is None or experiment.lifecycle_stage != "active":
        return {}
    runs = all_runs(store.client, experiment.experiment_id)
    models = all_models(store.client, experiment.experiment_id)
    writer.add_json(EXPERIMENT_FILE, _experiment(experiment))
    writer.add_json(RUNS_FILE, [_run(store, run) for run in runs])
    writer.add_json(MODELS_FILE, [_model(model) for model in models])
    writer.add_json(REGISTRY_FILE, _registry(store, {run.info.run_id for run in runs}))
    for run in runs:
        _add_files(store, writer, run.info.artifact_uri, run.info.run_id)
    for model in models:
        added = _add_files(store, writer, model.artifact_location, model.model_id)
        if not added and str(model.status) == "READY":
            raise InputError(
                "pack",
                problem=f"the files of model {model.model_id} ({model.name}) are missing",
                hint="restore its folder, or delete the model in the MLflow UI",
            )
    return {"runs": len(runs), "models": len(models)}


def _experiment(experiment: "Experiment") -> JsonObject:
    return {
        "id": experiment.experiment_id,
        "name": experiment.name,
        "location": experiment.artifact_location,
        "tags": dict(experiment.tags),
    }


def _run(store: Store, run: "Run") -> JsonObject:
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
    """Return a metric as step, milliseconds since the Unix epoch, and value."""
    return [metric.step, metric.timestamp, metric.value]


def _model(model: "LoggedModel") -> JsonObject:
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


def _registry(store: Store, run_ids: set[str]) -> list[JsonObject]:
    """Return the registered models with versions from these runs, and those versions."""
    models: dict[str, JsonObject] = {}
    for version in versions_of(store.client, run_ids):
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


def _add_files(store: Store, writer: Writer, place: str, identity: str) -> int:
    """Add all files at the artifact location of a run or a model; return how many."""
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        root = files_at(store, place).fetch(Path(folder))
        for path in sorted(root.rglob("*")):
            if path.is_file():
                name = path.relative_to(root).as_posix()
                writer.add_file(f"{ARTIFACTS}/{identity}/{name}", path)
                count += 1
    return count
