"""``retrial search``: run a study, or continue it from where the ledger stands."""

import contextlib
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nets.errors import InputError
from studies.analysis.formatting import shown, shown_seconds
from studies.analysis.stored_study import stored_definition
from studies.cli import suggestions
from studies.cli.progress import Progress, Status, display
from studies.cli.tables import console, listed
from studies.definition import study_file
from studies.definition.study_file import Study
from studies.recording.listener import Record
from studies.search.driver import End, Listener, Plan, Search
from studies.search.interrupts import Interrupts
from studies.search.stopping import same_failure
from studies.search.warm_start import earlier_trials, snapshot
from studies.workers import cpu_pinning
from studies.workers.admission import Admission, check_data
from studies.workers.engine import Engine, EngineLost
from tracking.ledger import Ledger, lock
from tracking.records import Environment, Failure, TrialRecord, differences
from tracking.store import names
from tracking.store.store import check_reachable, check_writable, is_remote


def run(options: Namespace) -> int:
    """Search, record, and say what came out."""
    study = _study(options)
    if options.mixed and options.cluster is None:
        raise InputError("--mixed: got no --cluster, accepted is a search on a cluster")
    check_writable(options.store)
    if not options.no_record:
        check_reachable()
    folders, digests = _load_data(study, options.data)
    path = options.store / names.LEDGER
    with (
        _cluster(options.cluster) as cluster,
        lock.hold(path, study.name, "searched"),
        contextlib.closing(Ledger(path)) as ledger,
    ):
        jobs = _jobs(options.jobs, study.section.window, cluster)
        now = _admit(study, ledger, digests, on_cluster=cluster is not None)
        total = min(study.section.trials, study.most_trials or study.section.trials)
        finished = [trial for trial in ledger.trials(study.name) if trial.state != "running"]
        if len([trial for trial in finished if trial.number < total]) == total and (
            options.no_record or _is_recorded(ledger, study.name)
        ):
            return _nothing_to_do(study, total, finished, options.store)
        plan = Plan(
            study=study,
            total=total,
            folders=folders,
            digests=digests,
            threads=options.threads,
            checkpoint_seconds=float(os.environ.get("RETRIAL_CHECKPOINT_SECONDS", 30)),
            deadline=None if options.timeout is None else time.monotonic() + options.timeout,
            environment=now.of_trial(),
        )
        try:
            return _search(plan, ledger, options, jobs, now, cluster)
        except EngineLost as error:
            print(f"retrial: {error}", file=sys.stderr)
            return 1


def _study(options: Namespace) -> Study:
    """Return the study of a file; or of a name that only the store knows, as it was unpacked."""
    try:
        path = study_file.find(options.study)
    except InputError:
        definition = stored_definition(options.store, options.study)
        if definition is None:
            raise
    else:
        return study_file.read(
            path, trials=options.trials, seed=options.seed, portable=options.portable
        )
    section = definition["study"]
    if options.seed not in (None, section["seed"]) or options.portable > section["portable"]:
        raise InputError(
            f"study: {options.study} is known from the store alone; accepted with --seed or "
            "--portable is its file"
        )
    section = {**section, "trials": options.trials or section["trials"]}
    return study_file.stored({**definition, "study": section})


def _nothing_to_do(study: Study, total: int, finished: list[TrialRecord], store: Path) -> int:
    """Say so of a study whose trials are all finished and recorded; return the exit code."""
    failed = sum(trial.state == "failed" for trial in finished)
    error = same_failure(finished[: min(study.section.window, total)])
    if error is not None:
        print(
            f"retrial: {study.name}: nothing to do, {failed} of {len(finished)} finished trials "
            f"failed; {_stopped(study, error, store)}",
            file=sys.stderr,
        )
        return 1
    known = f"{len(finished)} of {total} trials are finished"
    if len(finished) > total:
        known = f"{len(finished)} trials are finished, {total} were asked for"
    print(f"{study.name}: nothing to do, {known}" + (f"; {failed} failed" if failed else ""))
    return 0


def _stopped(study: Study, error: Failure, store: Path) -> str:
    """Say why a study has stopped whose first trials all failed alike, and what can be done."""
    return (
        f"the first trials all failed with {error.type} at {error.place}; the study has "
        "stopped: with that mended, search it under another study.name, or again after "
        f"`{suggestions.command(store, 'delete', study.name)}`"
    )


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Connect to the cluster at an address; None without one."""
    if address is None:
        yield None
        return
    from studies.workers.dask_client import connect

    with connect(address) as client:
        yield client


def _is_recorded(ledger: Ledger, study: str) -> bool:
    """Tell whether MLflow and Optuna's storage have everything, and all runs are ended."""
    stored = ledger.study(study)
    return stored is not None and stored.notes.recorded is True


def _jobs(asked: int | None, window: int, cluster: Any) -> int | None:
    """Return the number of workers, and warn of those the window can never keep busy.

    None stands for as many as the cluster has and will have.
    """
    if asked is None:
        if cluster is None:
            return max(1, min(len(os.sched_getaffinity(0)), window // 2))
        _jobs(len(cluster.scheduler_info(n_workers=-1)["workers"]), window, cluster)
        return None
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
    for dataset in loaded.values():
        try:
            dataset.split(study.fixed.get("validation", 0), study.section.seed)
        except ValueError as error:
            raise InputError(f"data.{error}") from error
    return (
        {name: str(dataset.path) for name, dataset in loaded.items()},
        {name: dataset.sha256 for name, dataset in loaded.items()},
    )


def _admit(
    study: Study, ledger: Ledger, digests: dict[str, str], *, on_cluster: bool
) -> Environment:
    """Store a new study, or check that a stored one is the same; its trials may grow.

    Returns the environment of this search: where its trials train, or on a cluster the driver's.
    """
    stored = ledger.study(study.name)
    pinned = (stored and stored.notes.pinned) or {}
    if stored is None and study.section.portable:
        pinned = cpu_pinning.choose()
    now = cpu_pinning.capture({} if on_cluster else pinned, data=digests, modules=study.own_modules)
    if stored is None:
        earlier = snapshot(study, ledger)
        ledger.add_study(study.name, study.definition, now)
        ledger.update_notes(study.name, warm_start=earlier, pinned=pinned)
        return now
    changed = study_file.differences(stored.definition, study.definition)
    if changed:
        more = f"; and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise InputError(
            f"study: {study.name} is in the store with other values: {changed[0]}{more}\n"
            "accepted is the same file with another number of trials, or another study.name"
        )
    check_data(stored, digests)
    if not on_cluster:  # whose workers are compared one by one
        began = stored.environment.with_worker(stored.notes.first_worker)
        for difference in differences(began, now):
            print(f"retrial: since the study began: {difference}", file=sys.stderr)
    # Fewer trials than it has would be no description of the study.
    trials = max(study.section.trials, len(ledger.trials(study.name)))
    section = {**study.definition["study"], "trials": trials}
    ledger.set_definition(study.name, {**study.definition, "study": section})
    return now


def _search(
    plan: Plan,
    ledger: Ledger,
    options: Namespace,
    jobs: int | None,
    now: Environment,
    cluster: Any,
) -> int:
    """Run the search with everything that listens to it."""
    study = plan.study
    began = time.monotonic()
    progress = Progress(study, plan.total, ledger)
    ledger.update_notes(study.name, recorded=False)
    end: End | None = None
    record: Record | None = None
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        status = stack.enter_context(Status())
        # Recording is finished on every way out, after the workers have ended.
        stack.callback(lambda: None if record is None else record.finish(end))
        engine = _engine(plan, ledger, jobs, now, cluster, mixed=options.mixed)
        stack.callback(engine.close)
        stack.callback(lambda: None if record is None else status.show("recording…"))
        if not options.no_record:
            record = Record(ledger.path, options.store, study, now)
        screen = stack.enter_context(display(progress))
        listeners: list[Listener] = [screen] if record is None else [screen, record]
        search = Search(plan, ledger, engine, listeners, earlier_trials(study, ledger))
        if record is not None and is_remote():
            # A server may refuse; a folder was found writable already, and MLflow opens it
            # while the first trials train.
            record.opened()
        interrupts.search = search
        end = search.run()
    if record is not None and not record.problems:
        ledger.update_notes(study.name, recorded=True)
    return _report(plan, end, search, progress, time.monotonic() - began, options)


def _engine(
    plan: Plan, ledger: Ledger, jobs: int | None, now: Environment, cluster: Any, *, mixed: bool
) -> Engine:
    """Return the workers: of the cluster, or processes of this machine."""
    notes = ledger.notes(plan.study.name)
    pinned = notes.pinned or {}
    if cluster is None:
        from studies.workers.local import LocalEngine

        if notes.first_worker is None:
            ledger.update_notes(plan.study.name, first_worker=now.decisive())
        return LocalEngine(min(jobs or 1, plan.total), pinned, now.code)
    from studies.workers.dask import DaskEngine

    data = [(name, plan.digests[name], plan.folders[name]) for name in plan.folders]
    admission = Admission(ledger, plan.study, pinned, mixed=mixed)
    return DaskEngine(cluster, admission, data, plan.study.own_modules, jobs)


def _report(
    plan: Plan, end: End, search: Search, progress: Progress, seconds: float, options: Namespace
) -> int:
    """Print the outcome of the search and return the exit code."""
    study = plan.study
    if end == "failed" and search.failure is not None:
        error = search.failure
        print(error.traceback, file=sys.stderr, end="")
        print(f"retrial: {_stopped(study, error, options.store)}", file=sys.stderr)
        return 1
    print(f"{study.name}: {progress.summary()}, in {shown_seconds(seconds)}")
    best = progress.best
    if best is not None:
        print(f"best: trial {best.number}  {study.section.metric} {shown(best.value)}")
        for line in listed(best.parameters, console().width):
            print(line)
        print(f"again: {suggestions.reproduce(options, 'best', study.name)}")
    elif end == "finished" and progress.failed == progress.finished:
        why = suggestions.command(options.store, "show", study.name)
        print(f"retrial: {study.name}: every trial failed; why: {why}", file=sys.stderr)
        return 1
    if end == "stopped":
        print("stopped: the same command continues it")
        return 130
    if end == "timeout":
        print("timeout: the same command continues it")
    return 0
