"""MLflow's database of a new store.

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
