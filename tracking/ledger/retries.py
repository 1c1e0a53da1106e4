"""Failed trials that are trained again: they are open once more, and keep what they failed with."""

import json
import time

from tracking.ledger.access import Ledger
from tracking.records import Failure, RetriedFailure, TrialOutcome, TrialRecord


def retry_failed(ledger: Ledger, study: str, below: int) -> list[int]:
    """Open the failed trials with numbers below a limit again; return their numbers.

    All in one transaction, by the process that holds the study's lock. A trial keeps its number,
    settings, parameters and run. Its epochs are removed, because the code may have changed.
    """
    with ledger.transaction() as connection:
        trials = ledger.trials(study)
        failed = [trial for trial in trials if trial.state == "failed" and trial.number < below]
        for trial in failed:
            outcome = TrialOutcome(earlier=(*trial.earlier, _failure(trial, asked=len(trials))))
            place = (study, trial.number)
            connection.execute(
                "UPDATE trial SET state = 'running', outcome = ?, started = NULL, finished = NULL,"
                " deaths = 0, worker = NULL, recorded_epoch = 0, recorded_state = NULL"
                " WHERE study = ? AND number = ?",
                (json.dumps(outcome.to_json()), *place),
            )
            for table in ("epoch", "checkpoint", "model", "file"):
                connection.execute(f"DELETE FROM {table} WHERE study = ? AND trial = ?", place)
    return [trial.number for trial in failed]


def _failure(trial: TrialRecord, asked: int) -> RetriedFailure:
    error = trial.outcome.error or Failure("Failure", "no reason is recorded")
    environment = trial.outcome.environment
    code = None if environment is None else environment.code
    return RetriedFailure(error, asked, time.time(), trial.finished, code)
