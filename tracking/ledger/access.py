"""Access to the ledger, the one source for a restart.

Every epoch and every outcome is committed here before anything else is notified. The ledger is one
SQLite database in the store; Optuna's storage and MLflow are written from it, may lag behind it and
can be rebuilt from it.

The driver of a study writes everything but the columns named `recorded_*`, which belong to the
recorder's own connection.
"""

import contextlib
import io
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from nets.outcome import Model
from nets.state import PackedModel, unpack
from tracking.ledger.schema import SCHEMA, VERSION
from tracking.records import (
    Environment,
    EpochRecord,
    QueuedTrial,
    RecordDamaged,
    StudyNotes,
    StudyRecord,
    TrialOutcome,
    TrialRecord,
    TrialState,
    Values,
    built,
    parsed,
)
from tracking.store import names
from tracking.store.database import connect_to_read, is_read_only
from tracking.store.errors import StoreUnavailable
from tracking.store.store import without_secrets

_COLUMNS = {"sampler_attributes": "memory", "crashes": "deaths"}
"""Columns of the table of trials whose names differ from those of the record."""

_WITH_STORAGE = "SELECT name, definition FROM study WHERE definition LIKE '%\"storage\"%://%'"
"""Studies with the URL of a storage, which may have a password."""

_TRIAL = ", ".join(_COLUMNS.get(name, name) for name in TrialRecord.__dataclass_fields__)


class Ledger:
    """A connection to the ledger in `path`; each thread opens its own.

    A context manager that closes the connection. Without `create`, a file that does not exist is an
    error. A file that this user cannot write is opened for reading. Raises StoreUnavailable when
    the file cannot be opened or was written by a later version.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        try:
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
            elif not path.is_file():
                raise FileNotFoundError(f"no such file: {str(path)!r}")
            self.is_read_only = is_read_only(path)
            self._connection = _to_read(path) if self.is_read_only else _to_write(path)
            self._connection.execute("PRAGMA foreign_keys=ON")
            version = _version(self._connection)
            if version < VERSION:  # every table that a later version added is new as a whole
                self._connection.executescript(
                    f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version={VERSION}; COMMIT;"
                )
            if version <= VERSION:
                self._remove_secrets()
        except (OSError, sqlite3.Error) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_SPACE:
                raise  # it is the same folder that this user may write to, and no wrong request
            if is_damage(error):
                raise StoreUnavailable(
                    "store",
                    problem=f"{path} is not a ledger of retrial: {error}",
                    expected="one that `retrial search` has written, or a folder without one",
                ) from error
            raise StoreUnavailable(
                "store",
                problem=f"cannot {'read' if is_read_only(path) else 'write'} {path}: {error}",
                expected="a folder this user may write to",
            ) from error
        if version > VERSION:
            raise StoreUnavailable(
                "store",
                problem=f"{path} was written by a later retrial (ledger version {version})",
                expected=f"a version up to {VERSION}",
            )

    def _remove_secrets(self) -> None:
        """Remove the passwords of storage URLs, which earlier versions stored."""
        try:
            studies = self._connection.execute(_WITH_STORAGE).fetchall()
        except sqlite3.DatabaseError as error:
            if is_damage(error):  # found, and explained, when a study is read
                return
            raise
        for name, definition in studies:
            try:
                tables = json.loads(definition)
                url = tables["study"]["storage"]
                tables["study"]["storage"] = without_secrets(url)
            except (ValueError, TypeError, LookupError):  # damaged, or from elsewhere
                continue
            if tables["study"]["storage"] != url:
                self._connection.execute("PRAGMA secure_delete=ON")
                self.set_definition(name, tables)
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def unused_bytes(self) -> int:
        """Return how many bytes of the file are unused after rows were removed."""
        pages, size = (
            self._connection.execute(f"PRAGMA {fact}").fetchone()[0]
            for fact in ("freelist_count", "page_size")
        )
        return int(pages * size)

    def vacuum(self) -> None:
        """Rewrite the file without unused space; other connections wait."""
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit everything written inside together, or nothing."""
        with self._connection:
            self._connection.execute("BEGIN" if self.is_read_only else "BEGIN IMMEDIATE")
            yield self._connection

    # Studies

    def add_study(
        self,
        name: str,
        definition: Values,
        environment: Environment,
        notes: StudyNotes | None = None,
        trials: Sequence[TrialRecord] = (),
    ) -> None:
        """Add a study, whose name is its key in the store, with the trials that it begins with.

        Those of the study that the notes say it extends have the epochs from there; open ones that
        have them continue from the state that was kept.
        """
        notes = notes or StudyNotes()
        stored = (json.dumps(each.to_json()) for each in (environment, notes))
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO study (name, definition, environment, notes, created)"
                " VALUES (?, ?, ?, ?, ?)",
                (name, json.dumps(definition), *stored, time.time()),
            )
            for trial in trials:
                self._insert(trial)
            if notes.extends is not None:
                places = [
                    (name, trial.number, notes.extends.study, notes.extends.numbers[trial.number])
                    for trial in trials
                    if trial.is_finished or trial.outcome.stages
                ]
                connection.executemany(
                    "INSERT INTO epoch SELECT ?, ?, number, metrics, digests, seconds, at"
                    " FROM epoch WHERE study = ? AND trial = ?",
                    places,
                )
                connection.executemany(
                    "INSERT INTO checkpoint SELECT ?, ?, epoch, state"
                    " FROM checkpoint WHERE study = ? AND trial = ?",
                    places[notes.extends.copies :],
                )

    def study(self, name: str) -> StudyRecord | None:
        """Return a study, or None where the store has none of that name."""
        row = self._connection.execute(
            "SELECT definition, environment, created, notes FROM study WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            return None
        definition, environment, created, notes = row
        with _naming(f"study {name!r}"):
            return built(
                StudyRecord,
                {
                    "name": name,
                    "definition": parsed(definition, "definition"),
                    "environment": parsed(environment, "environment"),
                    "created": created,
                    "notes": parsed(notes, "notes"),
                },
            )

    def notes(self, name: str) -> StudyNotes:
        """Return the notes of a study that the store has."""
        study = self.study(name)
        if study is None:
            raise KeyError(name)
        return study.notes

    def study_names(self) -> list[str]:
        """Return the names of all studies, oldest first."""
        rows = self._connection.execute("SELECT name FROM study ORDER BY created, name")
        return [name for (name,) in rows]

    def set_definition(self, name: str, definition: Values) -> None:
        """Replace a study's definition (its number of trials may grow)."""
        with self._connection:
            self._connection.execute(
                "UPDATE study SET definition = ? WHERE name = ?", (json.dumps(definition), name)
            )

    def update_notes(self, study: str, **fields: Any) -> None:
        """Set fields of a study's notes; see `tracking.records.StudyNotes`."""
        with self.transaction() as connection:
            _set_notes(connection, study, StudyNotes(**fields))

    def queue_trial(self, study: str, trial: QueuedTrial) -> int:
        """Queue a trial for the driver's next ask; return how many are queued.

        Any process may call it, also while another one searches the study. Raises KeyError if the
        ledger has no such study.
        """
        with self.transaction() as connection:
            queued = (*(self.notes(study).queued or ()), trial)
            _set_notes(connection, study, StudyNotes(queued=queued))
        return len(queued)

    def queued(self, study: str) -> tuple[QueuedTrial, ...]:
        """Return the trials that users have added and that have not been asked yet, in order."""
        (some,) = self._connection.execute(
            "SELECT instr(notes, '\"queued\"') FROM study WHERE name = ?", (study,)
        ).fetchone()  # the driver asks often, and notes may be long
        return (some and self.notes(study).queued) or ()

    def attach(self, study: str, name: str, content: bytes) -> None:
        """Store bytes under a name with a study, replacing earlier ones."""
        with self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO attachment (study, name, content) VALUES (?, ?, ?)",
                (study, name, content),
            )

    def detach(self, study: str) -> None:
        """Remove everything that has been attached to a study."""
        with self._connection:
            self._connection.execute("DELETE FROM attachment WHERE study = ?", (study,))

    def attachment(self, study: str, name: str) -> bytes | None:
        """Return the bytes that `attach` stored under a name, or None."""
        row = self._connection.execute(
            "SELECT content FROM attachment WHERE study = ? AND name = ?", (study, name)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def remove_study(self, name: str) -> None:
        """Remove a study with its trials, epochs, checkpoints, models and attachments."""
        with self._connection:
            self._connection.execute("DELETE FROM study WHERE name = ?", (name,))
            self._connection.execute("DELETE FROM lock WHERE study = ?", (name,))

    # Trials, written by the driver

    def add_trial(self, trial: TrialRecord) -> None:
        """Add a trial that has been asked; it is open until `finish_trial`.

        One that a user has added is the first of those queued, and leaves the queue with this.
        """
        with self.transaction() as connection:
            self._insert(trial)
            if trial.sampler_attributes.added is not None:
                queued = self.notes(trial.study).queued or ()
                _set_notes(connection, trial.study, StudyNotes(queued=queued[1:]))

    def _insert(self, trial: TrialRecord) -> None:
        self._connection.execute(
            "INSERT INTO trial (study, number, state, settings, parameters, memory, asked, started,"
            " finished, attempts, deaths, worker, outcome)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                trial.study, trial.number, trial.state, json.dumps(trial.settings),
                json.dumps(trial.parameters), json.dumps(trial.sampler_attributes.to_json()),
                trial.asked, trial.started, trial.finished, trial.attempts, trial.crashes,
                trial.worker, json.dumps(trial.outcome.to_json()),
            ),
        )  # fmt: skip

    def start_attempt(self, study: str, number: int) -> int:
        """Count one more attempt at a trial and return its number, from 1."""
        with self._connection:
            (attempt,) = self._connection.execute(
                "UPDATE trial SET attempts = attempts + 1, worker = NULL,"
                " started = coalesce(started, ?) WHERE study = ? AND number = ? RETURNING attempts",
                (time.time(), study, number),
            ).fetchone()
        return int(attempt)

    def name_worker(self, study: str, number: int, worker: str) -> None:
        """Store which worker trains a trial."""
        with self._connection:
            self._connection.execute(
                "UPDATE trial SET worker = ? WHERE study = ? AND number = ?",
                (worker, study, number),
            )

    def add_crash(self, study: str, number: int) -> int:
        """Count one more crash of a trial's worker and return how many there were."""
        with self._connection:
            (crashes,) = self._connection.execute(
                "UPDATE trial SET deaths = deaths + 1 WHERE study = ? AND number = ?"
                " RETURNING deaths",
                (study, number),
            ).fetchone()
        return int(crashes)

    def add_epoch(
        self, study: str, number: int, epoch: EpochRecord, checkpoint: bytes | None = None
    ) -> bool:
        """Add an epoch of an open trial, with the packed state after it if there is one.

        An epoch that a restart repeats changes nothing; return False when it differs from the
        first one, which never happens on equal machines.
        """
        metrics, digests = json.dumps(epoch.metrics), json.dumps(epoch.digests)
        with self._connection:
            # Not OR IGNORE, which silently loses an epoch that violates a column's constraint.
            inserted = self._connection.execute(
                "INSERT INTO epoch (study, trial, number, metrics, digests, seconds, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (study, trial, number) DO NOTHING",
                (study, number, epoch.number, metrics, digests, epoch.seconds, epoch.at),
            ).rowcount
            if checkpoint is not None:
                row = self._connection.execute(
                    "INSERT OR REPLACE INTO checkpoint (study, trial, epoch, state)"
                    " VALUES (?, ?, ?, zeroblob(?))",
                    (study, number, epoch.number, len(checkpoint)),
                ).lastrowid
                self._fill("checkpoint", "state", row, checkpoint)
        if inserted:
            return True
        before = self._connection.execute(
            "SELECT metrics, digests FROM epoch WHERE study = ? AND trial = ? AND number = ?",
            (study, number, epoch.number),
        ).fetchone()
        return bool(before == (metrics, digests))

    def finish_trial(
        self,
        study: str,
        number: int,
        state: TrialState,
        outcome: TrialOutcome,
        model: PackedModel | None,
        files: Mapping[str, bytes] | None = None,
        *,
        keep_checkpoint: bool = False,
    ) -> None:
        """End a trial with its outcome, model and files; its checkpoint is removed, unless kept."""
        with self._connection:
            self._connection.execute(
                "UPDATE trial SET state = ?, outcome = ?, finished = ?"
                " WHERE study = ? AND number = ? AND state = 'running'",
                (state, json.dumps(outcome.to_json()), time.time(), study, number),
            )
            if not keep_checkpoint:
                self._connection.execute(
                    "DELETE FROM checkpoint WHERE study = ? AND trial = ?", (study, number)
                )
            if model is not None:
                row = self._connection.execute(
                    "INSERT OR REPLACE INTO model (study, trial, source, arrays)"
                    " VALUES (?, ?, ?, zeroblob(?))",
                    (study, number, model.source, len(model.arrays)),
                ).lastrowid
                self._fill("model", "arrays", row, model.arrays)
                for path, content in model.files.items():
                    row = self._connection.execute(
                        "INSERT INTO model_file (study, trial, path, format, content)"
                        " VALUES (?, ?, ?, ?, zeroblob(?))",
                        (study, number, path, model.format, len(content)),
                    ).lastrowid
                    self._fill("model_file", "content", row, content)
            self._connection.executemany(
                "INSERT OR REPLACE INTO file (study, trial, name, content) VALUES (?, ?, ?, ?)",
                [(study, number, name, content) for name, content in (files or {}).items()],
            )

    def _fill(self, table: str, column: str, row: int | None, content: bytes) -> None:
        """Write the bytes of a new row; as a parameter of a statement, SQLite copies them twice."""
        assert row is not None
        with self._connection.blobopen(table, column, row) as blob:
            blob.write(content)

    # Reading

    def trials(
        self, study: str, *, from_number: int = 0, unrecorded: bool = False
    ) -> list[TrialRecord]:
        """Return the trials of a study from a number on, in order.

        With `unrecorded`, only those of which MLflow lacks an epoch or the end.
        """
        condition = ""
        if unrecorded:
            condition = (
                " AND (recorded_state IS NOT state OR recorded_epoch < coalesce((SELECT"
                " max(epoch.number) FROM epoch WHERE epoch.study = trial.study AND"
                " epoch.trial = trial.number), 0))"
            )
        rows = self._connection.execute(
            f"SELECT {_TRIAL} FROM trial WHERE study = ?"
            f" AND number >= ?{condition} ORDER BY number",
            (study, from_number),
        )
        return [_trial(row) for row in rows]

    def recorded(self, study: str) -> tuple[int, int]:
        """Return how many finished trials MLflow has completely, and how many there are."""
        done, total = self._connection.execute(
            "SELECT count(*) FILTER (WHERE recorded_state IS state), count(*) FROM trial"
            " WHERE study = ? AND state <> 'running'",
            (study,),
        ).fetchone()
        return int(done), int(total)

    def trial(self, study: str, number: int) -> TrialRecord | None:
        """Return one trial, or None."""
        row = self._connection.execute(
            f"SELECT {_TRIAL} FROM trial WHERE study = ? AND number = ?",
            (study, number),
        ).fetchone()
        return None if row is None else _trial(row)

    def epochs(self, study: str, number: int, after: int = 0) -> list[EpochRecord]:
        """Return the epochs of a trial with numbers above `after`, in order."""
        rows = self._connection.execute(
            "SELECT number, metrics, digests, seconds, at FROM epoch"
            " WHERE study = ? AND trial = ? AND number > ? ORDER BY number",
            (study, number, after),
        )
        with _naming(f"trial {number} of study {study!r}"):
            return [
                built(
                    EpochRecord,
                    {
                        "number": epoch,
                        "metrics": parsed(metrics, "metrics"),
                        "digests": parsed(digests, "digests"),
                        "seconds": seconds,
                        "at": at,
                    },
                )
                for epoch, metrics, digests, seconds, at in rows
            ]

    def spent(self, study: str) -> dict[int, tuple[int, float]]:
        """Return the number of epochs of each trial that has any, and the seconds they took."""
        rows = self._connection.execute(
            "SELECT trial, count(*), total(seconds) FROM epoch WHERE study = ? GROUP BY trial",
            (study,),
        )
        return {number: (int(count), float(seconds)) for number, count, seconds in rows}

    def checkpoint(self, study: str, number: int) -> tuple[int, bytes] | None:
        """Return epoch and packed state of a trial's last checkpoint, or None.

        Raises RecordDamaged for anything else: the ledger may be from elsewhere.
        """
        row = self._connection.execute(
            "SELECT epoch, state FROM checkpoint WHERE study = ? AND trial = ?", (study, number)
        ).fetchone()
        if row is None:
            return None
        epoch, state = row
        if not (isinstance(epoch, int) and epoch > 0 and isinstance(state, bytes)):
            with _naming(f"trial {number} of study {study!r}"):
                raise RecordDamaged("checkpoint", problem="got no state of an epoch")
        return epoch, state

    def model(self, study: str, number: int) -> Model | None:
        """Return the model of a finished trial until the recorder has delivered it, then None."""
        with self._connection:
            # Until the end, no other process can renumber the rows by a vacuum.
            self._connection.execute("BEGIN")
            row = self._connection.execute(
                "SELECT rowid, source FROM model WHERE study = ? AND trial = ?", (study, number)
            ).fetchone()
            if row is None:
                return None
            with self._connection.blobopen("model", "arrays", row[0], readonly=True) as blob:
                arrays = unpack(cast(BinaryIO, _BlobFile(blob)))
            rows = self._connection.execute(
                "SELECT path, format, content FROM model_file WHERE study = ? AND trial = ?"
                " ORDER BY path",
                (study, number),
            ).fetchall()
            files = {path: bytes(content) for path, _, content in rows}
            return Model(row[1], arrays, files, rows[0][1] if rows else "")

    def files(self, study: str, number: int) -> dict[str, bytes]:
        """Return the files of a finished trial until the recorder has delivered them, then {}.

        Raises RecordDamaged for a name that is no path inside a folder: the ledger may be from
        elsewhere.
        """
        rows = self._connection.execute(
            "SELECT name, content FROM file WHERE study = ? AND trial = ? ORDER BY name",
            (study, number),
        ).fetchall()
        with _naming(f"trial {number} of study {study!r}"):
            for name, content in rows:
                if not (
                    isinstance(name, str)
                    and isinstance(content, bytes)
                    and names.is_file_path(name)
                ):
                    raise RecordDamaged("file", problem=f"got {name!r:.100}, expected a file")
        return dict(rows)

    # Columns of the recorder

    def mark_recorded(
        self,
        study: str,
        number: int,
        *,
        run: str | None = None,
        epoch: int | None = None,
        state: str | None = None,
    ) -> None:
        """Store what MLflow has of a trial; once it has the end, model and files are removed."""
        with self._connection:
            self._connection.execute(
                "UPDATE trial SET recorded_run = coalesce(?, recorded_run),"
                " recorded_epoch = coalesce(?, recorded_epoch),"
                " recorded_state = coalesce(?, recorded_state) WHERE study = ? AND number = ?",
                (run, epoch, state, study, number),
            )
            if state in ("complete", "pruned", "failed"):
                for table in ("model", "file"):
                    self._connection.execute(
                        f"DELETE FROM {table} WHERE study = ? AND trial = ?", (study, number)
                    )

    def mark_unrecorded(self, study: str, numbers: Iterable[int]) -> None:
        """Store that MLflow has nothing of some trials."""
        with self._connection:
            self._connection.executemany(
                "UPDATE trial SET recorded_run = NULL, recorded_epoch = 0, recorded_state = NULL"
                " WHERE study = ? AND number = ?",
                ((study, number) for number in numbers),
            )


class _BlobFile(io.RawIOBase):
    """A value of the ledger as a file, of which SQLite holds only some pages in memory."""

    def __init__(self, blob: sqlite3.Blob) -> None:
        self._blob = blob

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._blob.seek(offset, whence)
        return self._blob.tell()

    def readinto(self, buffer: Any) -> int:
        content = self._blob.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _set_notes(connection: sqlite3.Connection, study: str, fields: StudyNotes) -> None:
    """Set those fields of a study's notes that are not None, in a transaction."""
    (notes,) = connection.execute("SELECT notes FROM study WHERE name = ?", (study,)).fetchone()
    # Not by SQLite's own JSON functions, which reject the NaN of an epoch's values.
    connection.execute(
        "UPDATE study SET notes = ? WHERE name = ?",
        (json.dumps({**json.loads(notes), **fields.to_json()}), study),
    )


def _to_write(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60)
    connection.execute("PRAGMA journal_mode=WAL")
    # NORMAL loses at most the last commits in a power cut, never in a crash of a process; lost
    # trials are asked again and are equal.
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _to_read(path: Path) -> sqlite3.Connection:
    """Open a file that cannot be written; one that needs a change is copied into memory."""
    connection = connect_to_read(path)
    version = _version(connection)
    if 0 < version < VERSION or (version and connection.execute(_WITH_STORAGE).fetchone()):
        copy = sqlite3.connect(":memory:")
        with contextlib.closing(connection):
            connection.backup(copy)
        return copy
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


_NO_SPACE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def is_damage(error: BaseException) -> bool:
    """Return whether an error is about the content of a database, not about access to it."""
    code = getattr(error, "sqlite_errorcode", None)
    # Extended codes have the primary one in their lowest byte.
    return code is not None and code & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    """Name the study or trial in errors about a damaged record."""
    try:
        yield
    except RecordDamaged as error:
        raise RecordDamaged("store", problem=f"{what} is damaged in the ledger: {error}") from error


@lru_cache(maxsize=1 << 13)  # one command reads all trials of a study several times
def _trial(row: tuple[Any, ...]) -> TrialRecord:
    values = dict(zip(TrialRecord.__dataclass_fields__, row, strict=True))
    with _naming(f"trial {values['number']} of study {values['study']!r}"):
        for name in ("settings", "parameters", "sampler_attributes", "outcome"):
            values[name] = parsed(values[name], name)
        return built(TrialRecord, values)
