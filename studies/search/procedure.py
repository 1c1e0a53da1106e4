"""A whole search: check, admit the study, search from where the ledger stands, record.

`retrial search` and `Study.search` call it, and print what it returns.
"""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from joblib import cpu_count

from nets import threads as thread_count
from studies.analysis.formatting import plural
from studies.definition.study_file import Study
from studies.search import session as sessions
from studies.search.session import Screen, Status
from studies.search.stopping import same_failure
from studies.search.warm_start import earlier_trials
from tracking.ledger import Ledger, retries
from tracking.records import Failure, SearchEnd, TrialRecord
from tracking.store.plain_values import ranges
from tracking.store.store import check_reachable, check_writable, remote_uri, without_secrets

Warn = Callable[[str], None]
"""Prints a warning."""

Display = Callable[[Study, int, Ledger, str], Screen]
"""Returns the display of a search for a number of trials, of which the ledger may have some.

The string says what trains them.
"""


@dataclass(frozen=True)
class Searched:
    """A search that has ended: why, and the trials of the study.

    `total` is the number of trials that were requested. `failure` is the failure that all of the
    first trials ended with. `queued` is the number of added trials that wait for a larger total.
    """

    study: Study
    end: SearchEnd | Literal["nothing to do"]
    total: int
    trials: list[TrialRecord]
    seconds: float = 0.0
    failure: Failure | None = None
    queued: int = 0

    @property
    def finished(self) -> list[TrialRecord]:
        """The finished trials."""
        return [trial for trial in self.trials if trial.is_finished]

    @property
    def failed(self) -> int:
        """How many trials have failed."""
        return sum(trial.state == "failed" for trial in self.trials)

    @property
    def has_value(self) -> bool:
        """Whether a trial has a finite value; without one, a finished search has failed."""
        values = [trial.value for trial in self.trials]
        return any(value is not None and math.isfinite(value) for value in values)


def search(
    study: Study,
    store: Path,
    *,
    jobs: int | None = None,
    timeout: float | None = None,
    cluster: str | None = None,
    mixed: bool = False,
    extends: str | None = None,
    threads: int = 1,
    data: Path | None = None,
    record: bool = True,
    retry_failed: bool = False,
    display: Display,
    status: Status,
    warn: Warn,
) -> Searched:
    """Search a study, or continue it, until it is complete, stopped, timed out or failing.

    Parameters
    ----------
    jobs
        Worker processes; None for as many as this machine's cores or the cluster can keep busy.
    timeout
        Seconds after which no trial is started.
    cluster
        Address of a Dask cluster to train on; `mixed` admits workers there that differ.
    extends
        Name of the study whose trials a new study begins with.
    threads
        Threads inside a trial.
    data
        Folder of the datasets; None for the default one.
    record
        Whether to record in MLflow and in Optuna's storage.
    retry_failed
        Whether to train failed trials again.

    Raises
    ------
    InputError
        Before anything is stored: for a store that cannot be written, a dataset that is missing,
        a study that another process searches, or one that the store has with other values.
    EngineLost
        No worker can be started, or the cluster cannot be reached any more.
    """
    check_writable(store)
    if record:
        check_reachable()
    datasets = sessions.load_data(study, data)
    with (
        # The driver's threads are recorded; in a program of the user's there may be many.
        thread_count.pinned(),
        _cluster(cluster) as connected,
        sessions.locked(store, study.name, "searched") as ledger,
    ):
        jobs = _jobs(jobs, study.section.window, connected, warn)
        session, sentences = sessions.admit(
            study, ledger, datasets, extends=extends, on_cluster=cluster is not None
        )
        for sentence in sentences:
            warn(sentence)
        total = min(study.section.trials, study.most_trials or study.section.trials)
        if retry_failed and (retried := retries.retry_failed(ledger, study.name, total)):
            warn(f"training trials {ranges(retried)} again, which had failed")
        trials = ledger.trials(study.name)
        queued = len(ledger.queued(study.name))
        known = Searched(study, "nothing to do", total, trials, queued=queued)
        is_recorded = not record or sessions.is_recorded(ledger, study.name, store)
        if is_recorded and sum(trial.number < total for trial in known.finished) == total:
            begun = ledger.notes(study.name).extends
            start = begun.copies if begun else 0
            first = known.finished[start : start + study.section.window][: total - start]
            return replace(known, failure=same_failure(first))
        workers = None if jobs is None else min(jobs, total)
        screen = display(study, total, ledger, _workers(workers, threads, cluster))
        ledger.update_notes(study.name, recorded=False)
        began = time.monotonic()
        found = sessions.run(
            session.plan(total, threads=threads, timeout=timeout),
            ledger,
            lambda: sessions.engine_for(session, ledger, workers, connected, mixed=mixed),
            screen,
            status,
            environment=session.environment,
            store=store if record else None,
            earlier=earlier_trials(study, ledger),
        )
        if found.is_recorded:
            ledger.update_notes(study.name, recorded=True, recorded_in=remote_uri())
        failure = found.search.failure if found.end == "failed" else None
        took = time.monotonic() - began
        trials, queued = ledger.trials(study.name), len(ledger.queued(study.name))
        return Searched(study, found.end, total, trials, took, failure, queued)


def _workers(count: int | None, threads: int, cluster: str | None) -> str:
    """Return in words what trains the trials."""
    text = "all workers" if count is None else plural(count, "job")
    if cluster is not None:
        text += f" on {without_secrets(cluster)}"
    return text + (f" of {threads} threads" if threads > 1 else "")


def _cluster(address: str | None) -> contextlib.AbstractContextManager[Any]:
    """Connect to the cluster at an address; None without one."""
    if address is None:
        return contextlib.nullcontext()
    from studies.workers.dask_client import connect  # needs an optional package

    return connect(address)


def _jobs(asked: int | None, window: int, cluster: Any, warn: Warn) -> int | None:
    """Return the number of workers, and warn of those that the window cannot keep busy.

    None is as many as the cluster has and will have.
    """
    if asked is None and cluster is None:
        return max(1, min(int(cpu_count()), window // 2))
    count = asked or len(cluster.scheduler_info(n_workers=-1)["workers"])
    if count > max(1, window // 2):
        warn(
            f"{count} workers with study.window = {window}: some will wait; a window of "
            f"{4 * count} keeps them busy, and changes which trials the study has"
        )
    return asked
