"""Copy one study from a ledger to another: all its tables, exactly."""

import contextlib
import sqlite3
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tracking.ledger.access import Ledger
from tracking.records import RecordDamaged
from tracking.store import names

_LEFT_BEHIND = {"lock"}
"""Tables without data of the study itself."""
_WITH_IDS = {"study": "notes", "trial": "recorded_run"}
"""The column of a table that contains ids of MLflow's runs and models."""


def copy_study(
    source: Ledger,
    target: Ledger,
    study: str,
    translate: Callable[[str], str] | None = None,
) -> dict[str, int]:
    """Copy a study to a ledger that does not have it, in one transaction.

    `translate` replaces the ids of MLflow's runs and models in a string. Returns the number of
    copied rows by table.
    """
    counts = {}
    with source.transaction() as reading, target.transaction() as writing:
        for table, columns in _tables():
            key = "name" if table == "study" else "study"
            rows = reading.execute(
                f"SELECT {', '.join(columns)} FROM {table} WHERE {key} = ?", (study,)
            )
            place = columns.index(_WITH_IDS[table]) if table in _WITH_IDS else None
            counts[table] = writing.executemany(
                f"INSERT INTO {table} ({', '.join(columns)})"
                f" VALUES ({', '.join('?' * len(columns))})",
                (_translated(row, place, translate) for row in rows),
            ).rowcount
    return {table: max(count, 0) for table, count in counts.items()}


def check_tables(ledger: Ledger) -> None:
    """Raise RecordDamaged unless the tables of a ledger are plain ones, with plain values.

    A view or a generated column in the place of ours would be computed while it is read.
    """
    with ledger.transaction() as connection:
        for table, columns in _tables():
            found = {
                name: hidden
                for _, name, _, _, _, _, hidden in connection.execute(
                    f"PRAGMA table_xinfo({table})"
                )
            }
            kind = connection.execute(
                "SELECT type FROM sqlite_master WHERE name = ? AND rootpage > 0", (table,)
            ).fetchone()
            if kind != ("table",) or any(found.get(name, 1) for name in columns):
                raise RecordDamaged(f"table {table}", problem="is not one of a ledger")
        for table, column in _WITH_IDS.items():
            other = f"SELECT 1 FROM {table} WHERE typeof({column}) NOT IN ('text', 'null')"
            if connection.execute(other).fetchone() is not None:
                raise RecordDamaged(f"{table}.{column}", problem="is no text")
        _check_files(connection)
        if (row := connection.execute("PRAGMA foreign_key_check").fetchone()) is not None:
            raise RecordDamaged(f"table {row[0]}", problem=f"a row belongs to no {row[2]}")


def _check_files(connection: sqlite3.Connection) -> None:
    """Raise RecordDamaged unless the paths of models' files can be those of files in a folder."""
    other = "SELECT 1 FROM model_file WHERE typeof(path) <> 'text' OR typeof(format) <> 'text'"
    if connection.execute(f"{other} OR typeof(content) <> 'blob'").fetchone() is not None:
        raise RecordDamaged("table model_file", problem="a row is no file")
    of_model: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for study, trial, path, form in connection.execute(
        "SELECT study, trial, path, format FROM model_file"
    ):
        of_model.setdefault((study, trial), []).append((path, form))
    for (_, trial), files in of_model.items():
        try:
            for form in {form for _, form in files}:
                names.check_files([path for path, _ in files], form)
        except ValueError as error:
            raise RecordDamaged(f"the model of trial {trial}", problem=str(error)) from error


def size_of(ledger: Ledger, study: str) -> tuple[dict[str, int], int]:
    """Return the number of a study's rows by table, and the total size of their values in bytes."""
    counts, size = {}, 0
    with ledger.transaction() as connection:
        for table, columns in _tables():
            key = "name" if table == "study" else "study"
            lengths = " + ".join(f"coalesce(length({column}), 0)" for column in columns)
            counts[table], some = connection.execute(
                f"SELECT count(*), coalesce(sum({lengths}), 0) FROM {table} WHERE {key} = ?",
                (study,),
            ).fetchone()
            size += some
    return counts, size


@cache
def _tables() -> list[tuple[str, list[str]]]:
    """Return the tables with rows of a study and their columns, referenced tables first.

    They are read from a new ledger: names of tables and columns that another ledger has in
    addition must not get into our SQL statements.
    """
    found = []
    with contextlib.closing(Ledger(Path(":memory:"))) as new, new.transaction() as connection:
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
                " ORDER BY rowid"
            )
        ]
        for name in tables:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            if name not in _LEFT_BEHIND and (name == "study" or "study" in columns):
                found.append((name, columns))
    return found


def _translated(
    row: tuple[Any, ...], place: int | None, translate: Callable[[str], str] | None
) -> tuple[Any, ...]:
    if place is None or translate is None or row[place] is None:
        return row
    return (*row[:place], translate(row[place]), *row[place + 1 :])
