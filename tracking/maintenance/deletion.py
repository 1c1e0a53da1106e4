"""Remove a study from MLflow: its runs, models and versions with all their files."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracking.store import names
from tracking.store.client import all_models, all_runs, files_at, files_of, versions_of
from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Holdings:
    """What MLflow has of a study; `experiment_id` is None if it has nothing.

    `foreign` names what others have added to the study's experiment; the other fields exclude it.
    """

    experiment_id: str | None = None
    foreign: list[str] = field(default_factory=list)
    runs: "list[Run]" = field(default_factory=list)
    models: "list[LoggedModel]" = field(default_factory=list)
    versions: "list[ModelVersion]" = field(default_factory=list)
    files: int = 0
    bytes: int = 0


def survey(store: Store, study: str, *, made_here: bool = False) -> Holdings:
    """Return what MLflow has of a study, including deleted runs.

    Runs without our tags were created by hand and are foreign, as are their models; with
    `made_here`, the whole experiment is ours.
    """
    experiment = store.client.get_experiment_by_name(study)
    if experiment is None:
        return Holdings()
    found_runs = all_runs(store.client, experiment.experiment_id, deleted=True)
    found_models = all_models(store.client, experiment.experiment_id)
    runs = [run for run in found_runs if made_here or names.KIND_TAG in run.data.tags]
    ours = {run.info.run_id for run in runs}
    models = [
        model
        for model in found_models
        if made_here or model.source_run_id in ours or names.STUDY_TAG in model.tags
    ]
    kept = ours | {model.model_id for model in models}
    foreign = [f"run {run.info.run_name}" for run in found_runs if run.info.run_id not in kept]
    foreign += [f"model {model.name}" for model in found_models if model.model_id not in kept]
    sizes = [
        size
        for place in [*(r.info.artifact_uri for r in runs), *(m.artifact_location for m in models)]
        for size in files_at(store, place).sizes()
    ]
    return Holdings(
        experiment_id=str(experiment.experiment_id),
        foreign=foreign,
        runs=runs,
        models=models,
        versions=versions_of(store.client, ours),
        files=len(sizes),
        bytes=sum(sizes),
    )


def remove(store: Store, holdings: Holdings) -> bool:
    """Remove a study from MLflow, files first; can be repeated after an interruption.

    An experiment with foreign content is kept, without our tags.

    Returns whether the study is erased: a tracking server only marks it as deleted, under another
    name, until `mlflow gc` runs there.
    """
    if holdings.experiment_id is None:
        return True
    client = store.client
    _remove_versions(store, holdings.versions)
    remove_models(store, holdings.models)
    remove_runs(store, holdings.runs)
    experiment = client.get_experiment(holdings.experiment_id)
    if holdings.foreign:
        for tag in experiment.tags:
            if tag.startswith(names.OWN_TAGS) or tag == names.TRIALS_VIEW_TAG:
                client.delete_experiment_tag(holdings.experiment_id, tag)
        return can_erase(store)
    if not can_erase(store):
        # A deleted experiment keeps its name, which no new one could use.
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
        files_of(store, run).remove()
        if run.info.lifecycle_stage == "active":
            store.client.delete_run(run.info.run_id)
        erase(store, "run", run.info.run_id)


def erase(store: Store, kind: str, identity: str) -> None:
    """Erase the rows of a deleted entity from MLflow's database, if it is accessible."""
    if can_erase(store):
        getattr(tracking_store(store), f"_hard_delete_{kind}")(identity)


def can_erase(store: Store) -> bool:
    """Return whether MLflow's database is accessible, not behind a server."""
    return hasattr(tracking_store(store), "_hard_delete_experiment")


def tracking_store(store: Store) -> Any:
    """Return MLflow's internal store, which `mlflow gc` uses and the client does not expose."""
    return store.client._tracking_client.store


def remove_empty_model(store: Store, name: str) -> None:
    """Remove a registered model if it has no version."""
    condition = f"name = {names.quoted(name)}"
    if store.client.search_registered_models(condition) and not (
        store.client.search_model_versions(condition)
    ):
        store.client.delete_registered_model(name)


def _remove_versions(store: Store, versions: "list[ModelVersion]") -> None:
    """Remove versions of registered models, and the models that have none left."""
    for version in versions:
        store.client.delete_model_version(version.name, version.version)
    for name in sorted({version.name for version in versions}):
        remove_empty_model(store, name)
