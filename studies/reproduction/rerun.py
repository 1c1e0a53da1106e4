"""Re-run a recorded trial: the same objective, in a fresh process, from MLflow alone."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nets.errors import InputError
from nets.threads import pinned
from studies.definition import study_file
from studies.definition.study_file import Study
from studies.search.session import Session, load_datasets
from studies.workers.local import LocalEngine
from studies.workers.messages import (
    CRASH_TYPE,
    EpochDone,
    Job,
    Notice,
    TrialDone,
    WorkerCrashed,
)
from tracking.records import (
    Environment,
    EpochRecord,
    Failure,
    RecordDamaged,
    Training,
    TrialOutcome,
    parsed,
)
from tracking.runs.reader import RecordedRun, study_run, text_of
from tracking.runs.verdict import Verdict, compare, write_certificate
from tracking.store import names
from tracking.store.store import Store


def definition_of(store: Store, study: str) -> Study:
    """Return the study that a trial belongs to, as MLflow has it."""
    run = study_run(store, study)
    values = parsed(text_of(store, run, names.STUDY_FILE), names.STUDY_FILE)
    if not isinstance(values, dict):
        problem = f"run {run.info.run_id} does not define a study"
        raise RecordDamaged(names.STUDY_FILE, problem=problem)
    return study_file.stored(values)


def reproduce(
    store: Store, recorded: RecordedRun, data: Path | None, *, until: int | None, threads: int
) -> tuple[Verdict, Environment]:
    """Train a recorded trial for its recorded epochs and compare; also return the environment.

    Raises InputError for a trial without a recorded epoch, or with data that is not here.
    """
    study = definition_of(store, recorded.study)
    settings = recorded.settings
    last = max((epoch.number for epoch in recorded.epochs), default=0)
    if last == 0:
        raise InputError(
            "trial",
            problem=f"run {recorded.run_id} ended before its first epoch",
            expected="a trial with at least one recorded epoch",
        )
    datasets = load_datasets([settings["data"]] if "data" in settings else [], data)
    # A portable trial is trained with the BLAS kernel that it was pinned to.
    session = Session.prepare(study, datasets, recorded.environment.pinned)
    is_final = bool((recorded.environment.study or {}).get("final"))
    job = session.job(recorded.number, settings, recorded.metric, threads=threads, final=is_final)
    # Without its pruner, a pruned trial would train on; a complete one has to end by itself.
    to_the_end = recorded.outcome.is_complete and until is None
    epochs, outcome, imported = train_in_stages(
        job,
        recorded.outcome.stages or (),
        min(last, until or last),
        dict(session.pinned),
        to_the_end=to_the_end,
    )
    environment = replace(session.environment, imported=imported)
    again = Training(recorded.metric, settings, environment, epochs, outcome)
    return compare(recorded.training, again, until), environment


def check_until(recorded: RecordedRun, until: int | None) -> None:
    """Raise InputError for an epoch that there is nothing to compare with."""
    count = len(recorded.epochs)
    if until is not None and 0 < count < until:
        expected = f"1 to {count}, the epochs recorded of trial {recorded.number}"
        raise InputError("at", until, expected)


def certify(
    store: Store, recorded: RecordedRun, data: Path | None, *, until: int | None, threads: int
) -> Verdict:
    """Reproduce a trial as `reproduce` does, and write the verdict to its run if that is possible.

    Raises InputError also for an epoch `until` that there is nothing to compare with.
    """
    check_until(recorded, until)
    with pinned():
        verdict, environment = reproduce(store, recorded, data, until=until, threads=threads)
    if not store.is_read_only:
        write_certificate(store, recorded.run_id, verdict, environment=environment)
    return verdict


def train_in_stages(
    job: Job,
    stages: Sequence[int],
    last: int,
    environment: dict[str, str],
    *,
    to_the_end: bool = False,
) -> tuple[list[EpochRecord], TrialOutcome | None, dict[str, str] | None]:
    """Run a job as `train` does, but first for the numbers of epochs that its settings had before.

    What an epoch does may depend on the number of epochs, as a learning rate's schedule does.
    """
    known: list[EpochRecord] = []
    for stage in stages:
        settings = {**job.settings, "epochs": stage}
        first = replace(job, settings=settings, keep_state=True)
        epochs, outcome, imported, state = train(first, min(stage, last), environment)
        known += epochs
        if stage >= last or state is None:
            return known, outcome, imported
        job = replace(job, state=state, past={e.number: e.metrics[job.metric] for e in known})
    epochs, outcome, imported, _ = train(job, last, environment, to_the_end=to_the_end)
    return known + epochs, outcome, imported


def train(
    job: Job, last: int, environment: dict[str, str], *, to_the_end: bool = False
) -> tuple[list[EpochRecord], TrialOutcome | None, dict[str, str] | None, bytes | None]:
    """Run a job in a fresh process with `environment` up to the epoch `last`.

    Returns its epochs, its outcome unless it was stopped before its end, what the process imported
    from elsewhere, and its last checkpoint. `to_the_end` waits for the training to end by itself,
    or for one epoch more.
    """
    epochs: list[EpochRecord] = []
    imported: dict[str, str] | None = None
    state: bytes | None = None
    with contextlib.closing(LocalEngine(1, environment)) as engine:
        engine.start(job)
        while True:
            for event in engine.events(timeout=1.0):
                if not isinstance(event, Notice) and event.imported is not None:
                    imported = event.imported
                match event:
                    case EpochDone():
                        epochs.append(
                            EpochRecord(event.number, event.metrics, event.digests, event.seconds)
                        )
                        state = event.state or state
                        if event.number > last or (event.number == last and not to_the_end):
                            return epochs, None, imported, state
                    case TrialDone():
                        return epochs, event.outcome, imported, state
                    case WorkerCrashed():
                        failure = Failure(CRASH_TYPE, event.reason)
                        return epochs, TrialOutcome(error=failure), imported, state
