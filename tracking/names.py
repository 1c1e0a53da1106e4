"""Every name that ends up in a store, each written once."""

from pathlib import Path

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
MODEL = "model"

# Tags
STUDY_TAG = "retrial.study"
TRIAL_TAG = "retrial.trial"
STATE_TAG = "retrial.state"
REASON_TAG = "retrial.reason"
VALUE_METRIC = "value"
EPOCHS_METRIC = "epochs"
SECONDS_METRIC = "seconds"


def trial_run_name(number: int) -> str:
    """Return the name of a trial's run, padded so that names sort as numbers do.

    >>> trial_run_name(17)
    'trial 0017'
    """
    return f"trial {number:04d}"


def mlflow_uri(store: Path) -> str:
    """Return the tracking URI of the MLflow database in a store."""
    return f"sqlite:///{(store / MLFLOW_DATABASE).resolve()}"


def optuna_uri(store: Path) -> str:
    """Return the URL of Optuna's storage in a store."""
    return f"sqlite:///{(store / OPTUNA_DATABASE).resolve()}"
