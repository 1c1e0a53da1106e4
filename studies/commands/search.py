"""``retrial search``: run a study, or continue it from where the ledger stands."""

import contextlib
import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nets.errors import InputError
from studies import lock, study_file
from studies.engines import Engine
from studies.live import Progress, display, shown, shown_parameters, shown_seconds
from studies.optuna_feed import OptunaFeed
from studies.search import End, Listener, Plan, Search
from studies.study_file import Study
from studies.warm_start import earlier_trials, snapshot
from tracking import environment, names
from tracking.ledger import Ledger, TrialRecord
from tracking.store import check_writable, is_remote


def run(options: Namespace) -> int:
    """Search, record, and say what came out."""
    study = study_file.read(
        study_file.find(options.study), trials=options.trials, seed=options.seed
    )
    jobs = _jobs(options.jobs, study.section.window)
    check_writable(options.store)
    folders, digests = _load_data(study, options.data)
    path = options.store / names.LEDGER
    with lock.hold(path, study.name), contextlib.closing(Ledger(path)) as ledger:
        trials = ledger.trials(study.name)
        now = _admit(study, ledger, digests)
        total = min(study.section.trials, study.most_trials or study.section.trials)
        finished = sum(trial.state != "running" for trial in trials)
        if finished >= total and not ledger.trials(study.name, unrecorded=True):
            print(f"{study.name}: nothing to do, {finished} of {total} trials are finished")
            return 0
        plan = Plan(
            study=study,
            total=total,
            folders=folders,
            threads=options.threads,
            checkpoint_seconds=float(os.environ.get("RETRIAL_CHECKPOINT_SECONDS", 30)),
            deadline=None if options.timeout is None else time.monotonic() + options.timeout,
        )
        return _search(plan, ledger, options, jobs, now)


def _jobs(asked: int | None, window: int) -> int:
    """Return the number of workers, and warn of those the window can never keep busy."""
    if asked is None:
        return max(1, min(len(os.sched_getaffinity(0)), window // 2))
    if asked > max(1, window // 2):
        print(
            f"retrial: {asked} workers with study.window = {window}: some will wait; a window of "
            f"{4 * asked} keeps them busy, and changes which trials the study has",
            file=sys.stderr,
        )
    return asked


def _load_data(study: Study, folder: Path | None) -> tuple[dict[str, str], dict[str, str]]:
    """Load each dataset once; returns folder and SHA-256 of each by name."""
    if not study.data_names:
        return {}, {}
    from nets import data

    folder = folder or data.default_folder()
    loaded = {name: data.load(name, folder) for name in study.data_names}
    return (
        {name: str(dataset.path) for name, dataset in loaded.items()},
        {name: dataset.sha256 for name, dataset in loaded.items()},
    )


def _admit(study: Study, ledger: Ledger, digests: dict[str, str]) -> dict[str, Any]:
    """Store a new study, or check that a stored one is the same; its trials may grow.

    Returns the environment of this search.
    """
    now = environment.capture(data=digests, modules=study.own_modules)
    stored = ledger.study(study.name)
    if stored is None:
        earlier = snapshot(study, ledger)
        ledger.add_study(study.name, study.definition, now)
        ledger.note(study.name, "warm_start", earlier)
        return now
    changed = study_file.differences(stored.definition, study.definition)
    if changed:
        more = f"; and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise InputError(
            f"study: {study.name} is in the store with other values: {changed[0]}{more}\n"
            "accepted is the same file with another number of trials, or another study.name"
        )
    for difference in environment.differences(stored.environment, now):
        print(f"retrial: since the study began: {difference}", file=sys.stderr)
    ledger.set_definition(study.name, study.definition)
    return now


def _search(plan: Plan, ledger: Ledger, options: Namespace, jobs: int, now: dict[str, Any]) -> int:
    """Run the search with everything that listens to it."""
    study = plan.study
    began = time.monotonic()
    progress = Progress(study, plan.total, ledger.trials(study.name))
    with contextlib.ExitStack() as stack:
        engine = _engine(min(jobs, plan.total), study)
        stack.callback(engine.close)
        end: End = "stopped"
        record = None
        if not options.no_record:
            record = _Record(ledger.path, options.store, study, now)
            # Recording is finished on every way out, after the workers have ended.
            stack.callback(lambda: record.finish(end))
        screen = stack.enter_context(display(progress))
        listeners: list[Listener] = [screen] if record is None else [screen, record]
        search = Search(plan, ledger, engine, listeners, earlier_trials(study, ledger))
        with _interrupts(search, screen):
            if record is not None and is_remote():
                # A server may refuse; a folder was found writable already, and MLflow opens it
                # while the first trials train.
                record.opened()
            end = search.run()
        engine.close()
    return _report(plan, end, search, progress, ledger, jobs, time.monotonic() - began)


def _engine(jobs: int, study: Study) -> Engine:
    from studies.engines.local import LocalEngine

    return LocalEngine(jobs)


class _Record:
    """MLflow's recorder and Optuna's storage, told of news; a `Listener` of the search."""

    def __init__(self, ledger: Path, store: Path, study: Study, now: dict[str, Any]) -> None:
        from tracking.recorder import Recorder

        self._feed = OptunaFeed(ledger, study, study.section.storage or names.optuna_uri(store))
        self._recorder = Recorder(ledger, store, study.name, now)
        self._feed.start()
        self._recorder.start()

    def opened(self) -> None:
        """Wait until the store is open; raises InputError where it cannot be."""
        self._recorder.opened()

    def finish(self, end: End) -> None:
        """Deliver everything and end the study's run."""
        self._feed.finish()
        self._recorder.finish(end if end in ("finished", "failed") else "stopped")
        for problem in (self._feed.problem, self._recorder.problem):
            if problem:
                print(f"retrial: not recorded yet: {problem}", file=sys.stderr)

    def started(self, trial: TrialRecord) -> None:
        """Hear that an attempt at a trial began."""
        self._notify()

    def epoch(self, trial: TrialRecord, epoch: Any) -> None:
        """Hear of an epoch; the recorder looks for them by itself, once a second."""

    def finished(self, trial: TrialRecord) -> None:
        """Hear that a trial is complete, pruned or failed."""
        self._notify()

    def warned(self, message: str) -> None:
        """Hear of something a person should know."""

    def _notify(self) -> None:
        self._feed.notify()
        self._recorder.notify()


@contextlib.contextmanager
def _interrupts(search: Search, screen: Listener) -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM) stop trials at their next epoch, the second at once."""
    asked = False

    def interrupted(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        screen.warned("stopping at the end of the running epochs; once more stops at once")
        search.stop()

    before = {s: signal.signal(s, interrupted) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(
    plan: Plan,
    end: End,
    search: Search,
    progress: Progress,
    ledger: Ledger,
    jobs: int,
    seconds: float,
) -> int:
    """Print the outcome of the search and return the exit code."""
    study = plan.study
    if end == "failed" and search.failure is not None:
        error = search.failure
        print(error["traceback"], file=sys.stderr, end="")
        print(
            f"retrial: the first trials all failed with {error['type']} at {error['place']}; "
            "the study has stopped",
            file=sys.stderr,
        )
        return 1
    print(f"{study.name}: {progress.summary()}, in {shown_seconds(seconds)}")
    best = progress.best
    if best is not None:
        print(f"best: trial {best.number}  {study.section.metric} {shown(best.value)}")
        print(f"      {shown_parameters(best.parameters)}")
        print(f"again: retrial reproduce best --study {study.name}")
    if end == "stopped":
        print("stopped: the same command continues it")
        return 130
    if end == "timeout":
        print("timeout: the same command continues it")
    return 0
