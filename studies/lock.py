"""One driver a study: a lock in the ledger that a dead driver cannot keep."""

import json
import os
import secrets
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from nets.errors import InputError
from tracking.ledger import Ledger

_BEAT_SECONDS = 5.0
_DEAD_SECONDS = 60.0
"""A lock held from another machine, whose processes cannot be seen, is dead without a sign of
life for this long."""

_MINE = "study = ? AND json_extract(holder, '$.token') = ?"
"""A driver that slept for so long that another one took over must not touch the other's lock."""


@contextmanager
def hold(path: Path, study: str, doing: str) -> Iterator[None]:
    """Hold a study's lock; raises InputError saying who has it, and what is being done there.

    `doing` completes the sentence "the study is being ...".

    A holder on this machine is dead when no process with its number and start time exists, and
    its lock is taken over at once.
    """
    with closing(Ledger(path)) as ledger:
        holder = {**_myself(), "doing": doing}
        _take(ledger, study, holder)
        done = threading.Event()
        beat = threading.Thread(target=_beat, args=(path, study, holder, done), daemon=True)
        beat.start()
        try:
            yield
        finally:
            done.set()
            beat.join()
            # Where the disk is full it stays, as the lock of a dead driver.
            with suppress(sqlite3.Error), ledger.transaction() as connection:
                connection.execute(f"DELETE FROM lock WHERE {_MINE}", (study, holder["token"]))


def held(ledger: Ledger) -> set[str]:
    """Return the names of the studies whose lock somebody holds now."""
    with ledger.transaction() as connection:
        rows = connection.execute("SELECT study, holder FROM lock").fetchall()
    return {study for study, holder in rows if _alive(json.loads(holder))}


def _take(ledger: Ledger, study: str, holder: dict[str, Any]) -> None:
    with ledger.transaction() as connection:
        row = connection.execute("SELECT holder FROM lock WHERE study = ?", (study,)).fetchone()
        if row is not None and _alive(other := json.loads(row[0])):
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(other["since"]))
            raise InputError(
                f"study: {study} is being {other['doing']} by process {other['pid']} on "
                f"{other['host']} since {since}; accepted is one driver at a time"
            )
        connection.execute(
            "INSERT OR REPLACE INTO lock (study, holder) VALUES (?, ?)",
            (study, json.dumps(holder)),
        )


def _myself() -> dict[str, Any]:
    process = psutil.Process()
    return {
        "pid": os.getpid(),
        "started": process.create_time(),
        "host": socket.gethostname(),
        "token": secrets.token_hex(8),
        "since": time.time(),
        "beat": time.time(),
    }


def _alive(holder: dict[str, Any]) -> bool:
    """Tell whether the holder of a lock still lives."""
    if holder["host"] != socket.gethostname():
        return bool(time.time() - holder["beat"] < _DEAD_SECONDS)
    try:
        process = psutil.Process(holder["pid"])
        started = process.create_time()
        if process.status() == psutil.STATUS_ZOMBIE:  # killed, and not yet missed by its parent
            return False
    except psutil.NoSuchProcess:
        return False
    # The start time is computed from the boot time, which follows corrections of the clock.
    return bool(abs(started - holder["started"]) < 5.0)


def _beat(path: Path, study: str, holder: dict[str, Any], done: threading.Event) -> None:
    """Give signs of life until done; a beat that cannot be written is tried at the next one."""
    ledger: Ledger | None = None
    while not done.wait(_BEAT_SECONDS):
        try:
            ledger = ledger or Ledger(path)
            with ledger.transaction() as connection:
                connection.execute(
                    f"UPDATE lock SET holder = ? WHERE {_MINE}",
                    (json.dumps({**holder, "beat": time.time()}), study, holder["token"]),
                )
        except Exception:
            ledger = None
    if ledger is not None:
        ledger.close()
