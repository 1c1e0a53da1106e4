"""``retrial search``: run a study, or continue it.

A study continues from where the ledger stands, with the same trials as without an interruption.
"""

import contextlib
import math
import os
import sys
import time
from argparse import SUPPRESS, ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.analysis.formatting import shown, shown_seconds
from studies.cli import suggestions
from studies.cli.arguments import add_flag, natural, positive, seconds
from studies.cli.messages import fail, warn

if TYPE_CHECKING:
    from nets.data import Dataset
    from studies.cli.progress import Progress
    from studies.definition.study_file import Study
    from studies.search.session import Finished
    from tracking.records import Failure, TrialRecord

INTERRUPTED = "the same command continues it"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("study", help="name of a bundled study, or path of a study file")
    parser.add_argument("--trials", type=positive, help="total number of trials")
    parser.add_argument(
        "--jobs", type=positive, help="worker processes (default: cores, at most window / 2)"
    )
    parser.add_argument(
        "--threads", type=positive, default=1, help="threads inside one trial (default: 1)"
    )
    parser.add_argument("--seed", type=natural, help="another seed makes the study NAME-seedS")
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="start no trials after SECONDS; running ones save a checkpoint and can be resumed",
    )
    parser.add_argument("--cluster", metavar="ADDRESS", help="train on a Dask cluster: tcp://...")
    add_flag(parser, "--portable", "pin the BLAS kernel: equal results on different machines")
    add_flag(parser, "--mixed", "admit workers that differ, and record how")
    add_flag(parser, "--no-record", SUPPRESS)


def run(options: Namespace) -> int:
    """Search, record, and print the result."""
    from nets.errors import InputError
    from studies.cli.progress import Progress, Status, display
    from studies.search import session as sessions
    from studies.search.warm_start import earlier_trials
    from tracking.store.store import check_reachable, check_writable, remote_uri

    study = _study(options)
    if options.mixed and options.cluster is None:
        raise InputError("--mixed", problem="got no --cluster", expected="a search on a cluster")
    check_writable(options.store)
    if not options.no_record:
        check_reachable()
    datasets = _load_data(study, options.data)
    with (
        _cluster(options.cluster) as cluster,
        sessions.locked(options.store, study.name, "searched") as ledger,
    ):
        jobs = _jobs(options.jobs, study.section.window, cluster)
        session, changed = sessions.admit(study, ledger, datasets, on_cluster=cluster is not None)
        for difference in changed:
            warn(f"since the study began: {difference}")
        total = min(study.section.trials, study.most_trials or study.section.trials)
        finished = [trial for trial in ledger.trials(study.name) if trial.is_finished]
        is_recorded = options.no_record or sessions.is_recorded(ledger, study.name, options.store)
        if is_recorded and sum(trial.number < total for trial in finished) == total:
            return _nothing_to_do(study, total, finished, options.store)
        workers = None if jobs is None else min(jobs, total)
        progress = Progress(study, total, ledger)
        ledger.update_notes(study.name, recorded=False)
        began = time.monotonic()
        found = sessions.run(
            session.plan(total, threads=options.threads, timeout=options.timeout),
            ledger,
            lambda: sessions.engine_for(session, ledger, workers, cluster, mixed=options.mixed),
            display(progress),
            Status(),
            environment=session.environment,
            store=None if options.no_record else options.store,
            earlier=earlier_trials(study, ledger),
        )
        if found.is_recorded:
            ledger.update_notes(study.name, recorded=True, recorded_in=remote_uri())
        trials = ledger.trials(study.name)
        return _report(study, found, progress, trials, time.monotonic() - began, options)


def _study(options: Namespace) -> "Study":
    """Return the study of a file, or of a name that only the store knows, as after `unpack`."""
    from nets.errors import InputError
    from studies.analysis.stored_study import stored_definition
    from studies.definition import study_file

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
            "study",
            problem=f"{options.study} is known from the store alone",
            expected="its file, with --seed or --portable",
        )
    section = {**section, "trials": options.trials or section["trials"]}
    return study_file.stored({**definition, "study": section})


def _cluster(address: str | None) -> contextlib.AbstractContextManager[Any]:
    """Connect to the cluster at an address; None without one."""
    if address is None:
        return contextlib.nullcontext()
    from studies.workers.dask_client import connect  # needs an optional package

    return connect(address)


def _load_data(study: "Study", folder: Path | None) -> "dict[str, Dataset]":
    """Load each dataset once, and check that it can be split."""
    from nets.errors import InputError
    from studies.search.session import load_datasets

    datasets = load_datasets(study.data_names, folder)
    for dataset in datasets.values():
        try:
            dataset.split(study.fixed.get("validation", 0), study.section.seed)
        except InputError as error:
            raise error.with_key(f"data.{error.key}") from None
    return datasets


def _jobs(asked: int | None, window: int, cluster: Any) -> int | None:
    """Return the number of workers, and warn of those that the window cannot keep busy.

    None is as many as the cluster has and will have.
    """
    if asked is None and cluster is None:
        return max(1, min(len(os.sched_getaffinity(0)), window // 2))
    count = asked or len(cluster.scheduler_info(n_workers=-1)["workers"])
    if count > max(1, window // 2):
        warn(
            f"{count} workers with study.window = {window}: some will wait; a window of "
            f"{4 * count} keeps them busy, and changes which trials the study has"
        )
    return asked


def _nothing_to_do(study: "Study", total: int, finished: "list[TrialRecord]", store: Path) -> int:
    """Report a study whose trials are all finished and recorded; return the exit code."""
    from studies.search.stopping import same_failure

    failed = sum(trial.state == "failed" for trial in finished)
    error = same_failure(finished[: min(study.section.window, total)])
    if error is not None:
        return fail(
            f"{study.name}: nothing to do, {failed} of {len(finished)} finished trials failed; "
            f"{_stopped(study, error, store)}"
        )
    if (why := _fruitless(study, finished, store)) is not None:
        return fail(f"{study.name}: nothing to do, {why}")
    known = f"{len(finished)} of {total} trials are finished"
    if len(finished) > total:
        known = f"{len(finished)} trials are finished, {total} were requested"
    print(f"{study.name}: nothing to do, {known}" + (f"; {failed} failed" if failed else ""))
    return 0


def _stopped(study: "Study", error: "Failure", store: Path) -> str:
    """Return why a study stopped whose first trials all failed alike, and what can be done."""
    return (
        f"the first trials all failed with {error.type} at {error.place}, so the study has "
        "stopped: fix the cause, then search it under another study.name, or again after "
        f"`{suggestions.command(store, 'delete', study.name)}`"
    )


def _fruitless(study: "Study", trials: "list[TrialRecord]", store: Path) -> str | None:
    """Return what to say of trials none of which has a value, and None if one has."""
    if any(trial.value is not None and math.isfinite(trial.value) for trial in trials):
        return None
    failed = all(trial.state == "failed" for trial in trials)
    what = "every trial failed" if failed else "no trial has a value: all failed or diverged"
    return f"{what}; see `{suggestions.command(store, 'show', study.name)}`"


def _report(
    study: "Study",
    found: "Finished",
    progress: "Progress",
    trials: "list[TrialRecord]",
    took: float,
    options: Namespace,
) -> int:
    """Print the result of the search and return the exit code."""
    from studies.cli.tables import console, listed

    if found.end == "failed" and (error := found.search.failure) is not None:
        print(error.traceback, file=sys.stderr, end="")
        return fail(_stopped(study, error, options.store))
    print(f"{study.name}: {progress.summary()}, in {shown_seconds(took)}")
    best = progress.best
    if best is not None:
        print(f"best: trial {best.number}  {study.section.metric} {shown(best.value)}")
        for line in listed(best.parameters, console().width):
            print(line)
        print(f"reproduce it: {suggestions.reproduce(options, 'best', study.name)}")
    elif found.end == "finished" and (why := _fruitless(study, trials, options.store)):
        return fail(f"{study.name}: {why}")
    if found.end == "stopped":
        print("stopped: the same command continues it")
        return 130
    if found.end == "timeout":
        print("timeout: the same command continues it")
    return 0
