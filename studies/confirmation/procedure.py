"""The whole confirmation: re-run the top trials, train the winner, test it once, record it."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from joblib import cpu_count

from nets.errors import InputError
from studies.analysis.formatting import plural, shown_seconds
from studies.analysis.stored_study import StoredStudy, open_study
from studies.confirmation import champion
from studies.confirmation.candidates import Repetitions
from studies.search.session import Session, digests_of, load_datasets
from studies.workers.admission import check_data
from tracking.confirmation import run as confirmation_run
from tracking.confirmation.text import number
from tracking.ledger import lock
from tracking.records import differences
from tracking.records.confirmation import Confirmation, RecordedConfirmation, Repetition
from tracking.runs.reader import study_run
from tracking.store import names
from tracking.store.store import Store, one_line, open_store

Say = Callable[[str], None]
"""Prints a line."""


@dataclass(frozen=True)
class Confirmed:
    """A confirmation, and where it is recorded.

    `earlier` says that it had been made before: the test images are used once. `problem` is what
    keeps it from being recorded, in one line.
    """

    confirmation: Confirmation
    recorded: RecordedConfirmation | None
    earlier: bool
    trials_since: int
    problem: str | None = None


def confirm(
    store: Path,
    study: str,
    *,
    top: int,
    seeds: int,
    champions: int = 1,
    jobs: int | None = None,
    data: Path | None = None,
    record: bool = True,
    say: Say,
    warn: Say,
) -> Confirmed:
    """Confirm a study: the `top` trials under `seeds` fresh seeds each, then the test images.

    The winner is trained `champions` times on all images, each time under another seed, and each
    network is tested once; the first one is the champion.

    Raises StudyNotFound, StudyLocked, InputError for a study without a complete trial, and
    `champion.TrainingFailed` and `testing.TestFailed`.
    """
    with open_study(store, study):
        pass  # before a lock is created for a study that does not exist
    with contextlib.ExitStack() as stack:
        stack.enter_context(lock.hold(store / names.LEDGER, study, "confirmed"))
        stored = stack.enter_context(open_study(store, study, to_train=True))
        confirmation = stored.confirmation
        mlflow = problem = None
        if record and not _is_done(confirmation, stored):
            mlflow = stack.enter_context(open_store(store))
            study_run(mlflow, study)  # MLflow must have the study, before hours are spent
            confirmation = _from_mlflow(mlflow, stored) or confirmation
        earlier = confirmation is not None and confirmation.is_tested
        if confirmation is None or not earlier:
            confirmation = _confirm(stored, top, seeds, champions, jobs, data, say, warn)
        if mlflow is not None and not _is_done(confirmation, stored):
            problem = _record(mlflow, stored, confirmation, data)
        since = sum(trial.is_finished for trial in stored.trials) - confirmation.finished
        recorded = stored.notes.recorded_confirmation
        return Confirmed(confirmation, recorded, earlier, since, problem)


def _is_done(confirmation: Confirmation | None, stored: StoredStudy) -> bool:
    """Return whether the test images have been used, and MLflow has the result."""
    is_final = confirmation is not None and confirmation.is_tested
    return is_final and stored.notes.recorded_confirmation is not None


def _from_mlflow(store: Store, stored: StoredStudy) -> Confirmation | None:
    """Return a final confirmation that MLflow has, made with another ledger, and keep it here."""
    found = confirmation_run.read(store, stored.study.name)
    if found is None or not found[0].is_tested:
        return None
    confirmation, recorded = found
    _keep(stored, confirmation, recorded)
    return confirmation


def _keep(stored: StoredStudy, confirmation: Confirmation, recorded: RecordedConfirmation) -> None:
    """Store a confirmation that MLflow has; the champions' evidence is no longer needed."""
    name = stored.study.name
    stored.ledger.update_notes(name, confirmation=confirmation, recorded_confirmation=recorded)
    stored.ledger.detach(name)


def _confirm(
    stored: StoredStudy,
    top: int,
    seeds: int,
    champions: int,
    jobs: int | None,
    data: Path | None,
    say: Say,
    warn: Say,
) -> Confirmation:
    """Re-run the top trials and compare them, then train the winner and test it."""
    study = stored.study
    if champions > 1 and (study.section.test is not None or not study.data_names):
        expected = f"1 for {study.name}"
        hint = "several champions need a dataset with test images, and no study.test"
        raise InputError("champions", champions, expected, hint)
    repetitions = Repetitions(stored, top=top, seeds=seeds)
    session = _prepare(stored, data, warn)
    open_trials = sum(not trial.is_finished for trial in stored.trials)
    if open_trials:
        warn(
            f"{open_trials} trials of the search are still open; the winner among the others is "
            "tested, and the test images are used once"
        )
    missing = len(repetitions.missing)
    say(
        f"{study.name}: the top {plural(len(repetitions.trials), 'trial')} under "
        f"{plural(seeds, 'fresh seed')} each, {plural(missing, 'training')} to go"
    )

    def finished(one: Repetition) -> None:
        value = one.value
        result = one.error if value is None else f"{study.section.metric} {number(value)}"
        say(
            f"trial {one.trial:4d}  seed {one.number} of {seeds}  "
            f"{result}  {shown_seconds(one.seconds):>7s}"
        )

    processes = jobs or cpu_count()
    repetitions.train(session, processes, finished)
    compared = repetitions.compare()
    if compared.winner is not None and session.datasets:
        under = f" under {champions} seeds" if champions > 1 else ""
        say(f"trial {compared.winner} wins: training it on all images{under}, then the test")
    stored.ledger.update_notes(study.name, champion_environment=session.environment)
    return champion.train_winner(
        stored, session, compared, champions=champions, processes=processes
    )


def _prepare(stored: StoredStudy, data: Path | None, warn: Say) -> Session:
    """Load the data and describe the environment; warn of what has changed since the beginning."""
    name, notes = stored.study.name, stored.record.notes
    datasets = load_datasets(stored.study.data_names, data)
    check_data(stored.record, digests_of(datasets))
    session = Session.prepare(stored.study, datasets, notes.pinned)
    # For the processes that train; this one has NumPy loaded.
    os.environ.update(session.pinned)
    earlier = notes.confirmation_environment
    what = "the study" if earlier is None else "this confirmation"
    began = earlier or stored.record.environment.with_worker(notes.first_worker)
    for difference in differences(began, session.environment):
        warn(f"since {what} began: {difference}")
    if earlier is None:
        stored.ledger.update_notes(name, confirmation_environment=session.environment)
    return session


def _record(
    store: Store, stored: StoredStudy, confirmation: Confirmation, data: Path | None
) -> str | None:
    """Bring MLflow up to date; return what prevents that, in one line, or None."""
    winner, evidence, notes = confirmation.winner, stored.evidence, stored.notes
    try:
        images = None
        if evidence is not None and evidence.answers is not None:
            name = evidence.settings["data"]
            images = load_datasets([name], data)[name]
        environment = notes.champion_environment or notes.confirmation_environment
        assert environment is not None
        recorded = confirmation_run.record(
            store,
            confirmation,
            environment,
            winner_run=next((t.recorded_run for t in stored.trials if t.number == winner), None),
            evidence=evidence,
            data=images,
        )
    except Exception as error:  # whatever MLflow raises, the ledger has the result
        return one_line(error)
    _keep(stored, confirmation, recorded)
    return None
