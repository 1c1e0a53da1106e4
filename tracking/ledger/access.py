"""The ledger: what survives.

Every epoch and every outcome is committed here before anybody else hears of it. It is one SQLite
database in the store, and the only source for a restart: Optuna's storage and MLflow are fed from
it, can lag behind it and can be caught up from it.

Who writes what: the driver of a study writes everything but the columns named `recorded_*`, which
belong to the recorder's own connection.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nets.errors import InputError
from nets.outcome import Model
from nets.state import pack, unpack

TrialState = Literal["running", "complete", "pruned", "failed"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS study (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,      -- the study file as parsed, defaults filled in, as JSON
    environment TEXT NOT NULL,     -- of the driver that created it, as JSON
    created REAL NOT NULL,         -- seconds since the epoch of Unix, as all times here
    notes TEXT NOT NULL DEFAULT '{}'   -- JSON: what later commands want to remember
);
CREATE TABLE IF NOT EXISTS lock (
    study TEXT PRIMARY KEY,
    holder TEXT NOT NULL           -- JSON: pid, host, since, process start
);
CREATE TABLE IF NOT EXISTS trial (
    study TEXT NOT NULL REFERENCES study(name) ON DELETE CASCADE ON UPDATE CASCADE,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    settings TEXT NOT NULL,        -- JSON
    parameters TEXT NOT NULL,      -- JSON: what the sampler chose
    memory TEXT NOT NULL,          -- JSON: attributes the sampler set on trial and study
    asked REAL NOT NULL,
    started REAL,
    finished REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    deaths INTEGER NOT NULL DEFAULT 0,     -- of its workers; a killed driver is no death
    worker TEXT,
    outcome TEXT NOT NULL DEFAULT '{}',    -- JSON: value, epoch, reason, pruner's attributes, error
    recorded_run TEXT,             -- MLflow run id
    recorded_epoch INTEGER NOT NULL DEFAULT 0,
    recorded_state TEXT,           -- the state whose end is completely in MLflow
    PRIMARY KEY (study, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epoch (
    study TEXT NOT NULL, trial INTEGER NOT NULL, number INTEGER NOT NULL,
    metrics TEXT NOT NULL, digests TEXT NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (study, trial, number),
    FOREIGN KEY (study, trial) REFERENCES trial(study, number) ON DELETE CASCADE ON UPDATE CASCADE
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checkpoint (
    study TEXT NOT NULL, trial INTEGER NOT NULL, epoch INTEGER NOT NULL, state BLOB NOT NULL,
    PRIMARY KEY (study, trial),
    FOREIGN KEY (study, trial) REFERENCES trial(study, number) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE IF NOT EXISTS model (
    study TEXT NOT NULL, trial INTEGER NOT NULL, source TEXT NOT NULL, arrays BLOB NOT NULL,
    PRIMARY KEY (study, trial),
    FOREIGN KEY (study, trial) REFERENCES trial(study, number) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE IF NOT EXISTS attachment (     -- since version 2
    study TEXT NOT NULL REFERENCES study(name) ON DELETE CASCADE ON UPDATE CASCADE,
    name TEXT NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (study, name)
);
"""
_VERSION = 2


@dataclass(frozen=True)
class StudyRecord:
    """A study as stored: its definition is the parsed study file with the defaults filled in."""

    name: str
    definition: dict[str, Any]
    environment: dict[str, Any]
    created: float
    notes: dict[str, Any]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one trial; `at` is when it was committed."""

    number: int
    metrics: dict[str, float]
    digests: dict[str, str]
    seconds: float
    at: float


@dataclass(frozen=True)
class TrialRecord:
    """A trial as stored.

    `outcome` of a finished trial holds ``value`` (None when failed), ``epoch`` (whose weights are
    kept), ``reason`` (finished, early stopping, diverged, pruned or failed), ``attributes`` (what
    the pruner set on the trial), and where they apply ``pruned`` (rule and threshold) and
    ``error`` (type, message, traceback).
    """

    study: str
    number: int
    state: TrialState
    settings: dict[str, Any]
    parameters: dict[str, Any]
    memory: dict[str, Any]
    asked: float
    started: float | None = None
    finished: float | None = None
    attempts: int = 0
    deaths: int = 0
    worker: str | None = None
    outcome: dict[str, Any] = field(default_factory=dict)
    recorded_run: str | None = None
    recorded_epoch: int = 0
    recorded_state: str | None = None

    @property
    def value(self) -> float | None:
        """The study's metric at the epoch whose weights are kept."""
        return self.outcome.get("value")


_TRIAL_COLUMNS = tuple(TrialRecord.__dataclass_fields__)
_JSON_COLUMNS = {"settings", "parameters", "memory", "outcome"}


class Ledger:
    """A connection to the ledger in `path`; each thread opens its own.

    Raises InputError when the file cannot be opened for writing or was written by a later
    version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=60)
            self._connection.execute("PRAGMA journal_mode=WAL")
            # NORMAL loses at most the last commits in a power cut, never in a crash of a process;
            # lost trials are asked again and come out the same.
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("PRAGMA foreign_keys=ON")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version < _VERSION:  # every table that a later version added is new as a whole
                self._connection.executescript(
                    f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={_VERSION}; COMMIT;"
                )
        except (OSError, sqlite3.Error) as error:
            if _is_damage(error):
                raise InputError(
                    f"store: {path} is not a ledger of retrial: {error}; accepted is one that "
                    "`retrial search` has written, or a folder without one"
                ) from error
            raise InputError(
                f"store: cannot write {path}: {error}; accepted is a folder this user may write to"
            ) from error
        if version > _VERSION:
            raise InputError(
                f"store: {path} was written by a later retrial (ledger version {version}), "
                f"accepted is up to {_VERSION}"
            )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def unused_bytes(self) -> int:
        """Return how many bytes of the file removed rows have left unused."""
        pages, size = (
            self._connection.execute(f"PRAGMA {fact}").fetchone()[0]
            for fact in ("freelist_count", "page_size")
        )
        return int(pages * size)

    def vacuum(self) -> None:
        """Rewrite the file without unused space; others wait meanwhile."""
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit everything written inside together, or nothing."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection

    # Studies

    def add_study(
        self, name: str, definition: Mapping[str, Any], environment: Mapping[str, Any]
    ) -> None:
        """Add a study; the name is its key in the store."""
        with self._connection:
            self._connection.execute(
                "INSERT INTO study (name, definition, environment, created) VALUES (?, ?, ?, ?)",
                (name, json.dumps(definition), json.dumps(environment), time.time()),
            )

    def study(self, name: str) -> StudyRecord | None:
        """Return a study, or None where the store has none of that name."""
        row = self._connection.execute(
            "SELECT name, definition, environment, created, notes FROM study WHERE name = ?",
            (name,),
        ).fetchone()
        if row is None:
            return None
        return StudyRecord(
            row[0], json.loads(row[1]), json.loads(row[2]), row[3], json.loads(row[4])
        )

    def study_names(self) -> list[str]:
        """Return the names of all studies, oldest first."""
        rows = self._connection.execute("SELECT name FROM study ORDER BY created, name")
        return [name for (name,) in rows]

    def set_definition(self, name: str, definition: Mapping[str, Any]) -> None:
        """Replace a study's definition (its number of trials may grow)."""
        with self._connection:
            self._connection.execute(
                "UPDATE study SET definition = ? WHERE name = ?", (json.dumps(definition), name)
            )

    def note(self, name: str, key: str, value: Any) -> None:
        """Remember a JSON value under a key of the study's notes."""
        with self.transaction() as connection:
            (notes,) = connection.execute(
                "SELECT notes FROM study WHERE name = ?", (name,)
            ).fetchone()
            # Not by SQLite's own JSON, which does not know the NaN of an epoch's values.
            connection.execute(
                "UPDATE study SET notes = ? WHERE name = ?",
                (json.dumps({**json.loads(notes), key: value}), name),
            )

    def attach(self, study: str, name: str, content: bytes | None) -> None:
        """Keep bytes under a name with a study, in place of what was there; None removes them."""
        with self._connection:
            if content is None:
                self._connection.execute(
                    "DELETE FROM attachment WHERE study = ? AND name = ?", (study, name)
                )
            else:
                self._connection.execute(
                    "INSERT OR REPLACE INTO attachment (study, name, content) VALUES (?, ?, ?)",
                    (study, name, content),
                )

    def attachment(self, study: str, name: str) -> bytes | None:
        """Return the bytes that `attach` keeps under a name, or None."""
        row = self._connection.execute(
            "SELECT content FROM attachment WHERE study = ? AND name = ?", (study, name)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def remove_study(self, name: str) -> None:
        """Remove a study with its trials, epochs, checkpoints, models and attachments."""
        with self._connection:
            self._connection.execute("DELETE FROM study WHERE name = ?", (name,))
            self._connection.execute("DELETE FROM lock WHERE study = ?", (name,))

    # Trials, as the driver writes them

    def add_trial(self, trial: TrialRecord) -> None:
        """Add a trial that has been asked; it is then open until `finish_trial`."""
        row = (
            trial.study, trial.number, trial.state, json.dumps(trial.settings),
            json.dumps(trial.parameters), json.dumps(trial.memory), trial.asked,
        )  # fmt: skip
        with self._connection:
            self._connection.execute(
                "INSERT INTO trial (study, number, state, settings, parameters, memory, asked)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )

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
        """Remember which worker trains a trial."""
        with self._connection:
            self._connection.execute(
                "UPDATE trial SET worker = ? WHERE study = ? AND number = ?",
                (worker, study, number),
            )

    def add_death(self, study: str, number: int) -> int:
        """Count one more death of a trial's worker and return how many there were."""
        with self._connection:
            (deaths,) = self._connection.execute(
                "UPDATE trial SET deaths = deaths + 1 WHERE study = ? AND number = ?"
                " RETURNING deaths",
                (study, number),
            ).fetchone()
        return int(deaths)

    def add_epoch(
        self, study: str, number: int, epoch: EpochRecord, checkpoint: bytes | None = None
    ) -> bool:
        """Add an epoch of an open trial, with the packed state after it if there is one.

        An epoch that a restart repeats changes nothing; returns False when it is not equal to
        the one before, which two equal machines never do.
        """
        metrics, digests = json.dumps(epoch.metrics), json.dumps(epoch.digests)
        with self._connection:
            # Not OR IGNORE, which loses an epoch without a word when a column does not take it.
            inserted = self._connection.execute(
                "INSERT INTO epoch (study, trial, number, metrics, digests, seconds, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (study, trial, number) DO NOTHING",
                (study, number, epoch.number, metrics, digests, epoch.seconds, epoch.at),
            ).rowcount
            if checkpoint is not None:
                self._connection.execute(
                    "INSERT OR REPLACE INTO checkpoint (study, trial, epoch, state)"
                    " VALUES (?, ?, ?, ?)",
                    (study, number, epoch.number, checkpoint),
                )
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
        outcome: Mapping[str, Any],
        model: Model | None,
    ) -> None:
        """End a trial with its outcome and model; its checkpoint is no longer needed."""
        with self._connection:
            self._connection.execute(
                "UPDATE trial SET state = ?, outcome = ?, finished = ?"
                " WHERE study = ? AND number = ? AND state = 'running'",
                (state, json.dumps(outcome), time.time(), study, number),
            )
            self._connection.execute(
                "DELETE FROM checkpoint WHERE study = ? AND trial = ?", (study, number)
            )
            if model is not None:
                self._connection.execute(
                    "INSERT OR REPLACE INTO model (study, trial, source, arrays)"
                    " VALUES (?, ?, ?, ?)",
                    (study, number, model.source, pack(dict(model.arrays))),
                )

    # Reading

    def trials(
        self, study: str, *, from_number: int = 0, unrecorded: bool = False
    ) -> list[TrialRecord]:
        """Return the trials of a study from a number on, in order.

        With `unrecorded` only those of which MLflow lacks an epoch or the end.
        """
        condition = ""
        if unrecorded:
            condition = (
                " AND (recorded_state IS NOT state OR recorded_epoch < coalesce((SELECT"
                " max(epoch.number) FROM epoch WHERE epoch.study = trial.study AND"
                " epoch.trial = trial.number), 0))"
            )
        rows = self._connection.execute(
            f"SELECT {', '.join(_TRIAL_COLUMNS)} FROM trial WHERE study = ?"
            f" AND number >= ?{condition} ORDER BY number",
            (study, from_number),
        )
        return [_trial(row) for row in rows]

    def trial(self, study: str, number: int) -> TrialRecord | None:
        """Return one trial, or None."""
        row = self._connection.execute(
            f"SELECT {', '.join(_TRIAL_COLUMNS)} FROM trial WHERE study = ? AND number = ?",
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
        return [EpochRecord(n, json.loads(m), json.loads(d), s, at) for n, m, d, s, at in rows]

    def checkpoint(self, study: str, number: int) -> tuple[int, bytes] | None:
        """Return epoch and packed state of a trial's last checkpoint, or None."""
        row = self._connection.execute(
            "SELECT epoch, state FROM checkpoint WHERE study = ? AND trial = ?", (study, number)
        ).fetchone()
        return None if row is None else (int(row[0]), bytes(row[1]))

    def model(self, study: str, number: int) -> Model | None:
        """Return the model of a finished trial until the recorder has delivered it, else None."""
        row = self._connection.execute(
            "SELECT source, arrays FROM model WHERE study = ? AND trial = ?", (study, number)
        ).fetchone()
        return None if row is None else Model(row[0], unpack(row[1]))

    # The recorder's own columns

    def mark_recorded(
        self,
        study: str,
        number: int,
        *,
        run: str | None = None,
        epoch: int | None = None,
        state: str | None = None,
    ) -> None:
        """Remember what MLflow has of a trial; once it has the end, the model is dropped here."""
        with self._connection:
            self._connection.execute(
                "UPDATE trial SET recorded_run = coalesce(?, recorded_run),"
                " recorded_epoch = coalesce(?, recorded_epoch),"
                " recorded_state = coalesce(?, recorded_state) WHERE study = ? AND number = ?",
                (run, epoch, state, study, number),
            )
            if state in ("complete", "pruned", "failed"):
                self._connection.execute(
                    "DELETE FROM model WHERE study = ? AND trial = ?", (study, number)
                )


def _is_damage(error: Exception) -> bool:
    """Tell whether an error is about what a file holds, and not about reaching it."""
    code = getattr(error, "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def _trial(row: tuple[Any, ...]) -> TrialRecord:
    values = dict(zip(_TRIAL_COLUMNS, row, strict=True))
    return TrialRecord(**{k: json.loads(v) if k in _JSON_COLUMNS else v for k, v in values.items()})
