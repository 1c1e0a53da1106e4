"""One process per study: a lock in the ledger that does not outlive its holder.

The lock is a row that names its holder. A file lock of the operating system (as in the package
filelock) would end with its process, too. But it does not name its holder and the work, cannot be
listed without acquiring it, is inherited by forked children, and on a network file system does not
reliably exclude other machines: the record, the heartbeat and the token would still be needed.
"""

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

from tracking.ledger.access import Ledger
from tracking.provenance.system import birth
from tracking.records import JsonObject
from tracking.store.errors import StoreUnavailable, StudyLocked

_BEAT_SECONDS = 5.0
_DEAD_SECONDS = 60.0
"""Seconds without a heartbeat after which a lock held on another machine counts as abandoned, since
processes there cannot be inspected."""

_MINE = "study = ? AND json_extract(holder, '$.token') = ?"
"""A process that was suspended until another one took over must not touch the other one's lock."""


LEAST_UNUSED_BYTES = 1 << 20
"""Least unused space in the ledger for which its file is rewritten."""


@contextmanager
def hold(path: Path, study: str, doing: str) -> Iterator[None]:
    """Hold a study's lock; raises StudyLocked, which names the holder and what it is doing.

    Raises StoreUnavailable for a ledger that cannot be written.

    `doing` completes the sentence "the study is being ...".

    A holder on this machine is dead when no process with its id and start time exists; its lock is
    taken over immediately. A process whose lock was taken over, after it was suspended for long,
    is interrupted.

    When the holder is done, space that removed rows have left in the file is released.
    """
    with closing(Ledger(path)) as ledger:
        if ledger.is_read_only:
            raise StoreUnavailable.read_only(path)
        holder = {**_this_process(), "doing": doing, "file": _file(path)}
        _take(ledger, study, holder)
        done = threading.Event()
        beat = threading.Thread(target=_beat, args=(path, study, holder, done), daemon=True)
        beat.start()
        try:
            yield
            _compact(ledger, study)
        finally:
            done.set()
            beat.join()
            # If the disk is full, the row stays, as the lock of a dead process.
            with suppress(sqlite3.Error), ledger.transaction() as connection:
                connection.execute(f"DELETE FROM lock WHERE {_MINE}", (study, holder["token"]))


def held(ledger: Ledger) -> set[str]:
    """Return the names of the studies whose lock is held by a living process."""
    return set(work(ledger))


def work(ledger: Ledger) -> dict[str, str]:
    """Return what a living process is doing with each study whose lock it holds; see `hold`."""
    with ledger.transaction() as connection:
        rows = connection.execute("SELECT study, holder FROM lock").fetchall()
    holders = {study: json.loads(holder) for study, holder in rows}
    return {
        study: holder["doing"] for study, holder in holders.items() if _alive(holder, ledger.path)
    }


def _compact(ledger: Ledger, study: str) -> None:
    """Rewrite the ledger's file if much of it is unused, and no other study is in use.

    Other writers have to wait meanwhile. What fails, as on a full disk, is left to the next holder
    of a lock, or to `gc`.
    """
    with suppress(sqlite3.Error, OSError):
        unused = ledger.unused_bytes()
        is_much = unused >= LEAST_UNUSED_BYTES and 4 * unused >= ledger.path.stat().st_size
        if is_much and held(ledger) <= {study}:
            ledger.vacuum()


def _take(ledger: Ledger, study: str, holder: JsonObject) -> None:
    with ledger.transaction() as connection:
        row = connection.execute("SELECT holder FROM lock WHERE study = ?", (study,)).fetchone()
        if row is not None and _alive(other := json.loads(row[0]), ledger.path):
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(other["since"]))
            raise StudyLocked(
                "study",
                study,
                problem=f"{study} is being {other['doing']} by process {other['pid']} on "
                f"{other['host']} since {since}",
                hint="wait until it has ended, or stop it",
            )
        connection.execute(
            "INSERT OR REPLACE INTO lock (study, holder) VALUES (?, ?)",
            (study, json.dumps(holder)),
        )


def _this_process() -> JsonObject:
    return {
        "pid": os.getpid(),
        "born": birth(os.getpid()),
        "host": socket.gethostname(),
        "token": secrets.token_hex(8),
        "since": time.time(),
        "beat": time.time(),
    }


def _file(ledger: Path) -> list[int]:
    """Return what a ledger keeps when it is moved, and a copy of it does not have."""
    found = ledger.stat()
    return [found.st_dev, found.st_ino]


def _alive(holder: JsonObject, ledger: Path) -> bool:
    """Return whether the holder of a lock is still running, and has not locked the original."""
    if holder["host"] != socket.gethostname():
        return bool(time.time() - holder["beat"] < _DEAD_SECONDS)
    if holder.get("file") not in (None, _file(ledger)):
        return False
    return bool(birth(holder["pid"]) == holder["born"])


def _beat(path: Path, study: str, holder: JsonObject, done: threading.Event) -> None:
    """Write heartbeats until done; one that cannot be written is skipped."""
    ledger: Ledger | None = None
    while not done.wait(_BEAT_SECONDS):
        try:
            ledger = ledger or Ledger(path, create=False)
            with ledger.transaction() as connection:
                is_mine = connection.execute(
                    f"UPDATE lock SET holder = ? WHERE {_MINE}",
                    (json.dumps({**holder, "beat": time.time()}), study, holder["token"]),
                ).rowcount
        except Exception:
            ledger = None
        else:
            if not is_mine:
                print(f"retrial: {study} was taken over by another process", file=sys.stderr)
                # A signal wakes the main thread from whatever it waits for.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                break
    if ledger is not None:
        ledger.close()
