"""The model registry: register a study's champion as a model version, and load one by its name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from nets.errors import InputError, did_you_mean, one_of
from nets.outcome import Model
from tracking.models import library_folder
from tracking.models.library_folder import title_of
from tracking.models.model_folder import read_model_arrays
from tracking.store import names
from tracking.store.client import all_pages, models_of
from tracking.store.store import Store, one_line

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Registered:
    """A model version, with the arrays for `nets.model_source.restore`."""

    name: str
    version: str
    arrays: dict[str, NDArray[Any]]
    tags: dict[str, str]


def register(
    store: Store,
    study: str,
    *,
    run_id: str,
    model_id: str,
    description: str,
    tags: Mapping[str, str],
) -> str:
    """Register a logged model as the champion of its study; return the version.

    Repeated for the same model, this only updates description and tags.
    """
    client = store.client
    if not client.search_registered_models(f"name = {names.quoted(study)}"):
        client.create_registered_model(
            study,
            tags={names.KIND_TAG: names.STUDY_KIND, names.STUDY_TAG: study},
            description=f"Confirmed winners of the search {study}. Alias `{names.CHAMPION}`: "
            f"the one that `retrial predict {study}` uses.",
        )
    # By its location: for ``models:/ID``, MLflow would ask the process's own tracking URI.
    location = client.get_logged_model(model_id).artifact_location
    there = client.search_model_versions(
        f"name = {names.quoted(study)} and run_id = {names.quoted(run_id)}"
    )
    version = next((found for found in there if found.source == location), None)
    if version is None:
        version = client.create_model_version(study, location, run_id=run_id, model_id=model_id)
    client.update_model_version(study, version.version, description)
    for key, value in tags.items():
        client.set_model_version_tag(study, version.version, key, value)
    client.set_registered_model_alias(study, names.CHAMPION, version.version)
    # Lets the MLflow UI show the version on the page of the model.
    link = json.dumps([{"name": study, "version": version.version}])
    client.set_logged_model_tags(model_id, {"mlflow.modelVersions": link})
    return str(version.version)


def certify(store: Store, run_id: str, verdict: str) -> None:
    """Tag with a verdict the model versions of a run, and those whose winning trial it recorded."""
    for tag, condition in (
        (names.VERDICT_TAG, f"run_id = {names.quoted(run_id)}"),
        (names.TRIAL_VERDICT_TAG, f"tags.`{names.TRIAL_RUN_TAG}` = {names.quoted(run_id)}"),
    ):
        for version in store.client.search_model_versions(condition):
            store.client.set_model_version_tag(version.name, version.version, tag, verdict)


def load(store: Store, text: str) -> Registered:
    """Return the model version named by a string: ``NAME``, ``NAME@alias`` or ``NAME/version``.

    A name alone is its champion. Raises InputError with the registered models, or the versions,
    and for a model whose files are not the recorded ones.
    """
    version = _find(store, text)
    if (library := read_library_model(store, text)) is not None:
        raise InputError(
            "model",
            problem=f"{version.name}/{version.version} is a model of {title_of(library)}, which "
            "retrial cannot apply to images",
            hint=f"load it in Python: studies.load_model({text!r})",
        )
    # By its location: for ``models:/NAME``, MLflow would ask the process's own tracking URI.
    location = store.client.get_model_version_download_uri(version.name, version.version)
    logged = _logged(store, version)
    arrays = read_model_arrays(
        store,
        location,
        "model",
        f"{version.name}/{version.version}",
        content=None if logged is None else logged.tags.get(names.CONTENT_TAG),
        weights=version.tags.get(names.WEIGHTS_TAG),
    )
    return Registered(version.name, str(version.version), arrays, dict(version.tags))


def read_library_model(store: Store, text: str) -> Model | None:
    """Return the model named by a string as in `load` if it has files of a library, or None."""
    version = _find(store, text)
    logged = _logged(store, version)
    if logged is None:
        return None
    return library_folder.read_library_model(
        store, logged, "model", f"{version.name}/{version.version}"
    )


def location_of(store: Store, text: str) -> str:
    """Return the URI of the folder of the model named by a string as in `load`."""
    version = _find(store, text)
    return str(store.client.get_model_version_download_uri(version.name, version.version))


def run_of(store: Store, text: str) -> str:
    """Return the id of the run of the model version named by a string, as in `load`."""
    version = _find(store, text)
    if not version.run_id:
        problem = f"{version.name}/{version.version} has no run"
        raise InputError("model", text, "a model that retrial registered", problem=problem)
    return str(version.run_id)


def _find(store: Store, text: str) -> "ModelVersion":
    from mlflow.exceptions import MlflowException

    name, at, alias = text.partition("@")
    name, slash, number = name.partition("/") if not at else (name, "", "")
    try:
        if slash:
            return store.client.get_model_version(name, number)
        return store.client.get_model_version_by_alias(name, alias if at else names.CHAMPION)
    except MlflowException as error:
        raise _missing(store, text, name) from error


def _logged(store: Store, version: "ModelVersion") -> "LoggedModel | None":
    """Return the logged model that a version is; None for one that was registered by hand."""
    from mlflow.exceptions import MlflowException

    if not version.run_id:
        return None
    try:
        models = models_of(store.client, store.client.get_run(version.run_id))
    except MlflowException as error:
        problem = f"cannot read the run of {version.name}/{version.version} ({one_line(error)})"
        raise InputError("model", problem=problem) from error
    for model in models:
        if version.source in (model.artifact_location, f"models:/{model.model_id}"):
            return model
    return None


def _missing(store: Store, text: str, name: str) -> InputError:
    """Return the error for a model or a version that is not registered."""
    client = store.client
    models = {model.name: model for model in all_pages(client.search_registered_models)}
    if name not in models:
        hint = "run `retrial confirm STUDY` first"
        if _is_study(store, name):
            hint = f"run `retrial confirm {name}` first"
        elif models:
            hint = did_you_mean(name, models) or f"registered: {', '.join(sorted(models))}"
        return InputError("model", text, hint=hint, problem=f"no registered model {name!r}")
    of_model = f"name = {names.quoted(name)}"
    versions = all_pages(client.search_model_versions, filter_string=of_model)
    known = [f"{name}@{alias}" for alias in sorted(models[name].aliases)]
    known += [f"{name}/{number}" for number in sorted(int(v.version) for v in versions)]
    return InputError("model", text, one_of(known))


def _is_study(store: Store, name: str) -> bool:
    """Return whether a name is that of a study that was searched."""
    experiment = store.client.get_experiment_by_name(name) if name else None
    return (
        experiment is not None
        and experiment.lifecycle_stage == "active"
        and experiment.tags.get(names.KIND_TAG) == names.STUDY_KIND
    )
