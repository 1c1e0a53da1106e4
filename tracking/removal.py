"""Removing what MLflow has of a study: runs, models, versions, and all their files."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracking import names
from tracking.artifacts import files_at
from tracking.pack.export import all_models, all_runs, versions_of
from tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Holdings:
    """What MLflow has of a study; `experiment_id` is None where it has nothing."""

    experiment_id: str | None = None
    runs: "list[Run]" = field(default_factory=list)
    models: "list[LoggedModel]" = field(default_factory=list)
    versions: "list[ModelVersion]" = field(default_factory=list)
    files: int = 0
    bytes: int = 0


def survey(store: Store, study: str) -> Holdings:
    """Return what MLflow has of a study, deleted runs included."""
    experiment = store.client.get_experiment_by_name(study)
    if experiment is None:
        return Holdings()
    runs = all_runs(store, experiment.experiment_id, deleted=True)
    models = all_models(store, experiment.experiment_id)
    sizes = [
        size
        for place in [*(r.info.artifact_uri for r in runs), *(m.artifact_location for m in models)]
        for size in files_at(store, place).sizes().values()
    ]
    return Holdings(
        experiment_id=str(experiment.experiment_id),
        runs=runs,
        models=models,
        versions=versions_of(store, [run.info.run_id for run in runs]),
        files=len(sizes),
        bytes=sum(sizes),
    )


def remove(store: Store, holdings: Holdings) -> bool:
    """Remove a study from MLflow, the files first; may be repeated where it was interrupted.

    Returns whether it is gone for good: a tracking server only marks runs as deleted and gives
    their name free, until `mlflow gc` runs there.
    """
    if holdings.experiment_id is None:
        return True
    client = store.client
    _remove_versions(store, holdings.versions)
    remove_models(store, holdings.models)
    remove_runs(store, holdings.runs)
    experiment = client.get_experiment(holdings.experiment_id)
    if not can_erase(store):
        # A deleted experiment keeps its name: nothing new could have it.
        if experiment.lifecycle_stage != "active":
            client.restore_experiment(holdings.experiment_id)
        name = f"{experiment.name} (deleted {holdings.experiment_id})"
        client.rename_experiment(holdings.experiment_id, name)
    if not can_erase(store) or experiment.lifecycle_stage == "active":
        client.delete_experiment(holdings.experiment_id)
    erase(store, "experiment", holdings.experiment_id)
    return can_erase(store)


def remove_models(store: Store, models: "list[LoggedModel]") -> None:
    """Remove logged models with their files."""
    for model in models:
        files_at(store, model.artifact_location).remove()
        store.client.delete_logged_model(model.model_id)
        erase(store, "logged_model", model.model_id)


def remove_runs(store: Store, runs: "list[Run]") -> None:
    """Remove runs with their files."""
    for run in runs:
        files_at(store, run.info.artifact_uri).remove()
        if run.info.lifecycle_stage == "active":
            store.client.delete_run(run.info.run_id)
        erase(store, "run", run.info.run_id)


def erase(store: Store, kind: str, identity: str) -> None:
    """Remove the rows of something deleted from MLflow's database, where that is at hand."""
    if can_erase(store):
        getattr(_tracking_store(store), f"_hard_delete_{kind}")(identity)


def can_erase(store: Store) -> bool:
    """Tell whether MLflow's database is at hand and not behind a server."""
    return hasattr(_tracking_store(store), "_hard_delete_experiment")


def _tracking_store(store: Store) -> Any:
    """Return MLflow's own store: what `mlflow gc` works on, and the client does not offer."""
    return store.client._tracking_client.store


def remove_empty_model(store: Store, name: str) -> None:
    """Remove a registered model that has no version."""
    condition = f"name = {names.quoted(name)}"
    if store.client.search_registered_models(condition) and not (
        store.client.search_model_versions(condition)
    ):
        store.client.delete_registered_model(name)


def _remove_versions(store: Store, versions: "list[ModelVersion]") -> None:
    """Remove versions of registered models, and models that have none left."""
    for version in versions:
        store.client.delete_model_version(version.name, version.version)
    for name in sorted({version.name for version in versions}):
        remove_empty_model(store, name)
