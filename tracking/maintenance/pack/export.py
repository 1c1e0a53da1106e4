"""Write MLflow's part of a pack: runs, models, versions and their files."""

import tempfile
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from nets.errors import InputError
from tracking.maintenance.pack.archive import Writer
from tracking.records import to_json
from tracking.records.pack import (
    PackedDataset,
    PackedExperiment,
    PackedModel,
    PackedRegistered,
    PackedRun,
    PackedVersion,
)
from tracking.store import names
from tracking.store.client import all_models, all_runs, files_at, versions_of
from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Experiment, LoggedModel, Metric, Run

EXPERIMENT_FILE = "mlflow/experiment.json"
RUNS_FILE = "mlflow/runs.json"
MODELS_FILE = "mlflow/models.json"
REGISTRY_FILE = "mlflow/registry.json"
ARTIFACTS = "mlflow/artifacts"
"""Folder of the artifacts, with one folder per run or model, named by its id."""


def export(
    store: Store, study: str, writer: Writer, trials: Container[str] | None = None
) -> dict[str, int]:
    """Write what MLflow has of a study into a pack; return the counts, empty if it has nothing.

    With `trials`, only these runs of trials and their models are written. Raises InputError if the
    files of a model are missing; a run without files was recorded again before.
    """
    experiment = store.client.get_experiment_by_name(study)
    if experiment is None or experiment.lifecycle_stage != "active":
        return {}
    runs = all_runs(store.client, experiment.experiment_id)
    models = all_models(store.client, experiment.experiment_id)
    if trials is not None:
        left_out = {
            run.info.run_id
            for run in runs
            if run.data.tags.get(names.KIND_TAG) == names.TRIAL_KIND
            and run.info.run_id not in trials
        }
        runs = [run for run in runs if run.info.run_id not in left_out]
        known = {run.info.run_id for run in runs}
        models = [model for model in models if model.source_run_id in {None, *known}]
    for name, content in {
        EXPERIMENT_FILE: _experiment(experiment),
        RUNS_FILE: [_run(store, run) for run in runs],
        MODELS_FILE: [_model(model) for model in models],
        REGISTRY_FILE: _registry(store, {run.info.run_id for run in runs}),
    }.items():
        writer.add_json(name, to_json(content))
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


def _experiment(experiment: "Experiment") -> PackedExperiment:
    return PackedExperiment(
        id=str(experiment.experiment_id),
        name=experiment.name,
        location=experiment.artifact_location,
        tags=dict(experiment.tags),
    )


def _run(store: Store, run: "Run") -> PackedRun:
    info, data = run.info, run.data
    return PackedRun(
        id=info.run_id,
        name=info.run_name,
        status=info.status,
        started=info.start_time,
        ended=info.end_time,
        location=info.artifact_uri,
        tags=dict(data.tags),
        params=dict(data.params),
        metrics={
            key: tuple(map(_point, store.client.get_metric_history(info.run_id, key)))
            for key in data.metrics
        },
        inputs=tuple(map(_input, run.inputs.dataset_inputs if run.inputs else [])),
        outputs=tuple(
            (output.model_id, output.step)
            for output in (run.outputs.model_outputs if run.outputs else [])
        ),
    )


def _input(entry: "DatasetInput") -> PackedDataset:
    dataset = entry.dataset
    return PackedDataset(
        name=dataset.name,
        digest=dataset.digest,
        source_type=dataset.source_type,
        source=dataset.source,
        schema=dataset.schema,
        profile=dataset.profile,
        tags={tag.key: tag.value for tag in entry.tags},
    )


def _point(metric: "Metric") -> tuple[float, ...]:
    return metric.step, metric.timestamp, metric.value


def _model(model: "LoggedModel") -> PackedModel:
    return PackedModel(
        id=model.model_id,
        name=model.name,
        run=model.source_run_id,
        type=model.model_type,
        status=str(model.status),  # type: ignore[arg-type]
        location=model.artifact_location,
        tags=dict(model.tags),
        params=dict(model.params),
        metrics=tuple((m.key, *_point(m)) for m in model.metrics or [] if m.run_id is not None),
    )


def _registry(store: Store, run_ids: set[str]) -> list[PackedRegistered]:
    """Return the registered models with versions from these runs, and those versions."""
    versions: dict[str, list[PackedVersion]] = {}
    for version in versions_of(store.client, run_ids):
        versions.setdefault(version.name, []).append(
            PackedVersion(
                version=str(version.version),
                run=str(version.run_id),
                model=version.model_id,
                source=str(version.source),
                description=version.description,
                tags=dict(version.tags),
            )
        )
    models = [store.client.get_registered_model(name) for name in versions]
    return [
        PackedRegistered(
            name=model.name,
            description=model.description,
            tags=dict(model.tags),
            aliases=dict(model.aliases),
            versions=tuple(versions[model.name]),
        )
        for model in models
    ]


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
