"""Every name that appears in a store, each defined once."""

import contextlib
import hashlib
import importlib.metadata
import os
import posixpath
import re
import socket
import tomllib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

STUDY_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""The form of a study's name, which is part of the names of files."""

# Files of a store
LEDGER = "ledger.db"
MLFLOW_DATABASE = "mlflow.db"
OPTUNA_DATABASE = "optuna.db"
ARTIFACTS = "artifacts"

# Artifacts of a trial's run
SETTINGS_FILE = "settings.json"
EPOCHS_FILE = "epochs.json"
ENVIRONMENT_FILE = "environment.json"
CURVES_FILE = "curves.png"
OUTCOME_FILE = "outcome.json"
ERROR_FILE = "error.txt"
CERTIFICATE_FILE = "certificate.json"

# Artifacts of a study's run
STUDY_FILE = "study.json"
FIGURES_FOLDER = "figures"
TRIAL_FILES_FOLDER = "files"  # what a trial left in its folder
CODE_FOLDER = "code"  # one source archive for each version of the code that trained trials

# Artifacts of a confirmation's run, which also has those of the champion's training
CONFIRMATION_FILE = "confirmation.json"
REPETITIONS_FILE = "repetitions.json"

# Files inside a trial's model
MODEL_SOURCE_FILE = "model.py"
MODEL_CODE_FILE = "code.zip"
WEIGHTS = "weights"
WEIGHTS_FILE = "weights.npz"

# Arrays that a model may have in addition to its weights
INPUT_EXAMPLE = "input_example"  # a few inputs
LABEL_NAMES = "label_names"  # names of the classes
FILL = "fill"  # share of its frame that the ink of a training image spans

# Tags
OWN_TAGS = "retrial."  # prefix of all of our tags
KIND_TAG = "retrial.kind"
STUDY_KIND = "study"
TRIAL_KIND = "trial"
CONFIRMATION_KIND = "confirmation"
STUDY_TAG = "retrial.study"
TRIAL_TAG = "retrial.trial"
STATE_TAG = "retrial.state"
REASON_TAG = "retrial.reason"
METRIC_TAG = "retrial.metric"
DIRECTION_TAG = "retrial.direction"
DATA_TAG = "retrial.data"  # these three hold SHA-256 digests
CODE_TAG = "retrial.code"
WEIGHTS_TAG = "retrial.weights"
MIXED_TAG = "retrial.mixed"
PARAMETER_COUNT_TAG = "retrial.parameter_count"
CONTENT_TAG = "retrial.content"  # of a logged model: SHA-256 of its source and arrays, or files
FORMAT_TAG = "retrial.format"  # of a logged model that has a library's files
REFUSED_TAG = "retrial.refused"  # why MLflow rejected the rest of a trial's record

DESCRIPTION_TAG = "mlflow.note.content"  # Markdown, shown on MLflow's pages
COLOR_TAG = "mlflow.runColor"  # of the mark beside a run's name, and of its lines in charts
VERDICT_TAG = "retrial.verdict"
VERDICT_TIME_TAG = "retrial.verdict.at"
WINNER_TAG = "retrial.winner"
TRIAL_RUN_TAG = "retrial.trial.run"  # of a model version: the run of the trial that won
TRIAL_VERDICT_TAG = "retrial.trial.verdict"
TEST_TAG = "retrial.test"

# In the metadata of an exported model, in addition to the tags of its study, trial and weights
RUN_PROPERTY = "retrial.run"
VERSION_PROPERTY = "retrial.version"

# What a study's definition calls the objective and the settings of nets
OWN_OBJECTIVE = "nets.objective:objective"
OWN_SETTINGS = "nets.settings:Settings"

# Alias of a study's confirmed winner among the versions of its registered model
CHAMPION = "champion"

# The table of a study's trials in MLflow's pages
TRIALS_VIEW = "trials"
TRIALS_VIEW_TAG = f"mlflow.sharedViewState.{TRIALS_VIEW}"

# Metrics in addition to those of the epochs
VALUE_METRIC = "value"
EPOCHS_METRIC = "epochs"
SECONDS_METRIC = "seconds"
BEST_VALUE_METRIC = "best_value"

# Metrics of a confirmation; the ends of an interval are NAME_low and NAME_high
MEAN_METRIC = "confirmed_value"
LUCK_METRIC = "luck"
LEAD_METRIC = "lead"
TEST_ACCURACY_METRIC = "test_accuracy"
TEST_LOSS_METRIC = "test_loss"
CALIBRATION_METRIC = "calibration_error"
MEAN_TEST_METRIC = "mean_test_accuracy"  # of several champions
VOTE_METRIC = "vote_test_accuracy"

_OWN_METRICS = {VALUE_METRIC, EPOCHS_METRIC, SECONDS_METRIC, BEST_VALUE_METRIC} | {
    f"{name}{end}"
    for name in (
        MEAN_METRIC, LUCK_METRIC, LEAD_METRIC, TEST_ACCURACY_METRIC, TEST_LOSS_METRIC,
        CALIBRATION_METRIC, MEAN_TEST_METRIC, VOTE_METRIC,
    )
    for end in ("", "_low", "_high")
}  # fmt: skip

_LONGEST_KEY = 250
"""Characters that MLflow allows in the name of a parameter or a metric."""


def trial_run_name(number: int) -> str:
    """Return the name of a trial's run, padded so that names sort as numbers do.

    >>> trial_run_name(17)
    'trial 0017'
    """
    return f"trial {number:04d}"


def study_run_name(study: str) -> str:
    """Return the name of a study's parent run.

    >>> study_run_name("digits")
    'study digits'
    """
    return f"study {study}"


INPUT_PREFIX = "input "
"""Of the name of an epoch's digest that is that of a file, which the objective has read."""

STUDIES_PAGE = "studies"
"""Address of our own page on the server of `retrial ui`."""


def trials_page(experiment_id: str) -> str:
    """Return the address of the table of a study's trials, relative to that of the server.

    >>> trials_page("1")
    '#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=trials'
    """
    query = f"workflowType=machine_learning&viewStateShareKey={TRIALS_VIEW}"
    return f"#/experiments/{experiment_id}/runs?{query}"


def artifact_page(run_id: str, path: str) -> str:
    """Return the address of a run's artifact, relative to that of MLflow's pages.

    >>> artifact_page("ab", "figures/slice.png")
    'get-artifact?path=figures/slice.png&run_uuid=ab'
    """
    return f"get-artifact?path={path}&run_uuid={run_id}"


def writer() -> str:
    """Return what identifies this process in the names of files that it is writing."""
    return f"{socket.gethostname()}.{os.getpid()}"


def own_version() -> str:
    """Return the version of retrial, which need not be installed: a checkout has its own."""
    # The second is the name of our distribution in checkouts installed before it was changed.
    for name in ("retrial-studies", "retrial"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text("utf-8"))
    return str(project["project"]["version"])


def mlflow_uri(store: Path) -> str:
    """Return the tracking URI of the MLflow database in a store."""
    return f"sqlite:///{(store / MLFLOW_DATABASE).resolve()}"


def optuna_uri(store: Path) -> str:
    """Return the URL of Optuna's storage in a store."""
    return f"sqlite:///{(store / OPTUNA_DATABASE).resolve()}"


def key(name: str) -> str:
    """Return a name as MLflow accepts it for a parameter or a metric.

    Most names stay unchanged. In the others, characters that MLflow rejects become ``_``, followed
    by digits of the SHA-256 of the whole name, so that different names stay different.

    >>> key("train/loss"), key("recall@5"), key("recall#5")
    ('train/loss', 'recall_5-801910', 'recall_5-93d851')
    """
    # MLflow treats names as paths, and rejects those that change when they are resolved.
    is_path = posixpath.normpath(name) == name and not name.startswith((".", "/"))
    if is_path and re.fullmatch(rf"[\w\-. :/]{{1,{_LONGEST_KEY}}}", name):
        return name
    digest = hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()[:6]
    accepted = re.sub(r"^\.+|[^\w\-. :]", "_", name)
    return f"{accepted[: _LONGEST_KEY - 7]}-{digest}"


def metric_key(name: str) -> str:
    """Return the name of an objective's metric in MLflow, different from those defined here.

    >>> metric_key("val_accuracy"), metric_key("value"), metric_key("value_")
    ('val_accuracy', 'value_', 'value__')
    """
    return f"{name}_" if name.rstrip("_") in _OWN_METRICS else key(name)


def plain(text: str) -> str:
    r"""Return a text in which characters that UTF-8 or a database cannot hold are escaped.

    File names that are not UTF-8 bring such characters into messages.

    >>> plain("cannot read \udcff.png")
    'cannot read \\udcff.png'
    """
    return text.encode(errors="backslashreplace").decode().replace("\0", r"\x00")


def is_file_path(path: str) -> bool:
    """Return whether a string is the path of a file inside a folder, whatever the system.

    >>> [is_file_path(path) for path in ("model.json", "data/model.pt2", "../a", "/a", "a//b")]
    [True, True, False, False, False]
    """
    is_plain = re.fullmatch(r"[^\x00-\x1f\x7f\\:]{1,250}", path) is not None and plain(path) == path
    return is_plain and all(part not in ("", ".", "..") for part in path.split("/"))


def check_files(paths: Iterable[str], form: str) -> None:
    """Raise ValueError unless a library's model can have files of these paths, and this format."""
    paths = set(paths)
    for path in paths:
        if not is_file_path(path):
            raise ValueError(f"Model.files: got {path!r:.100}, expected a relative path")
        if above := {str(parent) for parent in PurePosixPath(path).parents} & paths:
            raise ValueError(f"Model.files: {above.pop()} is a file, and a folder with {path}")
    if bool(paths) != bool(form) or not re.fullmatch("[a-z0-9_]{0,50}", form):
        raise ValueError(
            f"Model.format: got {form!r:.100} and {len(paths)} files, expected the name of a "
            "format exactly where there are files"
        )


def quoted(text: str) -> str:
    """Return a text as a string literal of MLflow's filter language.

    >>> quoted("digits")
    "'digits'"
    """
    return "'" + text.replace("'", "''") + "'"


def of_study(study: str, kind: str | None = None) -> str:
    """Return an MLflow filter for the runs of a study, or for those of one kind.

    >>> of_study("digits", TRIAL_KIND)
    "tags.`retrial.study` = 'digits' and tags.`retrial.kind` = 'trial'"
    """
    runs = f"tags.`{STUDY_TAG}` = {quoted(study)}"
    return runs if kind is None else f"{runs} and tags.`{KIND_TAG}` = {quoted(kind)}"
