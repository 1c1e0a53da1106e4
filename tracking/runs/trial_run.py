"""A trial in MLflow: everything that is written to its run.

Every function may be interrupted at any line and called again: it looks before it creates, and
writes nothing twice. Its caller stores in the ledger what has been written.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nets.outcome import Model
from tracking.records import Environment, EpochRecord, Failure, TrialRecord, to_json
from tracking.runs import recorded_code
from tracking.runs.content import dataset_of_metrics, log_model, params_of
from tracking.runs.study_run import StudyRun, source_tags
from tracking.store import names
from tracking.store.client import files_of
from tracking.store.plain_values import rounded
from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

STATUS = {"running": "RUNNING", "complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}
"""MLflow's status of a run for each state of a trial."""

PRUNED_COLOR = "#a9adb5"
"""Grey, as in our figures; importing their style would load matplotlib."""

KILLED = "killed"
"""State of an open trial whose driver has ended; not a state of the ledger's trials."""

INCOMPLETE = "incomplete"
"""State of a run that lacks what MLflow rejected; not a state of the ledger's trials either."""


def files_of_start(trial: TrialRecord, environment: Environment) -> dict[str, Any]:
    """Return the files of a run that are known when its trial starts."""
    return {names.SETTINGS_FILE: trial.settings, names.ENVIRONMENT_FILE: environment.to_json()}


def missing_metrics(
    client: "MlflowClient", run: "Run", metrics: list["Metric"], since: float = 0.0
) -> list["Metric"]:
    """Return the `metrics` whose (key, step) is not yet in the run, written `since` a time.

    The time is in seconds since the Unix epoch. What a run has from before it does not count: those
    are the epochs of a failure after which the trial was trained again.
    """
    there = {
        (point.key, point.step)
        for key in {metric.key for metric in metrics} & run.data.metrics.keys()
        for point in client.get_metric_history(run.info.run_id, key)
        if point.timestamp >= int(1000 * since)
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


def reopen(client: "MlflowClient", run_id: str) -> None:
    """Set the run of a trial that is continued to RUNNING."""
    client.update_run(run_id, status="RUNNING")
    client.set_tag(run_id, names.STATE_TAG, "running")


def kill(client: "MlflowClient", run_id: str) -> None:
    """End the run of a trial that stays open when its driver ends."""
    client.set_tag(run_id, names.STATE_TAG, KILLED)
    client.set_terminated(run_id, "KILLED")


def give_up(client: "MlflowClient", trial: TrialRecord, run_id: str, rejection: str) -> None:
    """End the run of a finished trial whose record MLflow rejected in part; write the reason.

    A trial in this state cannot be reproduced.
    """
    client.set_tag(run_id, names.REFUSED_TAG, rejection)
    client.set_tag(run_id, names.STATE_TAG, INCOMPLETE)
    client.set_tag(
        run_id,
        names.DESCRIPTION_TAG,
        f"Trial {trial.number} of the search **{trial.study}**: {trial.state}, but MLflow rejected "
        f"a part of its record: {rejection}",
    )
    client.set_terminated(run_id, STATUS[trial.state], int((trial.finished or 0) * 1000) or None)


def end(
    store: Store,
    parent: StudyRun,
    trial: TrialRecord,
    run: "Run",
    epochs: Sequence[EpochRecord],
    model: Model | None,
    environment: Environment,
    curves: bytes | None,
    *,
    kept: Mapping[str, bytes],
    unsent: Sequence["Metric"],
    is_new: bool,
) -> None:
    """Write the files, model and values of a finished trial; then end its run.

    `kept` are the files that the trial has left, `unsent` the metrics of epochs that the run lacks.
    A run that `is_new` has nothing yet.
    """
    from mlflow.entities import Metric, RunTag

    run_id, outcome = str(run.info.run_id), trial.outcome
    files: dict[str, Any] = {
        **files_of_start(trial, environment),
        names.EPOCHS_FILE: to_json(epochs),
        names.OUTCOME_FILE: {"state": trial.state, **outcome.to_json()},
    }
    files |= {f"{names.TRIAL_FILES_FOLDER}/{name}": content for name, content in kept.items()}
    if curves is not None:
        files[names.CURVES_FILE] = curves
    if errors := _errors(trial):
        files[names.ERROR_FILE] = "\n".join(map(_error_text, errors))
    files_of(store, run).write(files)
    description = describe(trial, parent)
    model_id = None
    if model is not None:
        model_id = log_model(
            store,
            parent.experiment_id,
            run_id,
            model,
            name=names.trial_run_name(trial.number),
            tags={
                names.STUDY_TAG: trial.study,
                names.TRIAL_TAG: str(trial.number),
                names.DESCRIPTION_TAG: description,
            },
            params=trial.parameters,
            step=outcome.epoch or 0,
            code=recorded_code.for_model(parent.files, environment),
            is_new=is_new,
        )
    at = int((trial.finished or 0) * 1000)
    values = {
        names.VALUE_METRIC: trial.value,
        names.EPOCHS_METRIC: len(epochs),
        names.SECONDS_METRIC: round(sum(epoch.seconds for epoch in epochs), 3),
    }
    # The page of a model shows the data its metrics were measured on.
    data = dataset_of_metrics(environment)
    metrics = [
        Metric(key, float(value), at, 0, model_id=model_id, **data)
        for key, value in values.items()
        if value is not None
    ]
    weights, count = _kept_digest(epochs, outcome.epoch), outcome.parameter_count
    # One request; MLflow writes the tags last. Values and times come from the ledger, so writing
    # them again changes nothing.
    store.client.log_batch(
        run_id,
        metrics=[*unsent, *metrics],
        params=params_of(trial.settings, parent.definition),
        tags=[
            RunTag(names.STATE_TAG, trial.state),
            RunTag(names.REASON_TAG, names.plain(outcome.reason or trial.state)),
            RunTag(names.DESCRIPTION_TAG, description),
            *([RunTag(names.COLOR_TAG, PRUNED_COLOR)] if trial.state == "pruned" else []),
            *(RunTag(key, value) for key, value in _origin(environment).items() if trial.earlier),
            *([RunTag(names.WEIGHTS_TAG, names.plain(weights))] if weights else []),
            *([RunTag(names.PARAMETER_COUNT_TAG, str(count))] if count is not None else []),
            *([RunTag(names.MIXED_TAG, names.plain(mixed))] if (mixed := _mixed(trial)) else []),
        ],
    )
    store.client.set_terminated(run_id, STATUS[trial.state], at or None)


def curves_title(trial: TrialRecord, metric: str) -> str:
    """Return the title of a finished trial's curves."""
    title = f"{names.trial_run_name(trial.number)} of {trial.study}: {trial.state}"
    return title if trial.value is None else f"{title}, {metric} {rounded(trial.value)}"


def describe(trial: TrialRecord, parent: StudyRun) -> str:
    """Return a trial's description in Markdown: what it is and how to reproduce it.

    The searched settings have a line of their own near the top, because MLflow's page cuts a
    description after a few lines and lists all parameters in one table.
    """
    state = trial.state if trial.state != "running" else "running now"
    outcome = trial.outcome
    summary = f"Trial {trial.number} of the search **{trial.study}**: {state}"
    if trial.value is not None:
        summary += f", `{parent.metric}` {rounded(trial.value)} at epoch {outcome.epoch}"
    lines = [f"{summary}."]
    if outcome.origin is not None:
        lines.append(f"A copy of {outcome.origin}, which has its model and files.")
    if outcome.pruned is not None:
        lines.append(str(outcome.pruned))
    for earlier in trial.earlier:
        error = earlier.error.line
        lines.append(f"Trained again after a failure: {error} (see `{names.ERROR_FILE}`).")
    if outcome.error is not None:
        last = _error_text(outcome.error).strip().splitlines()[-1]
        lines.append(f"Failed: {last} (see `{names.ERROR_FILE}`).")
    if mixed := _mixed(trial):
        lines.append(f"Its worker differs from the study's first one: {mixed}.")
    if trial.parameters:
        searched = (f"`{name}` {rounded(value)}" for name, value in trial.parameters.items())
        lines += ["", f"Searched: {', '.join(searched)}. All other parameters are fixed."]
    command = f"retrial reproduce {trial.number} --study {trial.study}"
    lines += ["", f"Reproduce it: `{command}`"]
    return names.plain("\n".join(lines))


def _mixed(trial: TrialRecord) -> str:
    """Return the differences of a trial's worker from the study's first one, if it was admitted."""
    environment = trial.outcome.environment
    return "; ".join((environment and environment.mixed) or ())


def find(client: "MlflowClient", parent: StudyRun, trial: TrialRecord) -> "Run | None":
    """Return the run that an interrupted attempt created, or None.

    If a response was lost, a second run may have been created; the first one stays.
    """
    runs = client.search_runs(
        [parent.experiment_id],
        f"{names.of_study(trial.study)} and tags.`{names.TRIAL_TAG}` = '{trial.number}'",
        order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
    )
    for run in runs[1:]:
        client.delete_run(run.info.run_id)
    return runs[0] if runs else None


def create(
    client: "MlflowClient", parent: StudyRun, trial: TrialRecord, environment: Environment
) -> "Run":
    """Create the run of a trial, with tags that say what it is."""
    return client.create_run(
        parent.experiment_id,
        start_time=int((trial.started or trial.asked) * 1000),
        run_name=names.trial_run_name(trial.number),
        tags={
            "mlflow.parentRunId": parent.run_id,
            names.DESCRIPTION_TAG: describe(trial, parent),
            names.KIND_TAG: names.TRIAL_KIND,
            names.STUDY_TAG: trial.study,
            names.TRIAL_TAG: str(trial.number),
            names.STATE_TAG: "running",
            names.METRIC_TAG: parent.metric,
            names.DIRECTION_TAG: parent.direction,
            **_origin(environment),
        },
    )


def _origin(environment: Environment) -> dict[str, str]:
    """Return the tags on the code and data of a training."""
    code = (environment.code or {}).get("nets")
    data = ", ".join((environment.data or {}).values())
    return {
        **({names.CODE_TAG: str(code)} if code else {}),
        **({names.DATA_TAG: data} if data else {}),
        **source_tags(environment),
    }


def _kept_digest(epochs: Sequence[EpochRecord], kept: int | None) -> str | None:
    """Return the SHA-256 of the weights of epoch `kept`."""
    return next((e.digests.get("weights") for e in epochs if e.number == kept), None)


def _errors(trial: TrialRecord) -> list[Failure]:
    """Return what a trial has failed with, those failures first after which it was retried."""
    error = trial.outcome.error
    return [*(earlier.error for earlier in trial.earlier), *([] if error is None else [error])]


def _error_text(error: Failure) -> str:
    """Return the traceback of an error, or its type and message if there is none."""
    return error.traceback or error.summary
