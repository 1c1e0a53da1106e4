"""MLflow's database of a new store is migrated once, then copied, and always complete."""

import sqlite3
from contextlib import closing

import pytest

from tracking.store import database
from tracking.store.database import create_database


@pytest.fixture
def cache(tmp_path, monkeypatch, migrated_database):
    """A cache with the database of an earlier store; another migration is an error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(database, "_migrate", copy_of(migrated_database))
    create_database(tmp_path / "first" / "mlflow.db", tmp_path / "first" / "artifacts")
    (cached,) = (tmp_path / "cache").rglob("mlflow-*.db")
    monkeypatch.setattr(database, "_migrate", refuse)
    return cached


def copy_of(migrated):
    return lambda path: path.write_bytes(migrated.read_bytes())


def refuse(path):
    raise AssertionError("migrated again")


def location_in(path):
    """Return the artifact location of the default experiment."""
    with closing(sqlite3.connect(path)) as opened:
        return opened.execute("SELECT artifact_location FROM experiments").fetchall()


def test_every_store_after_the_first_is_a_copy_with_its_own_files(cache, tmp_path):
    for name in ("second", "third"):
        root = tmp_path / name
        create_database(root / "mlflow.db", root / "artifacts")
        assert location_in(root / "mlflow.db") == [(str(root / "artifacts" / "0"),)]
        assert [path.name for path in root.iterdir()] == ["mlflow.db"]


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0 and then nothing"])
def test_a_damaged_copy_is_replaced(content, cache, tmp_path, monkeypatch, migrated_database):
    sound = cache.read_bytes()
    cache.write_bytes(content)
    monkeypatch.setattr(database, "_migrate", copy_of(migrated_database))
    create_database(tmp_path / "again" / "mlflow.db", tmp_path / "again" / "artifacts")
    assert location_in(tmp_path / "again" / "mlflow.db")
    assert len(cache.read_bytes()) == len(sound)


def test_without_a_cache_every_store_is_migrated(tmp_path, monkeypatch, migrated_database):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(database, "_migrate", copy_of(migrated_database))
    for name in ("first", "second"):
        create_database(tmp_path / name / "mlflow.db", tmp_path / name / "artifacts")
        assert location_in(tmp_path / name / "mlflow.db")
