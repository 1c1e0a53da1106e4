"""``retrial train``: one training with settings of one's own, recorded like a trial."""

import contextlib
import os
import sys
import time
from argparse import Namespace
from pathlib import Path

from nets.settings import to_plain
from studies.analysis.formatting import shown, shown_seconds
from studies.analysis.stored_study import StoredStudy
from studies.cli import suggestions
from studies.cli.progress import Status
from studies.definition import study_file
from studies.definition.study_file import Study
from studies.recording.listener import Record
from studies.reproduction.rerun import data_of
from studies.search import single_training
from studies.search.driver import End, Plan, Search
from studies.search.interrupts import Interrupts
from studies.workers import cpu_pinning
from studies.workers.local import LocalEngine
from tracking.ledger import Ledger, lock
from tracking.records import Environment, EpochRecord, TrialRecord
from tracking.store import names
from tracking.store.store import check_writable, is_remote


def run(options: Namespace) -> int:
    """Choose the settings, train, record, and say what came out."""
    given = single_training.parse(options.set)
    check_writable(options.store)
    path = options.store / names.LEDGER
    study, best, pinned = _study(path, options.study)
    chosen = single_training.choose(study, best, given)
    trained = single_training.companion(study, chosen.settings)
    plain = to_plain(chosen.settings)
    folder, digests = data_of(plain, options.data)
    now = cpu_pinning.capture(pinned, data=digests, modules=study.own_modules)
    with lock.hold(path, trained.name, "trained"), contextlib.closing(Ledger(path)) as ledger:
        number = single_training.admit(ledger, trained, study.name, chosen.settings, now)
        _say(trained, number, chosen)
        plan = Plan(
            study=trained,
            total=number + 1,
            folders={} if folder is None else {plain["data"]: folder},
            digests=digests,
            threads=options.threads,
            checkpoint_seconds=float(os.environ.get("RETRIAL_CHECKPOINT_SECONDS", 30)),
            environment=now.of_trial(),
        )
        return _train(plan, ledger, number, options, now, pinned)


def _study(path: Path, text: str) -> tuple[Study, TrialRecord | None, dict[str, str]]:
    """Return a study by its name in the store or of a file; its best trial and its kernel."""
    with contextlib.ExitStack() as stack:
        # None is made for a request that may be wrong.
        known = stack.enter_context(contextlib.closing(Ledger(path))) if path.is_file() else None
        record = known.study(text) if known else None
        if known is not None and record is not None:
            single_training.check_trainable(record)
            stored = StoredStudy(known, record)
            return stored.study, stored.best, record.notes.pinned or {}
        study = study_file.read(study_file.find(text), to_search=False)
        record = known.study(study.name) if known else None
        if known is None or record is None:
            return study, None, cpu_pinning.choose() if study.section.portable else {}
        return study, StoredStudy(known, record).best, record.notes.pinned or {}


def _say(study: Study, number: int, chosen: single_training.Chosen) -> None:
    """Say which settings were chosen for this training, and by whom."""
    print(f"{study.name}: training {number}")
    width = max(map(len, chosen.sources), default=0)
    for name, source in chosen.sources.items():
        print(f"  {name:{width}s}  {shown(getattr(chosen.settings, name))}  ({source})")


class _EpochLines:
    """Prints a line an epoch; a `Listener` of the search."""

    def __init__(self, metric: str) -> None:
        self._metric = metric

    def started(self, trial: TrialRecord) -> None:
        """Hear that the training began."""

    def epoch(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Print the epoch's metrics, the study's own first."""
        names_ = dict.fromkeys([self._metric, *sorted(epoch.metrics)])
        values = "  ".join(
            f"{name} {shown(epoch.metrics[name])}" for name in names_ if name in epoch.metrics
        )
        of = trial.settings["epochs"]
        print(f"epoch {epoch.number:3d} of {of}  {values}  {shown_seconds(epoch.seconds)}")
        sys.stdout.flush()

    def finished(self, trial: TrialRecord) -> None:
        """Hear that the training ended."""

    def warned(self, message: str) -> None:
        """Print a warning where it does not mix with results."""
        print(f"retrial: {message}", file=sys.stderr, flush=True)


def _train(
    plan: Plan,
    ledger: Ledger,
    number: int,
    options: Namespace,
    now: Environment,
    pinned: dict[str, str],
) -> int:
    """Train as a search of one trial would."""
    study, began = plan.study, time.monotonic()
    end: End | None = None
    record: Record | None = None
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        status = stack.enter_context(Status())
        stack.callback(lambda: None if record is None else record.finish(end))
        engine = LocalEngine(1, pinned, now.code)
        stack.callback(engine.close)
        stack.callback(lambda: None if record is None else status.show("recording…"))
        if not options.no_record:
            record = Record(ledger.path, options.store, study, now, figures=False)
        lines = _EpochLines(study.section.metric)
        search = Search(plan, ledger, engine, [lines] if record is None else [lines, record])
        if record is not None and is_remote():
            record.opened()
        interrupts.search = search
        end = search.run()
    trial = ledger.trial(study.name, number)
    assert trial is not None
    return _report(study, trial, time.monotonic() - began, options)


def _report(study: Study, trial: TrialRecord, seconds: float, options: Namespace) -> int:
    """Print what came out and return the exit code."""
    if trial.state == "running":
        print("stopped: the same command continues it")
        return 130
    if trial.state == "failed":
        error = trial.outcome.error
        assert error is not None
        print(error.traceback, file=sys.stderr, end="")
        print(f"retrial: the training failed: {error.summary}", file=sys.stderr)
        return 1
    again = suggestions.reproduce(options, str(trial.number), study.name)
    print(
        f"{study.name}: {study.section.metric} {shown(trial.value)} at epoch "
        f"{trial.outcome.epoch} ({trial.outcome.reason}), in {shown_seconds(seconds)}\n"
        f"again: {again}"
    )
    return 0
