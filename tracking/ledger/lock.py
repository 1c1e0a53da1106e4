"""One driver a study: a lock in the ledger that a dead driver cannot keep."""

import json
import os
import secrets
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from nets.errors import InputError
from tracking.ledger.access import Ledger

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

    A holder on this machine is dead when no process with its number and birth exists, and its lock
    is taken over at once. Whose lock was taken over, after a long sleep, is interrupted.
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
    return {
        "pid": os.getpid(),
        "born": _birth(os.getpid()),
        "host": socket.gethostname(),
        "token": secrets.token_hex(8),
        "since": time.time(),
        "beat": time.time(),
    }


def _alive(holder: dict[str, Any]) -> bool:
    """Tell whether the holder of a lock still lives."""
    if holder["host"] != socket.gethostname():
        return bool(time.time() - holder["beat"] < _DEAD_SECONDS)
    return bool(_birth(holder["pid"]) == holder["born"])


def _birth(pid: int) -> str | None:
    """Return when a process began, in words that no correction of the clock changes.

    None stands for a process that is dead, also if its parent has not missed it yet.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
            # Behind the name, which may hold anything: the 22nd field, in clock ticks since boot.
            _, _, fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")
            return f"{boot} {fields.split()[19]}"
        except FileNotFoundError:  # no Linux, or gone since
            return f"{process.create_time():.0f}"
    except psutil.NoSuchProcess:
        return None


def _beat(path: Path, study: str, holder: dict[str, Any], done: threading.Event) -> None:
    """Give signs of life until done; a beat that cannot be written is tried at the next one."""
    ledger: Ledger | None = None
    while not done.wait(_BEAT_SECONDS):
        try:
            ledger = ledger or Ledger(path)
            with ledger.transaction() as connection:
                is_mine = connection.execute(
                    f"UPDATE lock SET holder = ? WHERE {_MINE}",
                    (json.dumps({**holder, "beat": time.time()}), study, holder["token"]),
                ).rowcount
        except Exception:
            ledger = None
        else:
            if not is_mine:
                print(f"retrial: {study} was taken over by another driver", file=sys.stderr)
                # A signal to that thread wakes it, wherever it waits.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                break
    if ledger is not None:
        ledger.close()
