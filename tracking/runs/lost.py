"""Trials that the ledger lists as delivered and MLflow no longer has."""

from nets.errors import InputError
from tracking.ledger import Ledger
from tracking.records import TrialRecord
from tracking.store import names
from tracking.store.client import all_runs
from tracking.store.database import run_ids
from tracking.store.plain_values import ranges
from tracking.store.store import Store


def missing_trials(store: Store, ledger: Ledger, study: str) -> list[TrialRecord]:
    """Return the trials that the ledger lists as delivered and whose runs MLflow does not have.

    In a store's own database a run without files counts as missing.
    """
    delivered = [t for t in ledger.trials(study) if t.recorded_run is not None]
    if not delivered:
        return []
    if store.is_own:
        there = run_ids(store.root)
    else:
        experiment = store.client.get_experiment_by_name(study)
        runs = all_runs(store.client, experiment.experiment_id, deleted=True) if experiment else []
        there = {run.info.run_id for run in runs}
    return [trial for trial in delivered if trial.recorded_run not in there]


def check_not_lost(store: Store, study: str | None, trial: int | str) -> None:
    """Raise InputError if MLflow has lost a trial, or one of those that ``best`` stands for.

    The ledger tells, where it is in the same store.
    """
    path = store.root / names.LEDGER
    if study is None or not store.is_own or not path.is_file():
        return
    with Ledger(path) as ledger:
        lost = [missing.number for missing in missing_trials(store, ledger, study)]
    if lost and (trial == "best" or str(trial) in map(str, lost)):
        raise InputError(
            "trial",
            problem=f"MLflow has lost trials {ranges(lost)} of {study}, which the ledger has",
            hint=f"searching {study} again records them from the ledger",
        )
