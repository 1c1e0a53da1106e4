"""Find and remove what crashed processes left in a store.

All waste is found and described first, and removed only on request. Before something is removed,
its current state is checked again.
"""

import re
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tracking.ledger import Ledger
from tracking.ledger.lock import LEAST_UNUSED_BYTES
from tracking.maintenance import deletion
from tracking.maintenance.pack.contents import UNPACKING_TAG
from tracking.maintenance.pack.packing import BESIDE, clear
from tracking.runs import trial_run
from tracking.store import names
from tracking.store.client import Files, all_models, all_pages, all_runs, files_at
from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Experiment, LoggedModel, Run

_FINISHED = "trial.state <> 'running'"
_RECORDED = f"{_FINISHED} AND trial.recorded_state = trial.state"


@dataclass(frozen=True)
class Waste:
    """One kind of waste: a description, the number of items, their size, and how to remove them.

    `removals` are functions that remove some of it, each with the study that it belongs to, or
    with "" where it belongs to none.
    """

    what: str
    count: int
    bytes: int
    removals: Sequence[tuple[str, Callable[[], None]]]

    @property
    def studies(self) -> set[str]:
        """The studies that it belongs to, whose locks the caller of `remove` must hold."""
        return {study for study, _ in self.removals if study}

    def remove(self, busy: Collection[str] = ()) -> None:
        """Remove it, except for what belongs to studies in `busy`."""
        for study, removal in self.removals:
            if study not in busy:
                removal()


def find(store: Store, ledger: Ledger, busy: Collection[str]) -> list[Waste]:
    """Return all waste; studies in `busy` are in use and left alone."""
    kinds = [
        _deleted_runs(store, busy),
        _unfinished_experiments(store, ledger, busy),
        _forgotten_runs(store, ledger, busy),
        _ledger_rows(ledger, "checkpoints of finished trials", "checkpoint", "state", _FINISHED),
        _ledger_rows(ledger, "models that MLflow also has", "model", "arrays", _RECORDED),
        _temporary(store.root),
        _unused_space(ledger),
    ]
    return [waste for waste in kinds if waste.count]


def _experiments(store: Store) -> "Iterator[Experiment]":
    """Yield all experiments of studies, including deleted ones."""
    from mlflow.entities import ViewType

    for experiment in all_pages(store.client.search_experiments, view_type=ViewType.ALL):
        if {names.KIND_TAG, UNPACKING_TAG} & experiment.tags.keys():
            yield experiment


def _deleted_runs(store: Store, busy: Collection[str]) -> Waste:
    """Find deleted runs and their models; users delete runs, and so do drivers after a crash."""

    def remove(run_id: str, models: "list[LoggedModel]") -> None:
        now = _run(store, run_id)
        if now is not None and now.info.lifecycle_stage != "active":
            deletion.remove_models(store, models)
            deletion.remove_runs(store, [now])

    places: list[str] = []
    removals = []
    for experiment in _experiments(store) if deletion.can_erase(store) else ():
        if experiment.lifecycle_stage != "active" or experiment.name in busy:
            continue
        deleted = [
            run
            for run in all_runs(store.client, experiment.experiment_id, deleted=True)
            if run.info.lifecycle_stage != "active" and names.KIND_TAG in run.data.tags
        ]
        models = all_models(store.client, experiment.experiment_id) if deleted else []
        for run in deleted:
            of_run = [model for model in models if model.source_run_id == run.info.run_id]
            places += [run.info.artifact_uri, *(model.artifact_location for model in of_run)]
            removals.append((experiment.name, partial(remove, run.info.run_id, of_run)))
    size = _bytes(files_at(store, place) for place in places)
    return Waste("deleted runs in MLflow", len(removals), size, removals)


def _unfinished_experiments(store: Store, ledger: Ledger, busy: Collection[str]) -> Waste:
    """Find experiments of studies whose unpacking was interrupted."""
    known = {*ledger.study_names(), *busy}
    found = [
        (experiment.name, deletion.survey(store, experiment.name, made_here=True))
        for experiment in _experiments(store)
        if UNPACKING_TAG in experiment.tags and experiment.name not in known
    ]

    def remove(name: str) -> None:
        now = store.client.get_experiment_by_name(name)
        if now is not None and UNPACKING_TAG in now.tags and ledger.study(name) is None:
            clear(store, name)  # else it has been unpacked meanwhile

    size = sum(holdings.bytes for _, holdings in found)
    removals = [(name, partial(remove, name)) for name, _ in found]
    return Waste("studies whose unpacking was interrupted", len(found), size, removals)


def _forgotten_runs(store: Store, ledger: Ledger, busy: Collection[str]) -> Waste:
    """Find runs that MLflow shows as running although they have no driver."""

    def mark(run_id: str) -> None:
        now = _run(store, run_id)
        if now is not None and now.info.status == "RUNNING":
            trial_run.kill(store.client, run_id)

    known = set(ledger.study_names()) - set(busy)
    removals = [
        (experiment.name, partial(mark, run.info.run_id))
        for experiment in _experiments(store)
        if experiment.name in known and experiment.lifecycle_stage == "active"
        for run in all_runs(store.client, experiment.experiment_id)
        # Runs that a user created by hand are not ours.
        if run.info.status == "RUNNING" and names.KIND_TAG in run.data.tags
    ]
    what = "runs with status RUNNING but no driver: marked as killed"
    return Waste(what, len(removals), 0, removals)


def _run(store: Store, run_id: str) -> "Run | None":
    """Return the current state of a run, or None if it no longer exists."""
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_run(run_id)
    except MlflowException:
        return None


def _ledger_rows(ledger: Ledger, what: str, table: str, blob: str, condition: str) -> Waste:
    """Find rows of the ledger that their trials no longer need."""
    rows = (
        f"FROM {table} WHERE EXISTS (SELECT 1 FROM trial WHERE trial.study = {table}.study"
        f" AND trial.number = {table}.trial AND {condition})"
    )
    with ledger.transaction() as connection:
        count, size = connection.execute(
            f"SELECT count(*), coalesce(sum(length({blob})), 0) {rows}"
        ).fetchone()

    def remove() -> None:
        # The condition is evaluated again, whatever has changed since the rows were counted.
        with ledger.transaction() as connection:
            connection.execute(f"DELETE {rows}")

    return Waste(what, count, size, [("", remove)])


def _unused_space(ledger: Ledger) -> Waste:
    """Find space in the ledger's file that removed rows have left."""
    free = ledger.unused_bytes()
    is_much = free >= LEAST_UNUSED_BYTES
    return Waste("unused space in the ledger", int(is_much), free, [("", ledger.vacuum)])


def _temporary(root: Path) -> Waste:
    """Find temporary files of processes that no longer exist."""
    found = [path for path in root.glob("*") if _is_abandoned(path.name)]
    folders = [Files(local=path) for path in found if path.is_dir()]
    files = [path for path in found if path.is_file()]

    def remove() -> None:
        for folder in folders:
            folder.remove()
        for path in files:
            path.unlink(missing_ok=True)

    size = _bytes(folders) + sum(path.stat().st_size for path in files)
    return Waste("temporary files of ended processes", len(found), size, [("", remove)])


def _is_abandoned(name: str) -> bool:
    """Return whether a file is the temporary file of a process that no longer exists.

    Processes on other machines cannot be inspected; their files are left to `gc` on those.
    """
    written = re.fullmatch(
        rf"(?:\.{re.escape(names.MLFLOW_DATABASE)}\.|{re.escape(BESIDE)})"
        r"(?:(?P<host>.+)\.)?(?P<process>\d{1,9})(?:-[^-]*)?",
        name,
    )
    if written is None or written["host"] not in (None, socket.gethostname()):
        return False
    return not psutil.pid_exists(int(written["process"]))


def _bytes(files: Iterable[Files]) -> int:
    return sum(sum(found.sizes()) for found in files)
