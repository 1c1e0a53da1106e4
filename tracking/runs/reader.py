"""Reading recorded trials back, from MLflow alone."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from nets.errors import InputError
from nets.outcome import Model
from tracking.models import library_folder
from tracking.models.model_folder import read_model_arrays
from tracking.records import (
    Direction,
    Environment,
    EpochRecord,
    RecordDamaged,
    Training,
    TrialOutcome,
    Values,
    built,
    parsed,
)
from tracking.runs import consistency
from tracking.runs.lost import check_not_lost
from tracking.store import names
from tracking.store.client import all_pages, files_of, models_of
from tracking.store.errors import StoreUnavailable, StudyNotFound
from tracking.store.plain_values import ranges
from tracking.store.store import Store, check_exists, open_store

if TYPE_CHECKING:
    from mlflow.entities import Experiment, LoggedModel, Run

_PAGE = 100


@dataclass(frozen=True)
class RecordedRun:
    """A trial as recorded in its MLflow run, read from MLflow alone.

    `settings` are those of ``settings.json``; `epochs` are those of ``epochs.json``, exact to the
    last bit. `metric` is that of the training, which a champion may have without validation images.
    """

    run_id: str
    study: str
    number: int
    state: str
    settings: Values
    epochs: tuple[EpochRecord, ...]
    environment: Environment
    outcome: TrialOutcome
    metric: str
    direction: Direction

    @property
    def value(self) -> float | None:
        """The study's metric at the epoch whose weights are kept; None for a failed trial."""
        return self.outcome.value

    @property
    def training(self) -> Training:
        """The training that a repetition is compared with."""
        return Training(self.metric, self.settings, self.environment, self.epochs, self.outcome)


def open_with_trials(root: Path) -> Store:
    """Open the store in the folder `root` to read trials, or raise InputError if there is none."""
    check_exists(root, "trials", "retrial search")
    return open_store(root, reading=True)


def find_trial(store: Store, study: str | None, which: int | str) -> RecordedRun:
    """Return a recorded trial: by number, by MLflow run id, or ``best``.

    The best is the complete trial with the best recorded value in the study's direction; of equal
    ones the first. `study` may be None for a run id.

    Raises InputError for a trial that MLflow does not have, that has not finished, whose run was
    created by hand and lacks the files that its reproduction needs, or whose record is damaged.
    """
    check_not_lost(store, study, which)
    text = str(which)
    if text == "best":
        run = _best(store, _named(study))
    elif re.fullmatch("[0-9]{1,18}", text):
        run = _numbered(store, _named(study), int(text))
    else:
        run = _by_id(store, text)
        _check_study(run, study)
    if run.data.tags.get(names.STATE_TAG) not in ("complete", "pruned", "failed"):
        _refuse_foreign(run)
        raise InputError(
            "trial",
            problem=f"{run.info.run_name} of {run.data.tags.get(names.STUDY_TAG)} has not finished",
            hint="the command that started the search continues it",
        )
    return _read(store, run)


def read_model(store: Store, recorded: RecordedRun) -> dict[str, NDArray[Any]]:
    """Return the arrays of a trial's model, without the input example.

    Raises InputError for a trial that has none, because it failed or its objective returned none,
    and for a model whose files are not the recorded ones.
    """
    run = store.client.get_run(recorded.run_id)
    logged = logged_model(store, recorded)
    return read_model_arrays(
        store,
        logged.artifact_location,
        "trial",
        _subject(recorded),
        content=logged.tags.get(names.CONTENT_TAG),
        weights=run.data.tags.get(names.WEIGHTS_TAG),
    )


def read_library_model(store: Store, recorded: RecordedRun) -> Model | None:
    """Return the model of a trial if it has files of a library; None for source and arrays.

    Raises InputError for a trial that has no model.
    """
    logged = logged_model(store, recorded)
    return library_folder.read_library_model(store, logged, "trial", _subject(recorded))


def logged_model(store: Store, recorded: RecordedRun) -> "LoggedModel":
    """Return the newest model of a trial in MLflow; raises InputError for a trial without one."""
    models = models_of(store.client, store.client.get_run(recorded.run_id))
    if not models:
        origin = recorded.outcome.origin and f"{recorded.outcome.origin}, of which it is a copy"
        raise InputError(
            "trial",
            problem=f"{_subject(recorded)} ({recorded.state}) has no model",
            expected=origin or "a complete or pruned trial whose objective returns one",
        )
    return max(models, key=lambda model: model.creation_timestamp)


def _subject(recorded: RecordedRun) -> str:
    return f"{names.trial_run_name(recorded.number)} of {recorded.study}"


def champion_result(store: Store, recorded: RecordedRun) -> str | None:
    """Return what the confirmation found of a recorded champion; None for a trial.

    Its own training, without validation images, often lacks the study's metric.
    """
    run = store.client.get_run(recorded.run_id).data
    if names.WINNER_TAG not in run.tags:
        return None
    metric = study_run(store, recorded.study).data.tags[names.METRIC_TAG]
    values = (
        (f"{metric} {{:.4g}} on average", names.MEAN_METRIC),
        ("test accuracy {:.4g}", names.TEST_ACCURACY_METRIC),
    )
    found = [text.format(run.metrics[key]) for text, key in values if key in run.metrics]
    return ", ".join([f"champion with the settings of trial {recorded.number}", *found])


def study_run(store: Store, study: str) -> "Run":
    """Return the parent run of a study, or raise InputError."""
    runs = store.client.search_runs(
        [_experiment(store, study).experiment_id],
        names.of_study(study, names.STUDY_KIND),
        max_results=1,
    )
    if not runs:
        raise InputError(
            "study", problem=f"MLflow has an experiment {study!r}, but no search recorded in it"
        )
    return runs[0]


def _named(study: str | None) -> str:
    if study is None:
        raise InputError(
            "study", problem="missing", expected="--study NAME, or an MLflow run id as trial"
        )
    return study


def _experiment(store: Store, study: str) -> "Experiment":
    experiment = store.client.get_experiment_by_name(study)
    if experiment is None or experiment.lifecycle_stage != "active":
        known = [
            found.name
            for found in all_pages(store.client.search_experiments)
            if found.tags.get(names.KIND_TAG) == names.STUDY_KIND
        ]
        raise StudyNotFound.among(study, sorted(known), "MLflow")
    return experiment


def _best(store: Store, study: str) -> "Run":
    """Return the complete trial with the best value; of equal ones the one with the lowest number.

    MLflow sorts, with NaN and missing values last; ties for the first place are resolved here.
    """
    experiment = _experiment(store, study)
    is_low_best = experiment.tags.get(names.DIRECTION_TAG) == Direction.MINIMIZE
    runs = all_pages(
        store.client.search_runs,
        experiment_ids=[experiment.experiment_id],
        filter_string=f"{names.of_study(study, names.TRIAL_KIND)}"
        f" and tags.`{names.STATE_TAG}` = 'complete'",
        order_by=[f"metrics.`{names.VALUE_METRIC}` {'ASC' if is_low_best else 'DESC'}"],
        max_results=_PAGE,
    )
    first = next(runs, None)
    if first is None or math.isnan(_value(first)):
        raise InputError("trial", "best", problem=f"{study} has no complete trial with a value yet")
    equal = takewhile(lambda run: _value(run) == _value(first), runs)
    return min([first, *equal], key=_number)


def _value(run: "Run") -> float:
    return float(run.data.metrics.get(names.VALUE_METRIC, math.nan))


def _numbered(store: Store, study: str, number: int) -> "Run":
    runs = store.client.search_runs(
        [_experiment(store, study).experiment_id],
        f"{names.of_study(study)} and tags.`{names.TRIAL_TAG}` = '{number}'",
        max_results=1,
    )
    if not runs:
        recorded = ranges(_numbers(store, study)) or "none yet"
        raise InputError("trial", number, f"best or a recorded trial of {study}: {recorded}")
    return runs[0]


def _numbers(store: Store, study: str) -> list[int]:
    """Return the numbers of a study's recorded trials, in order."""
    runs = all_pages(
        store.client.search_runs,
        experiment_ids=[_experiment(store, study).experiment_id],
        filter_string=names.of_study(study, names.TRIAL_KIND),
        max_results=_PAGE,
    )
    return sorted(map(_number, runs))


def _by_id(store: Store, run_id: str) -> "Run":
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_run(run_id)
    except MlflowException as error:
        raise InputError("trial", run_id, "best, a trial number or an MLflow run id") from error


def _check_study(run: "Run", study: str | None) -> None:
    """Raise InputError for a run of another study than `study`."""
    _refuse_foreign(run)
    found = run.data.tags.get(names.STUDY_TAG)
    if study not in (None, found):
        raise InputError(
            "study",
            study,
            f"{found}, the study of run {run.info.run_id}, or no study with a run id",
        )


def _refuse_foreign(run: "Run") -> None:
    """Raise InputError for a run that retrial has not recorded."""
    if not {names.TRIAL_TAG, names.WINNER_TAG} & run.data.tags.keys():
        raise InputError(
            "trial",
            problem=f"retrial did not record run {run.info.run_id} ({run.info.run_name}), which "
            "lacks the settings and the exact values of its epochs",
            expected="the run of a trial",
        )


def _read(store: Store, run: "Run") -> RecordedRun:
    _refuse_foreign(run)
    texts = {
        name: text_of(store, run, name)
        for name in (
            names.SETTINGS_FILE, names.EPOCHS_FILE, names.ENVIRONMENT_FILE, names.OUTCOME_FILE,
        )
    }  # fmt: skip
    tags: Mapping[str, str] = run.data.tags
    try:
        found = {name: parsed(text, name) for name, text in texts.items()}
        if not isinstance(found[names.SETTINGS_FILE], dict):
            raise RecordDamaged(names.SETTINGS_FILE, problem="is no object")
        if not isinstance(found[names.EPOCHS_FILE], list):
            raise RecordDamaged(names.EPOCHS_FILE, problem="is no list")
        environment = Environment.from_json(found[names.ENVIRONMENT_FILE])
        recorded = built(
            RecordedRun,
            {
                "run_id": run.info.run_id,
                "study": tags.get(names.STUDY_TAG),
                "number": _number(run),
                "state": tags.get(names.STATE_TAG),
                "settings": found[names.SETTINGS_FILE],
                "epochs": found[names.EPOCHS_FILE],
                "environment": found[names.ENVIRONMENT_FILE],
                "outcome": found[names.OUTCOME_FILE],
                "metric": (environment.study or {}).get("metric")
                or tags.get(names.METRIC_TAG, "val_accuracy"),
                "direction": tags.get(names.DIRECTION_TAG, "maximize"),
            },
        )
    except RecordDamaged as error:
        what = f"run {run.info.run_id} ({run.info.run_name})"
        raise RecordDamaged("trial", problem=f"{what} is damaged: {error}") from error
    consistency.check(run, recorded.settings, recorded.epochs, recorded.outcome, recorded.metric)
    return recorded


def text_of(store: Store, run: "Run", name: str) -> str:
    """Return a text file of a run; raises InputError where the run lacks it."""
    try:
        return files_of(store, run).read(name).decode()
    except StoreUnavailable:
        raise  # it names a folder that is not the run's
    except Exception as error:
        raise InputError(
            "trial",
            problem=f"run {run.info.run_id} ({run.info.run_name}) lacks {name}",
            expected="a trial with all files that retrial recorded",
        ) from error


def _number(run: "Run") -> int:
    """Return the number of the trial, or of the winner whose settings a champion has."""
    tags = run.data.tags
    text = tags.get(names.TRIAL_TAG) or tags.get(names.WINNER_TAG, "")
    if not re.fullmatch("[0-9]{1,18}", text):
        problem = f"got {text!r:.100} in run {run.info.run_id}"
        raise RecordDamaged(names.TRIAL_TAG, problem=problem, expected="the number of a trial")
    return int(text)
