"""What crashed attempts left in a store, and removing it.

Every kind of waste is found and described first; nothing is touched before somebody said so. What
has become of it meanwhile is looked at again before it is removed.
"""

import contextlib
import re
import socket
import sqlite3
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tracking.ledger import Ledger
from tracking.maintenance import deletion
from tracking.maintenance.pack.export import all_models, all_runs
from tracking.maintenance.pack.packing import BESIDE, clear
from tracking.maintenance.pack.restore import UNPACKING_TAG
from tracking.runs import trial_run
from tracking.store import names
from tracking.store.artifacts import Files, files_at
from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Experiment, LoggedModel, Run

_RUN_FOLDER = re.compile(r"[0-9a-f]{32}")
_MODEL_FOLDER = re.compile(r"m-[0-9a-f]{32}")
_FEWEST_FREE_BYTES = 1 << 20
"""Unused space in the ledger that is worth rewriting it for."""

_FINISHED = "trial.state <> 'running'"
_RECORDED = f"{_FINISHED} AND trial.recorded_state = trial.state"


@dataclass(frozen=True)
class Waste:
    """One kind of waste: what it is in words, how much, and how to be rid of it.

    `remove` may be given the names of studies to leave alone; it is safe for those of `studies`
    whose lock is held by who calls it.
    """

    what: str
    count: int
    bytes: int
    remove: Callable[..., None]
    studies: frozenset[str] = frozenset()


def find(store: Store, ledger: Ledger, busy: Collection[str]) -> list[Waste]:
    """Return what is there to remove; studies in `busy` have a driver and are left alone."""
    # Folders before the rows that they may belong to: a run that begins meanwhile has both.
    folders = _folders(store)
    kinds = [
        _deleted_runs(store, busy),
        _unfinished_experiments(store, ledger, busy),
        _forgotten_runs(store, ledger, busy),
        _orphans(store, folders),
        _ledger_rows(ledger, "checkpoints of finished trials", "checkpoint", "state", _FINISHED),
        _ledger_rows(ledger, "models that MLflow has as well", "model", "arrays", _RECORDED),
        _temporary(store.root),
        _unused_space(ledger),
    ]
    return [waste for waste in kinds if waste.count]


def _experiments(store: Store) -> "Iterator[Experiment]":
    """Return all experiments of studies, the deleted ones too."""
    from mlflow.entities import ViewType

    token = None
    while True:
        page = store.client.search_experiments(view_type=ViewType.ALL, page_token=token)
        for experiment in page:
            if {names.KIND_TAG, UNPACKING_TAG} & experiment.tags.keys():
                yield experiment
        if not (token := page.token):
            return


def _deleted_runs(store: Store, busy: Collection[str]) -> Waste:
    """Find runs that somebody, or the successor of a crashed attempt, deleted; and their models."""
    found: list[tuple[str, Run, list[LoggedModel]]] = []
    if deletion.can_erase(store):
        for experiment in _experiments(store):
            if experiment.lifecycle_stage != "active" or experiment.name in busy:
                continue
            deleted = [
                run
                for run in all_runs(store, experiment.experiment_id, deleted=True)
                if run.info.lifecycle_stage != "active" and names.KIND_TAG in run.data.tags
            ]
            models = all_models(store, experiment.experiment_id) if deleted else []
            for run in deleted:
                of_run = [model for model in models if model.source_run_id == run.info.run_id]
                found.append((experiment.name, run, of_run))
    places = [run.info.artifact_uri for _, run, _ in found]
    places += [model.artifact_location for _, _, models in found for model in models]
    files = [files_at(store, place) for place in places]

    def remove(busy: Collection[str] = ()) -> None:
        for study, run, models in found:
            now = _run(store, run.info.run_id)
            if study not in busy and now is not None and now.info.lifecycle_stage != "active":
                deletion.remove_models(store, models)
                deletion.remove_runs(store, [now])

    studies = frozenset(study for study, _, _ in found)
    return Waste("deleted runs in MLflow", len(found), _bytes(files), remove, studies)


def _unfinished_experiments(store: Store, ledger: Ledger, busy: Collection[str]) -> Waste:
    """Find experiments of studies that were never unpacked to the end."""
    known = {*ledger.study_names(), *busy}
    found = [
        (experiment.name, deletion.survey(store, experiment.name, made_here=True))
        for experiment in _experiments(store)
        if UNPACKING_TAG in experiment.tags and experiment.name not in known
    ]

    def remove(busy: Collection[str] = ()) -> None:
        for name, _ in found:
            now = store.client.get_experiment_by_name(name)
            is_ruin = now is not None and UNPACKING_TAG in now.tags and ledger.study(name) is None
            if is_ruin and name not in busy:  # else it has been unpacked meanwhile
                clear(store, name)

    return Waste(
        "studies that were not unpacked to the end",
        len(found),
        sum(holdings.bytes for _, holdings in found),
        remove,
        frozenset(name for name, _ in found),
    )


def _forgotten_runs(store: Store, ledger: Ledger, busy: Collection[str]) -> Waste:
    """Find runs that MLflow shows as running although nobody trains them."""
    known = set(ledger.study_names()) - set(busy)
    found = [
        (experiment.name, run.info.run_id)
        for experiment in _experiments(store)
        if experiment.name in known and experiment.lifecycle_stage == "active"
        for run in all_runs(store, experiment.experiment_id)
        # Those that somebody made by hand are none of ours.
        if run.info.status == "RUNNING" and names.KIND_TAG in run.data.tags
    ]

    def remove(busy: Collection[str] = ()) -> None:
        for study, run_id in found:
            now = _run(store, run_id)
            if study not in busy and now is not None and now.info.status == "RUNNING":
                trial_run.kill(store.client, run_id)

    what = "runs that say RUNNING without a driver: marked as killed"
    return Waste(what, len(found), 0, remove, frozenset(study for study, _ in found))


def _run(store: Store, run_id: str) -> "Run | None":
    """Return a run as it is now, or None where it is gone."""
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_run(run_id)
    except MlflowException:
        return None


def _folders(store: Store) -> dict[str, Path]:
    """Return the folders of files by the id of the run or model they are of."""
    root = store.root / names.ARTIFACTS
    if store.uri != names.mlflow_uri(store.root) or not root.is_dir():
        return {}
    models = root / "models"
    return {
        **{path.name: path for path in root.iterdir() if _RUN_FOLDER.fullmatch(path.name)},
        **(
            {path.name: path for path in models.iterdir() if _MODEL_FOLDER.fullmatch(path.name)}
            if models.is_dir()
            else {}
        ),
    }


def _orphans(store: Store, folders: dict[str, Path]) -> Waste:
    """Find folders of files that belong to no run and no model."""
    known = _known(store) if folders else set()
    orphans = {identity: Files(local=folders[identity]) for identity in folders.keys() - known}

    def remove(busy: Collection[str] = ()) -> None:
        known = _known(store)
        for identity, files in orphans.items():
            if identity not in known:
                files.remove()

    size = _bytes([*orphans.values()])
    return Waste("folders of files of no run", len(orphans), size, remove)


def _known(store: Store) -> set[str]:
    """Return the ids of all runs and models, also of deleted ones, which no client tells."""
    known: set[str] = set()
    with contextlib.closing(sqlite3.connect(store.root / names.MLFLOW_DATABASE)) as database:
        for statement in ("SELECT run_uuid FROM runs", "SELECT model_id FROM logged_models"):
            known |= {identity for (identity,) in database.execute(statement)}
    return known


def _ledger_rows(ledger: Ledger, what: str, table: str, blob: str, condition: str) -> Waste:
    """Find rows of the ledger that their trial no longer needs."""
    rows = (
        f"FROM {table} WHERE EXISTS (SELECT 1 FROM trial WHERE trial.study = {table}.study"
        f" AND trial.number = {table}.trial AND {condition})"
    )
    with ledger.transaction() as connection:
        count, size = connection.execute(
            f"SELECT count(*), coalesce(sum(length({blob})), 0) {rows}"
        ).fetchone()

    def remove(busy: Collection[str] = ()) -> None:
        # The condition holds of what is removed, whatever has happened since it was counted.
        with ledger.transaction() as connection:
            connection.execute(f"DELETE {rows}")

    return Waste(what, count, size, remove)


def _unused_space(ledger: Ledger) -> Waste:
    """Find space in the ledger's file that removed rows have left."""
    free = ledger.unused_bytes()

    def remove(busy: Collection[str] = ()) -> None:
        ledger.vacuum()

    return Waste("unused space in the ledger", int(free >= _FEWEST_FREE_BYTES), free, remove)


def _temporary(root: Path) -> Waste:
    """Find what processes that are gone were writing beside its final name."""
    found = [path for path in (root.iterdir() if root.is_dir() else ()) if _is_left(path.name)]
    folders = [Files(local=path) for path in found if path.is_dir()]
    files = [path for path in found if path.is_file()]

    def remove(busy: Collection[str] = ()) -> None:
        for folder in folders:
            folder.remove()
        for path in files:
            path.unlink(missing_ok=True)

    size = _bytes(folders) + sum(path.stat().st_size for path in files)
    return Waste("temporary files of processes that are gone", len(found), size, remove)


def _is_left(name: str) -> bool:
    """Tell whether a file is one that a process was writing that is gone.

    Processes of other machines cannot be seen: theirs stay, for `gc` there.
    """
    written = re.fullmatch(
        rf"(?:\.{re.escape(names.MLFLOW_DATABASE)}\.|{re.escape(BESIDE)})"
        r"(?:(?P<host>.+)\.)?(?P<process>\d{1,9})(?:-[^-]*)?",
        name,
    )
    if written is None or written["host"] not in (None, socket.gethostname()):
        return False
    return not psutil.pid_exists(int(written["process"]))


def _bytes(files: list[Files]) -> int:
    return sum(sum(found.sizes().values()) for found in files)
