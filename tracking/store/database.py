"""MLflow's database of a new store.

MLflow makes one by dozens of migrations, which take seconds and may be killed in their middle. They
run once for each version of MLflow, in a folder for temporary files; what came of them is kept in
the user's cache, and a new store gets a copy that appears under its final name at once.
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
    """Create the database of a store whose files go to `artifacts`, whole or not at all.

    One that is there already stays: two studies may start in a new store at once.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / final.name
        if not _taken_from_cache(made):
            _migrate(made)
            _keep_in_cache(made)
        with contextlib.closing(sqlite3.connect(made)) as database, database:
            database.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0",
                (str(artifacts / "0"),),
            )
        final.parent.mkdir(parents=True, exist_ok=True)
        beside = final.with_name(f".{final.name}.{names.writer()}")
        try:
            shutil.copyfile(made, beside)
            with contextlib.suppress(FileExistsError):
                os.link(beside, final)
        finally:
            beside.unlink(missing_ok=True)


def _migrate(path: Path) -> None:
    """Have MLflow make an empty database; its one experiment is yet to be told where it lies."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(  # type: ignore[no-untyped-call]
        f"sqlite:///{path}", str(path.parent)
    )
    store.engine.dispose()
    with contextlib.closing(sqlite3.connect(path)) as database:
        # With a write-ahead log the user interface reads while a search writes.
        database.execute("PRAGMA journal_mode=WAL")


def _cached() -> Path:
    return default_folder() / f"mlflow-{importlib.metadata.version('mlflow')}.db"


def _taken_from_cache(path: Path) -> bool:
    """Copy what an earlier store has left; returns whether there was something sound."""
    try:
        shutil.copyfile(_cached(), path)
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("SELECT version_num FROM alembic_version")
            return bool(database.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except (OSError, sqlite3.Error):
        path.unlink(missing_ok=True)
        return False


def _keep_in_cache(path: Path) -> None:
    """Keep a copy for the next store; where there is no cache, the next one takes its time too."""
    cached = _cached()
    with contextlib.suppress(OSError):
        cached.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as made:
            write_whole(cached, partial(shutil.copyfileobj, made))
