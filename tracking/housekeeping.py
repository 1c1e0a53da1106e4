"""What crashed attempts left in a store, and removing it.

Every kind of waste is found and described first; nothing is touched before somebody said so.
"""

import contextlib
import re
import sqlite3
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tracking import names, removal, trial_run
from tracking.artifacts import Files, files_at
from tracking.ledger import Ledger
from tracking.pack.export import all_models, all_runs
from tracking.pack.packing import BESIDE, clear
from tracking.pack.restore import UNPACKING_TAG
from tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Experiment

_RUN = re.compile(r"[0-9a-f]{32}")
_MODEL = re.compile(r"m-[0-9a-f]{32}")
_FEWEST_FREE_BYTES = 1 << 20
"""Unused space in the ledger that is worth rewriting it for."""

_FINISHED = "trial.state <> 'running'"
_RECORDED = f"{_FINISHED} AND trial.recorded_state = trial.state"


@dataclass(frozen=True)
class Waste:
    """One kind of waste: what it is in words, how much, and how to be rid of it."""

    what: str
    count: int
    bytes: int
    remove: Callable[[], None]


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
    runs, models, places = [], [], []
    if removal.can_erase(store):
        for experiment in _experiments(store):
            if experiment.lifecycle_stage != "active" or experiment.name in busy:
                continue
            deleted = [
                run
                for run in all_runs(store, experiment.experiment_id, deleted=True)
                if run.info.lifecycle_stage != "active"
            ]
            gone = {run.info.run_id for run in deleted}
            of_runs = [
                model
                for model in all_models(store, experiment.experiment_id)
                if model.source_run_id in gone
            ]
            runs += deleted
            models += of_runs
            places += [run.info.artifact_uri for run in deleted]
            places += [model.artifact_location for model in of_runs]
    files = [files_at(store, place) for place in places]

    def remove() -> None:
        removal.remove_models(store, models)
        removal.remove_runs(store, runs)

    return Waste("deleted runs in MLflow", len(runs), _bytes(files), remove)


def _unfinished_experiments(store: Store, ledger: Ledger, busy: Collection[str]) -> Waste:
    """Find experiments of studies that were never unpacked to the end."""
    known = {*ledger.study_names(), *busy}
    found = [
        (experiment.name, removal.survey(store, experiment.name))
        for experiment in _experiments(store)
        if UNPACKING_TAG in experiment.tags and experiment.name not in known
    ]

    def remove() -> None:
        for name, _ in found:
            clear(store, name)

    return Waste(
        "studies that were not unpacked to the end",
        len(found),
        sum(holdings.bytes for _, holdings in found),
        remove,
    )


def _forgotten_runs(store: Store, ledger: Ledger, busy: Collection[str]) -> Waste:
    """Find runs that MLflow shows as running although nobody trains them."""
    known = set(ledger.study_names()) - set(busy)
    found = [
        run
        for experiment in _experiments(store)
        if experiment.name in known and experiment.lifecycle_stage == "active"
        for run in all_runs(store, experiment.experiment_id)
        if run.info.status == "RUNNING"
    ]

    def remove() -> None:
        for run in found:
            trial_run.kill(store.client, run.info.run_id)

    return Waste("runs that say RUNNING without a driver: marked as killed", len(found), 0, remove)


def _folders(store: Store) -> dict[str, Path]:
    """Return the folders of files by the id of the run or model they are of."""
    root = store.root / names.ARTIFACTS
    if store.uri != names.mlflow_uri(store.root) or not root.is_dir():
        return {}
    models = root / "models"
    return {
        **{path.name: path for path in root.iterdir() if _RUN.fullmatch(path.name)},
        **(
            {path.name: path for path in models.iterdir() if _MODEL.fullmatch(path.name)}
            if models.is_dir()
            else {}
        ),
    }


def _orphans(store: Store, folders: dict[str, Path]) -> Waste:
    """Find folders of files that belong to no run and no model."""
    known: set[str] = set()
    if folders:
        # Deleted ones as well, which the client does not tell of models.
        with contextlib.closing(sqlite3.connect(store.root / names.MLFLOW_DATABASE)) as database:
            for statement in (
                "SELECT run_uuid FROM runs",
                "SELECT model_id FROM logged_models",
            ):
                known |= {identity for (identity,) in database.execute(statement)}
    files = [Files(local=path) for identity, path in folders.items() if identity not in known]

    def remove() -> None:
        for orphan in files:
            orphan.remove()

    return Waste("folders of files of no run", len(files), _bytes(files), remove)


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

    def remove() -> None:
        with ledger.transaction() as connection:
            connection.execute(f"DELETE {rows}")

    return Waste(what, count, size, remove)


def _unused_space(ledger: Ledger) -> Waste:
    """Find space in the ledger's file that removed rows have left."""
    free = ledger.unused_bytes()
    return Waste("unused space in the ledger", int(free >= _FEWEST_FREE_BYTES), free, ledger.vacuum)


def _temporary(root: Path) -> Waste:
    """Find what processes that are gone were writing beside its final name."""
    found = []
    for path in root.iterdir() if root.is_dir() else ():
        process = re.fullmatch(
            rf"\.{re.escape(names.MLFLOW_DATABASE)}\.(\d{{1,9}})|{re.escape(BESIDE)}(\d{{1,9}})-.*",
            path.name,
        )
        if process and not psutil.pid_exists(int(process[1] or process[2])):
            found.append(path)
    folders = [Files(local=path) for path in found if path.is_dir()]
    files = [path for path in found if path.is_file()]

    def remove() -> None:
        for folder in folders:
            folder.remove()
        for path in files:
            path.unlink(missing_ok=True)

    size = _bytes(folders) + sum(path.stat().st_size for path in files)
    return Waste("temporary files of processes that are gone", len(found), size, remove)


def _bytes(files: list[Files]) -> int:
    return sum(sum(found.sizes().values()) for found in files)
