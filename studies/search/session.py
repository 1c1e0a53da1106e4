"""One driver's session with a study: what it trains with, and a search that is recorded.

`retrial search`, `train`, `confirm` and `reproduce` prepare data, environment and workers here.
"""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from optuna.trial import FrozenTrial

from nets import data
from nets.data import Dataset
from nets.errors import InputError
from nets.settings import Settings
from nets.trainer import check_fits
from studies.definition import study_file
from studies.definition.checks import combinations
from studies.definition.study_file import Study
from studies.recording.listener import Record
from studies.search.driver import Listener, Plan, Search
from studies.search.extension import extension_of
from studies.search.interrupts import Interrupts
from studies.search.warm_start import snapshot
from studies.workers import cpu_pinning
from studies.workers.admission import Admission, check_data
from studies.workers.engine import Engine
from studies.workers.local import LocalEngine
from studies.workers.messages import Job
from tracking.ledger import Ledger, lock
from tracking.records import (
    Environment,
    SearchEnd,
    StudyNotes,
    TrialRecord,
    differences,
)
from tracking.store import names
from tracking.store.database import run_ids
from tracking.store.store import is_remote, remote_uri


@dataclass(frozen=True)
class Session:
    """What a driver trains with: a study, its datasets, and the environment of its workers.

    `pinned` are the environment variables that pin the workers' BLAS kernel; empty for a study that
    is not portable.
    """

    study: Study
    datasets: Mapping[str, Dataset]
    pinned: Mapping[str, str]
    environment: Environment

    @classmethod
    def prepare(
        cls,
        study: Study,
        datasets: Mapping[str, Dataset],
        pinned: Mapping[str, str] | None,
        *,
        on_cluster: bool = False,
    ) -> "Session":
        """Describe where trials train: processes of this machine, or on a cluster the driver."""
        pinned = cpu_pinning.checked(pinned)
        environment = cpu_pinning.capture(
            {} if on_cluster else pinned,
            data=digests_of(datasets),
            modules=study.own_modules,
            objective=study.section.objective.partition(":")[0],
        )
        if not study.section.record_diff:
            environment = environment.without_diff()
        return cls(study, datasets, pinned, environment)

    @property
    def folders(self) -> dict[str, str]:
        """Folder of each dataset's memory-mapped files."""
        return {name: str(dataset.path) for name, dataset in self.datasets.items()}

    def engine(self, workers: int) -> LocalEngine:
        """Start worker processes on this machine."""
        return LocalEngine(workers, dict(self.pinned), self.environment.code)

    def plan(self, total: int, *, threads: int = 1, timeout: float | None = None) -> Plan:
        """Return the plan of a search for `total` trials, of at most `timeout` seconds."""
        return Plan(
            study=self.study,
            total=total,
            folders=self.folders,
            digests=digests_of(self.datasets),
            threads=threads,
            checkpoint_seconds=float(os.environ.get("RETRIAL_CHECKPOINT_SECONDS", 30)),
            deadline=None if timeout is None else time.monotonic() + timeout,
            environment=self.environment.of_trial(),
        )

    def job(
        self,
        trial: int,
        settings: Mapping[str, Any],
        metric: str | None = None,
        *,
        threads: int = 1,
        final: bool = False,
    ) -> Job:
        """Return the training of some settings from beginning to end, without a pruner.

        `final` is the champion's training on all data but the test data.
        """
        return Job(
            trial=trial,
            attempt=1,
            objective=self.study.section.objective,
            settings_class=self.study.section.settings,
            settings=dict(settings),
            data=self.folders.get(settings.get("data", "")),
            pruning=None,
            metric=metric or self.study.section.metric,
            threads=threads,
            final=final,
            keep_model=final or self.study.section.models == "all",
            checkpoint_seconds=math.inf,
            own_modules=tuple(self.study.own_modules),
        )


def load_datasets(wanted: Iterable[str], folder: Path | None) -> dict[str, Dataset]:
    """Load datasets by their names, from a folder or the default one."""
    folder = folder or data.default_folder()
    return {name: data.load(name, folder) for name in wanted}


def load_data(study: Study, folder: Path | None) -> dict[str, Dataset]:
    """Load the datasets of a study; raise InputError if a trial of it cannot train on them."""
    datasets = load_datasets(study.data_names, folder)
    for dataset in datasets.values():
        try:
            dataset.split(study.fixed.get("validation", 0), study.section.seed)
        except InputError as error:
            raise error.with_key(f"data.{error.key}") from None
    if study.section.objective == names.OWN_OBJECTIVE:
        for settings in combinations(study.fixed, study.space, Settings):
            check_fits(settings, datasets[settings.data])
    return datasets


def digests_of(datasets: Mapping[str, Dataset]) -> dict[str, str]:
    """Return the SHA-256 of each dataset."""
    return {name: dataset.sha256 for name, dataset in datasets.items()}


@contextlib.contextmanager
def locked(store: Path, study: str, doing: str) -> Iterator[Ledger]:
    """Open the ledger of a store and hold a study's lock; `doing` says what for.

    Raises StudyLocked where another process holds it.
    """
    path = store / names.LEDGER
    with lock.hold(path, study, doing), Ledger(path) as ledger:
        yield ledger


def is_recorded(ledger: Ledger, study: str, store: Path) -> bool:
    """Return whether MLflow has every trial, as far as can be known without asking a server."""
    notes = ledger.notes(study)
    if notes.recorded is not True or (notes.recorded_in or "") != remote_uri():
        return False
    delivered = {trial.recorded_run for trial in ledger.trials(study)} - {None}
    return is_remote() or delivered <= run_ids(store)


class Screen(Listener, contextlib.AbstractContextManager[Any, None], Protocol):
    """A display of a search; it is active while it is entered."""


class Status(contextlib.AbstractContextManager[Any, None], Protocol):
    """A line on what the command is doing; it disappears on exit."""

    def show(self, text: str) -> None:
        """Show the line from now on."""


@dataclass(frozen=True)
class Finished:
    """A search that has ended: how, and whether everything has been recorded."""

    end: SearchEnd
    search: Search
    is_recorded: bool


def run(
    plan: Plan,
    ledger: Ledger,
    engine: Callable[[], Engine],
    screen: Screen,
    status: Status,
    *,
    environment: Environment,
    store: Path | None,
    figures: bool = True,
    earlier: Sequence[FrozenTrial] = (),
) -> Finished:
    """Run a search and record it in a store; None does not record.

    The first Ctrl-C stops trials at their next epoch. Recording is finished on every way out, after
    the workers have ended; Ctrl-C then leaves the rest of it to the next search of the study.
    """
    end: SearchEnd | None = None
    record: Record | None = None
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        stack.enter_context(status)
        stack.callback(
            lambda: (
                None
                if record is None
                else record.finish(end, status.show, lambda: interrupts.stops_recording)
            )
        )
        workers = engine()
        stack.callback(workers.close)
        stack.callback(lambda: None if record is None else status.show("recording…"))
        if store is not None:
            record = Record(ledger.path, store, plan.study, environment, figures=figures)
        stack.enter_context(screen)
        listeners: list[Listener] = [screen] if record is None else [screen, record]
        search = Search(plan, ledger, workers, listeners, earlier)
        if record is not None and is_remote():
            # A server may refuse. A folder has been found writable, and MLflow opens it while the
            # first trials train.
            record.opened()
        interrupts.search = search
        end = search.run()
    return Finished(end, search, record is not None and not record.problems)


def admit(
    study: Study,
    ledger: Ledger,
    datasets: Mapping[str, Dataset],
    *,
    extends: str | None = None,
    on_cluster: bool = False,
) -> tuple[Session, list[str]]:
    """Store a new study, or check that the stored one is the same; its number of trials may grow.

    Also returns what the user should know: how many trials of another study a new one knows, or how
    this environment differs from the one that a stored one began in. Raises InputError for a stored
    study with another definition or other data, and for a new one that does not extend the study
    named `extends`.
    """
    stored = ledger.study(study.name)
    if stored is None:
        pinned = cpu_pinning.choose() if study.section.portable else {}
        session = Session.prepare(study, datasets, pinned, on_cluster=on_cluster)
        earlier, sentence = snapshot(study, ledger)
        notes = StudyNotes(warm_start=earlier, pinned=pinned)
        sentences = [] if sentence is None else [sentence]
        copies: Sequence[TrialRecord] = ()
        if extends is not None:
            extension = extension_of(study, extends, ledger, digests_of(datasets))
            notes = replace(notes, extends=extension.record)
            sentences += extension.sentences
            copies = extension.trials
        ledger.add_study(study.name, study.definition, session.environment, notes, copies)
        return session, sentences
    known = stored.notes.extends
    if extends is not None and (known is None or known.study != extends):
        raise InputError(
            "study.name",
            problem=f"{study.name} is in the store and does not extend {extends}",
            expected="the name of a new study",
        )
    session = Session.prepare(study, datasets, stored.notes.pinned, on_cluster=on_cluster)
    if changed := study_file.differences(stored.definition, study.definition):
        more = f"; and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise InputError(
            "study",
            problem=f"{study.name} is in the store with other values: {changed[0]}{more}",
            hint="with another study.name, `retrial extend` keeps the trials",
        )
    check_data(stored, digests_of(datasets))
    # A study with fewer trials than it has would not describe it.
    trials = max(study.section.trials, len(ledger.trials(study.name)))
    section = {**study.definition["study"], "trials": trials}
    ledger.set_definition(study.name, {**study.definition, "study": section})
    if on_cluster:  # its workers are compared one by one
        return session, []
    began = stored.environment.with_worker(stored.notes.first_worker)
    changed_since = differences(began, session.environment)
    return session, [f"since the study began: {each}" for each in changed_since]


def engine_for(
    session: Session, ledger: Ledger, workers: int | None, cluster: Any = None, *, mixed: bool
) -> Engine:
    """Start the workers of a search: those of a cluster, or processes of this machine.

    None is as many workers as the cluster has and will have. `mixed` admits workers that differ
    from the study's first one.
    """
    name, notes = session.study.name, ledger.notes(session.study.name)
    if cluster is None:
        if notes.first_worker is None:
            ledger.update_notes(name, first_worker=session.environment.decisive())
        return session.engine(workers or 1)
    from studies.workers.dask import DaskEngine

    files = [(key, one.sha256, str(one.path)) for key, one in session.datasets.items()]
    admission = Admission(ledger, session.study, session.pinned, mixed=mixed)
    return DaskEngine(cluster, admission, files, session.study.own_modules, workers)
