"""A damaged ledger: what is wrong with the file, and what can still be saved."""

import sqlite3
from pathlib import Path

from tracking.ledger.access import Ledger
from tracking.ledger.copy import size_of
from tracking.store.errors import StoreUnavailable


def check(ledger: Ledger) -> None:
    """Raise StoreUnavailable, which says what can be saved, for a damaged file."""
    try:
        with ledger.transaction() as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise damaged(ledger.path, found)


def damaged(path: Path, reason: object) -> StoreUnavailable:
    """Return the error for a damaged ledger, which names the studies that are still readable."""
    intact, others = _studies(path)
    hint = "keep a copy of the store and search in another one"
    if intact:
        hint += f"; `retrial pack` saves {', '.join(intact)}"
    if others:
        hint += f"; of {', '.join(others)}, MLflow has what was recorded (`retrial reproduce`)"
    first = str(reason).strip().splitlines()[0]
    return StoreUnavailable("store", problem=f"{path} is damaged: {first}", hint=hint)


def _studies(path: Path) -> tuple[list[str], list[str]]:
    """Return the studies all of whose rows can be read, and the others that are known."""
    intact: list[str] = []
    others: list[str] = []
    try:
        with Ledger(path, create=False) as ledger:
            for name in ledger.study_names():
                try:
                    size_of(ledger, name)
                except sqlite3.DatabaseError:
                    others.append(name)
                else:
                    intact.append(name)
    except (sqlite3.DatabaseError, StoreUnavailable):
        pass  # not even the list of studies can be read
    return intact, others
