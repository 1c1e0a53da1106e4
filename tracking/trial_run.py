"""A trial in MLflow: everything that is written to its run.

Every function here may be interrupted at any line and called again: it looks before it creates,
and writes nothing twice. What has been written is remembered in the ledger by its caller.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nets.outcome import Model
from tracking import names
from tracking.environment import Environment
from tracking.ledger import EpochRecord, TrialRecord
from tracking.study_run import StudyRun, source_tags, write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

STATUS = {"running": "RUNNING", "complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}
"""MLflow's status of a run for each state of a trial."""

KILLED = "killed"
"""State of an open trial whose driver has ended; not a state of the ledger's trials."""

_BATCH = 1000


def begin(
    client: "MlflowClient", parent: StudyRun, trial: TrialRecord, environment: Environment
) -> str:
    """Find or create a trial's run and write what is known when it starts; return its id."""
    from mlflow.entities import Dataset, DatasetInput, Param

    run_id = _find(client, parent, trial) or _create(client, parent, trial, environment)
    params = [Param(key[:250], _text(value)[:6000]) for key, value in _flat(trial.settings).items()]
    for start in range(0, len(params), 100):
        client.log_batch(run_id, params=params[start : start + 100])
    _write_files(
        client,
        run_id,
        {names.SETTINGS_FILE: trial.settings, names.ENVIRONMENT_FILE: environment},
    )
    if inputs := [
        DatasetInput(Dataset(name, sha256[:36], "retrial", _text({"sha256": sha256})))
        for name, sha256 in _datasets(environment)
    ]:
        client.log_inputs(run_id, datasets=inputs)
    return run_id


def missing_metrics(client: "MlflowClient", run: "Run", metrics: list["Metric"]) -> list["Metric"]:
    """Return those of `metrics` whose (key, step) the run does not have yet."""
    there = {
        (point.key, point.step)
        for key in {metric.key for metric in metrics} & run.data.metrics.keys()
        for point in client.get_metric_history(run.info.run_id, key)
    }
    return [metric for metric in metrics if (metric.key, metric.step) not in there]


def epoch_metrics(epochs: Iterable[EpochRecord]) -> list["Metric"]:
    """Return the metrics of epochs; the step is the epoch's number."""
    from mlflow.entities import Metric

    return [
        Metric(names.metric_key(key), float(value), int(epoch.at * 1000), epoch.number)
        for epoch in epochs
        for key, value in epoch.metrics.items()
    ]


def send_metrics(client: "MlflowClient", run_id: str, metrics: list["Metric"]) -> None:
    """Write metrics in as few requests as MLflow allows."""
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH])


def reopen(client: "MlflowClient", run_id: str) -> None:
    """Set the run of a trial that is continued to RUNNING."""
    client.update_run(run_id, status="RUNNING")
    client.set_tag(run_id, names.STATE_TAG, "running")


def kill(client: "MlflowClient", run_id: str) -> None:
    """End the run of a trial that stays open when its driver ends."""
    client.set_tag(run_id, names.STATE_TAG, KILLED)
    client.set_terminated(run_id, "KILLED")


def end(
    client: "MlflowClient",
    parent: StudyRun,
    trial: TrialRecord,
    run_id: str,
    epochs: Sequence[EpochRecord],
    model: Model | None,
    environment: Environment,
) -> None:
    """Write what a finished trial leaves: values, files, figure and model; then end its run."""
    from mlflow.entities import Metric, RunTag

    from tracking.figures import curves, to_png

    kept = trial.outcome.get("epoch")
    title = f"{names.trial_run_name(trial.number)} of {trial.study}: {trial.state}"
    if trial.value is not None:
        title += f", {parent.metric} {trial.value:.5g}"
    files: dict[str, Any] = {
        names.EPOCHS_FILE: epochs_json(epochs),
        names.OUTCOME_FILE: {"state": trial.state, **trial.outcome},
        names.ENVIRONMENT_FILE: environment,
    }
    if epochs:
        files[names.CURVES_FILE] = to_png(curves(title, epochs, kept))
    if trial.outcome.get("error"):
        files[names.ERROR_FILE] = _error_text(trial.outcome["error"])
    _write_files(client, run_id, files)
    model_id = None
    if model is not None:
        model_id = _log_model(client, parent.experiment_id, trial, run_id, model)
    at = int((trial.finished or 0) * 1000)
    step = int(kept or (epochs[-1].number if epochs else 0))
    values = {
        names.VALUE_METRIC: trial.value,
        names.EPOCHS_METRIC: len(epochs),
        names.SECONDS_METRIC: sum(epoch.seconds for epoch in epochs),
    }
    metrics = [
        Metric(key, float(value), at, step, model_id=model_id)
        for key, value in values.items()
        if value is not None
    ]
    weights = _kept_digest(epochs, kept)
    # Writing these again changes nothing: values and times come from the ledger.
    client.log_batch(
        run_id,
        metrics=metrics,
        tags=[
            RunTag(names.STATE_TAG, trial.state),
            RunTag(names.REASON_TAG, str(trial.outcome.get("reason", trial.state))),
            RunTag("mlflow.note.content", describe(trial, parent)),
            *([RunTag(names.WEIGHTS_TAG, weights)] if weights else []),
        ],
    )
    client.set_terminated(run_id, STATUS[trial.state], at or None)


def epochs_json(epochs: Iterable[EpochRecord]) -> list[dict[str, Any]]:
    """Return epochs as `epochs.json` holds them, exact to the last bit."""
    return [
        {
            "epoch": epoch.number,
            "metrics": epoch.metrics,
            "digests": epoch.digests,
            "seconds": epoch.seconds,
        }
        for epoch in epochs
    ]


def describe(trial: TrialRecord, parent: StudyRun) -> str:
    """Return a trial's description in Markdown: what it is and how to reproduce it."""
    state = trial.state if trial.state != "running" else "running now"
    outcome = trial.outcome
    lines = [f"Trial {trial.number} of the search **{trial.study}**: {state}."]
    if trial.value is not None:
        lines.append(f"`{parent.metric}` {trial.value:.6g} at epoch {outcome.get('epoch')}.")
    if pruned := outcome.get("pruned"):
        lines.append(f"Pruned: {_text(pruned)}.")
    if error := outcome.get("error"):
        lines.append(f"Failed: {_first_line(_error_text(error))} (see `{names.ERROR_FILE}`).")
    if trial.parameters:
        lines += ["", "| searched | value |", "|---|---|"]
        lines += [f"| `{name}` | {_text(value)} |" for name, value in trial.parameters.items()]
    lines += [
        "",
        "Try it again, and compare bit by bit:",
        "",
        f"    retrial reproduce {trial.number} --study {trial.study}",
    ]
    return "\n".join(lines)


def _find(client: "MlflowClient", parent: StudyRun, trial: TrialRecord) -> str | None:
    """Return the run that an interrupted attempt created, or None.

    A request that was lost on its way back may have created a second one: the first stays.
    """
    runs = client.search_runs(
        [parent.experiment_id],
        f"tags.`{names.STUDY_TAG}` = {names.quoted(trial.study)}"
        f" and tags.`{names.TRIAL_TAG}` = '{trial.number}'",
        order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
    )
    for run in runs[1:]:
        client.delete_run(run.info.run_id)
    return str(runs[0].info.run_id) if runs else None


def _create(
    client: "MlflowClient", parent: StudyRun, trial: TrialRecord, environment: Environment
) -> str:
    code = environment.get("code")
    data = ", ".join(sha256 for _, sha256 in _datasets(environment))
    run = client.create_run(
        parent.experiment_id,
        start_time=int((trial.started or trial.asked) * 1000),
        run_name=names.trial_run_name(trial.number),
        tags={
            "mlflow.parentRunId": parent.run_id,
            "mlflow.note.content": describe(trial, parent),
            names.KIND_TAG: names.TRIAL_KIND,
            names.STUDY_TAG: trial.study,
            names.TRIAL_TAG: str(trial.number),
            names.STATE_TAG: "running",
            names.METRIC_TAG: parent.metric,
            names.DIRECTION_TAG: parent.direction,
            **({names.CODE_TAG: str(code["nets"])} if isinstance(code, Mapping) else {}),
            **({names.DATA_TAG: data} if data else {}),
            **source_tags(environment),
        },
    )
    return str(run.info.run_id)


def _log_model(
    client: "MlflowClient", experiment_id: str, trial: TrialRecord, run_id: str, model: Model
) -> str:
    """Log the model of a trial, once, as an output of its run; return its id."""
    from mlflow.entities import LoggedModelOutput

    from tracking.model_folder import write_model_folder

    found = client.search_logged_models(
        [experiment_id], filter_string=f"source_run_id = {names.quoted(run_id)}", max_results=1
    )
    logged = (
        found[0]
        if found
        else client.create_logged_model(
            experiment_id,
            name=names.MODEL,
            source_run_id=run_id,
            tags={names.STUDY_TAG: trial.study, names.TRIAL_TAG: str(trial.number)},
            params={key[:250]: _text(value)[:6000] for key, value in trial.parameters.items()},
        )
    )
    if str(logged.status) != "READY":
        with tempfile.TemporaryDirectory() as folder:
            write_model_folder(
                Path(folder),
                model,
                model_id=logged.model_id,
                run_id=run_id,
                location=logged.artifact_location,
            )
            client.log_model_artifacts(logged.model_id, folder)
        client.finalize_logged_model(logged.model_id, "READY")
    outputs = client.get_run(run_id).outputs
    if not (outputs and outputs.model_outputs):
        step = int(trial.outcome.get("epoch") or 0)
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=step)])
    return str(logged.model_id)


def _write_files(client: "MlflowClient", run_id: str, files: Mapping[str, Any]) -> None:
    """Write artifacts of a run: bytes and texts as they stand, everything else as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder) / name
            if isinstance(content, bytes):
                path.write_bytes(content)
            elif isinstance(content, str):
                path.write_text(content, encoding="utf-8")
            else:
                write_json(path, content)
        client.log_artifacts(run_id, folder)


def _kept_digest(epochs: Sequence[EpochRecord], kept: int | None) -> str | None:
    """Return the SHA-256 of the weights that were kept."""
    return next((e.digests.get("weights") for e in epochs if e.number == kept), None)


def _datasets(environment: Environment) -> list[tuple[str, str]]:
    """Return name and SHA-256 of the data as the environment tells them."""
    data = environment.get("data")
    if not isinstance(data, Mapping):
        return []
    return [(str(name), str(sha256)) for name, sha256 in data.items()]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names.

    >>> _flat({"epochs": 3, "network": {"hidden": [100]}})
    {'epochs': 3, 'network.hidden': [100]}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {
            f"{prefix}{key}": value
        }  # fmt: skip
    return flat


def _text(value: Any) -> str:
    """Return a value as the pages show it: texts without quotes, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _error_text(error: Any) -> str:
    """Return an error as its traceback, or as what there is of it."""
    if isinstance(error, Mapping):
        summary = f"{error.get('type', 'error')}: {error.get('message', '')}"
        return str(error.get("traceback") or summary)
    return str(error)


def _first_line(text: str) -> str:
    """Return the line of a traceback that says what happened, its last."""
    return text.strip().splitlines()[-1] if text.strip() else ""
