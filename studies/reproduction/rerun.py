"""Trying a recorded trial again: the same objective, in a fresh process, from MLflow alone."""

import json
import tempfile
from pathlib import Path
from typing import Any

from nets.errors import InputError
from studies.definition import study_file
from studies.definition.study_file import Study
from studies.workers import cpu_pinning
from studies.workers.local import LocalEngine
from studies.workers.messages import EpochDone, Job, TrialDone, WorkerDied
from tracking.records import Environment, EpochRecord, Failure, Training, TrialOutcome
from tracking.runs.reader import RecordedRun, study_run
from tracking.runs.verdict import Verdict, compare
from tracking.store import names
from tracking.store.store import Store


def definition_of(store: Store, study: str) -> Study:
    """Return the study that a trial belongs to, as MLflow has it."""
    run = study_run(store, study)
    with tempfile.TemporaryDirectory() as folder:
        path = store.client.download_artifacts(run.info.run_id, names.STUDY_FILE, folder)
        return study_file.stored(json.loads(Path(path).read_text(encoding="utf-8")))


def reproduce(
    store: Store, recorded: RecordedRun, data: Path | None, *, until: int | None, threads: int
) -> tuple[Verdict, Environment]:
    """Train a recorded trial for its recorded epochs and compare; also returns the environment.

    Raises InputError for a trial without a recorded epoch, or with data that is not here.
    """
    study = definition_of(store, recorded.study)
    settings = json.loads(recorded.settings)
    last = max((epoch.number for epoch in recorded.epochs), default=0)
    if last == 0:
        raise InputError(
            f"trial: run {recorded.run_id} ended before its first epoch, there is nothing to "
            "compare; accepted is a trial with at least one recorded epoch"
        )
    folder, digests = data_of(settings, data)
    # A portable trial is tried again with the kernel it was pinned to.
    pinned = recorded.environment.pinned or {}
    now = cpu_pinning.capture(pinned, data=digests, modules=study.own_modules)
    job = Job(
        trial=recorded.number,
        attempt=1,
        objective=study.section.objective,
        settings_class=study.section.settings,
        settings=settings,
        data=folder,
        judge=None,
        metric=recorded.metric,
        threads=threads,
        checkpoint_seconds=float("inf"),
    )
    # A pruned trial would train on without its pruner; a complete one has to end by itself.
    is_whole = recorded.state == "complete" and until is None
    epochs, outcome = train(job, min(last, until or last), pinned, to_the_end=is_whole)
    return compare(
        recorded.training,
        Training(recorded.metric, settings, now, epochs, outcome),
        until,
    ), now


def train(
    job: Job, last: int, environment: dict[str, str], *, to_the_end: bool = False
) -> tuple[list[EpochRecord], TrialOutcome | None]:
    """Run a job in a fresh process with `environment` up to the epoch `last`.

    Returns its epochs, and its outcome unless it was stopped before its end. `to_the_end` waits for
    the training to end by itself, or for one epoch more.
    """
    epochs: list[EpochRecord] = []
    engine = LocalEngine(1, environment)
    try:
        engine.start(job)
        while True:
            for event in engine.events(timeout=1.0):
                match event:
                    case EpochDone():
                        epochs.append(
                            EpochRecord(event.number, event.metrics, event.digests, event.seconds)
                        )
                        if event.number > last or (event.number == last and not to_the_end):
                            return epochs, None
                    case TrialDone():
                        return epochs, event.outcome
                    case WorkerDied():
                        return epochs, TrialOutcome(error=Failure("WorkerDied", event.reason))
    finally:
        engine.close()


def data_of(settings: dict[str, Any], folder: Path | None) -> tuple[str | None, dict[str, str]]:
    """Load the dataset of some settings; returns the folder workers map, and SHA-256 by name."""
    if "data" not in settings:
        return None, {}
    from nets import data

    dataset = data.load(settings["data"], folder or data.default_folder())
    return str(dataset.path), {settings["data"]: dataset.sha256}
