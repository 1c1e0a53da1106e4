"""The parts of a run: parameters, files, inputs and a model.

Every function may be interrupted and called again, and writes nothing twice.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from nets.outcome import Model
from nets.settings import Settings
from tracking.models.library_folder import content_of
from tracking.models.model_folder import content_sha256, write_model_folder
from tracking.records import Environment, JsonObject, Values
from tracking.store import names
from tracking.store.client import files_at
from tracking.store.plain_values import as_text, flat
from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Param


def as_params(settings: Values) -> dict[str, str]:
    """Return settings as the parameters of a run: texts, nested ones under dotted names.

    Names are changed to what MLflow accepts, and values are cut to the length it accepts.
    """
    return {
        names.key(name): names.plain(as_text(value))[:6000]
        for name, value in flat(settings).items()
    }


def params_of(settings: Values, definition: JsonObject) -> "list[Param]":
    """Return the settings of a trial of a study that have an effect, as parameters of a run."""
    from mlflow.entities import Param

    return [
        Param(key, value) for key, value in as_params(with_effect(settings, definition)).items()
    ]


def with_effect(settings: Values, definition: JsonObject) -> Values:
    """Return the settings that can have an effect on a trial of a study.

    Left out are searched ones whose ``when`` is not met and, of our own settings, those that have
    an effect only with other values of another setting (``only_with``).

    >>> space = {"momentum": {"low": 0, "high": 1, "when": {"optimizer": ["momentum"]}}}
    >>> study = {"settings": "nets.settings:Settings"}
    >>> settings = {"optimizer": "sgd", "momentum": 0.9, "beta1": 0.9}
    >>> with_effect(settings, {"study": study, "space": space})
    {'optimizer': 'sgd'}
    """
    conditions = [(name, table.get("when")) for name, table in definition.get("space", {}).items()]
    if definition.get("study", {}).get("settings") == names.OWN_SETTINGS:
        conditions += [(item.name, item.metadata.get("only_with")) for item in fields(Settings)]
    unused = {
        name
        for name, condition in conditions
        for other, values in (condition or {}).items()
        if other in settings
        and settings[other] not in (values if isinstance(values, list | tuple) else [values])
    }
    return {name: value for name, value in settings.items() if name not in unused}


def write_inputs(client: "MlflowClient", run_id: str, environment: Environment) -> None:
    """Log the data in an environment as the run's inputs."""
    from mlflow.entities import Dataset, DatasetInput

    if inputs := [
        DatasetInput(Dataset(name, _digest(sha256), "retrial", as_text({"sha256": sha256})))
        for name, sha256 in (environment.data or {}).items()
    ]:
        client.log_inputs(run_id, datasets=inputs)


def log_model(
    store: Store,
    experiment_id: str,
    run_id: str,
    model: Model,
    *,
    name: str,
    tags: Mapping[str, str],
    params: Values,
    step: int,
    code: bytes | None = None,
    is_new: bool = False,
) -> str:
    """Log a model under a name, once, as an output of its run; return its id.

    If the run already has another model, this one is added. `code` is what its source imports;
    see `tracking.models.model_folder.write_model_folder`. A run that `is_new` has no model yet.
    """
    from mlflow.entities import LoggedModelOutput

    client = store.client
    source = names.plain(model.source).encode()
    content = content_of(model) if model.files else content_sha256(source, model.arrays)
    tags = {**tags, names.CONTENT_TAG: content}
    if model.files:
        tags[names.FORMAT_TAG] = model.format
    found = None if is_new else _logged(client, experiment_id, run_id, content)
    logged = found or client.create_logged_model(
        experiment_id, name=name, source_run_id=run_id, tags=tags, params=as_params(params)
    )
    if str(logged.status) != "READY":
        with files_at(store, logged.artifact_location).folder() as folder:
            write_model_folder(
                folder,
                model,
                model_id=logged.model_id,
                run_id=run_id,
                location=logged.artifact_location,
                code=code,
            )
        client.finalize_logged_model(logged.model_id, "READY")
    if found is None or logged.model_id not in _outputs(client, run_id):
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=step)])
    return str(logged.model_id)


def _logged(
    client: "MlflowClient", experiment_id: str, run_id: str, content: str
) -> "LoggedModel | None":
    """Return the model of a run with this content, or None."""
    models = client.search_logged_models(
        [experiment_id], filter_string=f"source_run_id = {names.quoted(run_id)}"
    )
    return next((one for one in models if one.tags.get(names.CONTENT_TAG) == content), None)


def _outputs(client: "MlflowClient", run_id: str) -> set[str]:
    """Return the ids of the models that are outputs of a run."""
    outputs = client.get_run(run_id).outputs
    return {output.model_id for output in (outputs.model_outputs if outputs else [])}


def dataset_of_metrics(environment: Environment) -> dict[str, str]:
    """Return the arguments of a metric that name the data it was measured on, if it is one dataset.

    It is the data that `write_inputs` logs.
    """
    if len(environment.data or {}) != 1:
        return {}
    ((name, sha256),) = (environment.data or {}).items()
    return {"dataset_name": name, "dataset_digest": _digest(sha256)}


def _digest(sha256: str) -> str:
    return sha256[:12]
