"""MLflow's database of a store: a new one, what a copied or moved one needs, its connections.

MLflow creates it by dozens of migrations, which take seconds and may be killed halfway. They run
once for each version of MLflow, in a temporary folder. The resulting database is kept in the user's
cache, and a new store gets a copy, which appears under its final name complete.
"""

import contextlib
import importlib.metadata
import os
import shutil
import sqlite3
import tempfile
from functools import partial
from pathlib import Path

from nets.data import default_folder
from nets.files import write_whole
from tracking.store import names


def create_database(final: Path, artifacts: Path) -> None:
    """Create the database of a store with the artifact folder `artifacts`, atomically.

    An existing database is kept: two studies may start in a new store at the same time.
    """
    with tempfile.TemporaryDirectory() as folder:
        migrated = Path(folder) / final.name
        if not _copy_from_cache(migrated):
            _migrate(migrated)
            _copy_to_cache(migrated)
        with contextlib.closing(sqlite3.connect(migrated)) as database, database:
            database.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0",
                (str(artifacts / "0"),),
            )
        final.parent.mkdir(parents=True, exist_ok=True)
        beside = final.with_name(f".{final.name}.{names.writer()}")
        try:
            shutil.copyfile(migrated, beside)
            # A link, since renaming would replace the database of another process.
            with contextlib.suppress(FileExistsError):
                os.link(beside, final)
        finally:
            beside.unlink(missing_ok=True)


def relocate(path: Path, artifacts: Path) -> None:
    """Let a database locate the files of its runs and models in the folder `artifacts`.

    MLflow stores absolute paths, which are those of another folder after a store was copied or
    moved. The default experiment, whose location `create_database` sets, has the former folder.

    Raises ValueError if a run or a model of retrial then has its files outside of `artifacts`.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
        default = database.execute(
            "SELECT artifact_location FROM experiments WHERE experiment_id = 0"
        ).fetchone()
        before = Path(default[0]).parent if default else artifacts
        if before != artifacts and before.is_absolute() and before.name == names.ARTIFACTS:
            old = f"{before}/"
            with database:
                database.execute("BEGIN IMMEDIATE")
                for table, column in _LOCATIONS:
                    database.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                        f" WHERE substr({column} || '/', 1, ?) = ?",
                        (str(artifacts), len(old), len(old), old),
                    )
        for statement in _OURS:
            for (location,) in database.execute(statement):
                if not is_inside(location, artifacts):
                    raise ValueError(f"it has files of a study in {location}, outside of the store")


def is_read_only(path: Path) -> bool:
    """Return whether a database exists that this user cannot write."""
    return path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a database for reading, which needs no permission to write."""
    # With a write-ahead log, SQLite has to create files beside the database, unless they are there
    # or the database does not change. Without a log, nobody is writing.
    has_log = path.with_name(f"{path.name}-wal").exists()
    options = "mode=ro" if has_log or not is_read_only(path) else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, timeout=60)


def snapshot(path: Path, copy: Path) -> None:
    """Copy a database as it is now, also while another process writes it."""
    with (
        contextlib.closing(connect_to_read(path)) as database,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        database.backup(target)


def commit_without_sync(uri: str) -> None:
    """Let MLflow's commits to a database that it has opened return before they are on the disk.

    Recording a trial takes a dozen commits. Without `sync`, a power cut can undo the last ones, but
    it cannot damage a database with a write-ahead log.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import event

    engine = SqlAlchemyStore._engine_map[uri]
    event.listen(engine, "connect", _commit_without_sync)
    engine.dispose()  # its connections of before


def _commit_without_sync(connection: sqlite3.Connection, _: object) -> None:
    if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        connection.execute("PRAGMA synchronous=NORMAL")


def sync(path: Path) -> None:
    """Wait until everything that was committed to a database is on the disk."""
    # Without a log, all of it is in the main file, which SQLite syncs before it removes the log.
    with (
        contextlib.suppress(FileNotFoundError),
        path.with_name(f"{path.name}-wal").open("rb") as log,
    ):
        os.fsync(log.fileno())


def disconnect(uri: str) -> None:
    """Close MLflow's idle connections to a database, which it keeps as long as a process lives."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

    for engines in (Tracking._engine_map, Registry._engine_map):
        if uri in engines:
            engines[uri].dispose()


def run_ids(root: Path) -> set[str]:
    """Return the runs of a store's own database whose files the store has, without MLflow.

    Deleted runs are among them until `retrial gc` erases them.
    """
    path, artifacts = root / names.MLFLOW_DATABASE, root / names.ARTIFACTS
    if not path.is_file() or not artifacts.is_dir():
        return set()
    with contextlib.closing(connect_to_read(path)) as database:
        known = {identity for (identity,) in database.execute("SELECT run_uuid FROM runs")}
    return known & set(os.listdir(artifacts))


def artifact_bytes(root: Path) -> dict[str, int]:
    """Return the bytes of all files of each experiment in a store's own database, without MLflow.

    A file that is removed meanwhile does not count.
    """
    path, artifacts = root / names.MLFLOW_DATABASE, root / names.ARTIFACTS
    if not path.is_file():
        return {}
    with contextlib.closing(connect_to_read(path)) as database:
        owners = dict(database.execute(_OWNERS).fetchall())
    found: dict[str, int] = {}
    for folder in [entry for entry in os.scandir(artifacts) if entry.name in owners]:
        study = owners[folder.name]
        found[study] = found.get(study, 0) + _bytes_below(folder.path)
    return found


def _bytes_below(folder: str) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def is_inside(location: str, folder: Path) -> bool:
    """Return whether an artifact location is remote, or a local one in a folder."""
    if not location.startswith(("/", "file:")):
        return True
    return f"{location}/".startswith(f"{folder}/") and ".." not in location.split("/")


_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns of MLflow's database that have absolute paths."""

_OWNERS = (
    "SELECT run_uuid, experiments.name FROM runs JOIN experiments USING (experiment_id) UNION ALL"
    " SELECT model_id, experiments.name FROM logged_models JOIN experiments USING (experiment_id)"
)
"""Runs and models, after which folders are named, with the names of their experiments."""

_OURS = (
    "SELECT artifact_location FROM experiments JOIN experiment_tags USING (experiment_id)"
    f" WHERE key = '{names.KIND_TAG}'",
    f"SELECT artifact_uri FROM runs JOIN tags USING (run_uuid) WHERE key = '{names.KIND_TAG}'",
    "SELECT artifact_location FROM logged_models JOIN logged_model_tags USING (model_id)"
    f" WHERE tag_key = '{names.STUDY_TAG}'",
)
"""The locations of what retrial has recorded."""


def _migrate(path: Path) -> None:
    """Let MLflow create an empty database; its one experiment has no artifact location yet."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(  # type: ignore[no-untyped-call]
        f"sqlite:///{path}", str(path.parent)
    )
    store.engine.dispose()
    with contextlib.closing(sqlite3.connect(path)) as database:
        # With a write-ahead log, the MLflow UI can read while a search writes.
        database.execute("PRAGMA journal_mode=WAL")


def _cached() -> Path:
    return default_folder() / f"mlflow-{importlib.metadata.version('mlflow')}.db"


def _copy_from_cache(path: Path) -> bool:
    """Copy the cached database; return False if there is none, or a damaged one."""
    try:
        shutil.copyfile(_cached(), path)
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("SELECT version_num FROM alembic_version")
            return bool(database.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except (OSError, sqlite3.Error):
        path.unlink(missing_ok=True)
        return False


def _copy_to_cache(path: Path) -> None:
    """Keep a copy for the next store, which is migrated again where the cache is not writable."""
    cached = _cached()
    with contextlib.suppress(OSError):
        cached.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as migrated:
            write_whole(cached, partial(shutil.copyfileobj, migrated))
