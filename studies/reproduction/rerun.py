"""Trying a recorded trial again: the same objective, in a fresh process, from MLflow alone."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nets.errors import InputError
from studies.definition import study_file
from studies.definition.study_file import Study
from studies.workers import cpu_pinning
from studies.workers.local import LocalEngine
from studies.workers.messages import EpochDone, Job, TrialDone, WorkerDied
from tracking.runs.content import as_params
from tracking.runs.reader import RecordedRun, study_run
from tracking.runs.verdict import Verdict, compare
from tracking.store import names
from tracking.store.client import read_file
from tracking.store.store import Store


@dataclass(frozen=True)
class Again:
    """What trying a trial again gave: its epochs, and how it ended if it did."""

    epochs: list[dict[str, Any]]
    outcome: dict[str, Any] | None = None
    """As recorded of a trial; None where it was stopped before its end."""

    @property
    def error(self) -> dict[str, str] | None:
        """What it failed with, or None."""
        return (self.outcome or {}).get("error")


def definition_of(store: Store, study: str) -> Study:
    """Return the study that a trial belongs to, as MLflow has it."""
    run = study_run(store, study)
    return study_file.stored(json.loads(read_file(store.client, run.info.run_id, names.STUDY_FILE)))


def reproduce(
    store: Store, recorded: RecordedRun, data: Path | None, *, until: int | None, threads: int
) -> tuple[Verdict, dict[str, Any]]:
    """Train a recorded trial for its recorded epochs and compare; also returns the environment.

    Raises InputError for a trial without a recorded epoch, or with data that is not here.
    """
    study = definition_of(store, recorded.study)
    settings = json.loads(recorded.settings)
    last = max((entry["epoch"] for entry in recorded.epochs), default=0)
    if last == 0:
        raise InputError(
            f"trial: run {recorded.run_id} ended before its first epoch, there is nothing to "
            "compare; accepted is a trial with at least one recorded epoch"
        )
    folder, digests = data_of(settings, data)
    # A portable trial is tried again with the kernel it was pinned to.
    pinned = recorded.environment.get(cpu_pinning.PINNED, {})
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
    again = train(job, min(last, until or last), pinned, to_the_end=is_whole)
    verdict = compare(
        recorded.epochs,
        again.epochs,
        recorded_environment=recorded.environment,
        environment=now,
        metric=recorded.metric,
        validation_count=settings.get("validation", 0),
        kept=recorded.outcome.get("epoch"),
        recorded_outcome=recorded.outcome if is_whole else None,
        outcome=again.outcome,
        # What the run says of itself against the file that it is tried again from.
        recorded_settings=recorded.parameters,
        settings=as_params(settings),
        until=until,
    )
    if again.error is not None and verdict.verdict != "exact":
        verdict.differences.insert(0, f"it failed: {again.error['type']}: {again.error['message']}")
    return verdict, now


def train(job: Job, last: int, environment: dict[str, str], *, to_the_end: bool = False) -> Again:
    """Run a job in a fresh process with `environment` up to the epoch `last`.

    `to_the_end` is to see it end there by itself, or go on to one epoch more.
    """
    epochs: list[dict[str, Any]] = []
    engine = LocalEngine(1, environment)
    try:
        engine.start(job)
        while True:
            for event in engine.events(timeout=1.0):
                match event:
                    case EpochDone():
                        epochs.append(
                            {
                                "epoch": event.number,
                                "metrics": event.metrics,
                                "digests": event.digests,
                                "seconds": event.seconds,
                            }
                        )
                        if event.number > last or (event.number == last and not to_the_end):
                            return Again(epochs)
                    case TrialDone():
                        return Again(epochs, event.outcome)
                    case WorkerDied():
                        reason = {"type": "WorkerDied", "message": event.reason}
                        return Again(epochs, {"error": reason})
    finally:
        engine.close()


def data_of(settings: dict[str, Any], folder: Path | None) -> tuple[str | None, dict[str, str]]:
    """Load the dataset of some settings; returns the folder workers map, and SHA-256 by name."""
    if "data" not in settings:
        return None, {}
    from nets import data

    dataset = data.load(settings["data"], folder or data.default_folder())
    return str(dataset.path), {settings["data"]: dataset.sha256}
