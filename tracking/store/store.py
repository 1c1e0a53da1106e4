"""The store: where MLflow keeps its runs and files.

MLflow is imported inside the functions that need it, because importing it takes seconds and
`retrial --help` must be fast.
"""

import contextlib
import http.client
import logging
import os
import re
import sqlite3
import ssl
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tracking.store import names
from tracking.store.database import (
    commit_without_sync,
    create_database,
    disconnect,
    is_read_only,
    relocate,
    snapshot,
    sync,
)
from tracking.store.errors import StoreUnavailable
from tracking.store.plain_values import visible

if TYPE_CHECKING:
    from mlflow import MlflowClient

_WRITABLE = "a folder that this user can write to"

_URL_SYNTAX = re.compile(r"\?|%[0-9A-Fa-f]{2}")
"""Characters that make the URL of a path stand for a different path."""


@dataclass(frozen=True)
class Store:
    """An open store, also as a context that closes it.

    `artifact_location` is where the files of new experiments go; with None, the server decides.
    """

    root: Path
    uri: str
    artifact_location: str | None
    client: "MlflowClient"
    folder: tuple[int, int] | None = None
    """Device and inode of `root` while this process writes there itself, which a move keeps."""
    copied: "tempfile.TemporaryDirectory[str] | None" = None
    """The folder of a copy of MLflow's database, for a store that can only be read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_own(self) -> bool:
        """Whether MLflow's database and files are those in `root`, not a server's."""
        return self.is_read_only or self.uri == names.mlflow_uri(self.root)

    @property
    def is_read_only(self) -> bool:
        """Whether the store can only be read, since this user may not write there."""
        return self.copied is not None

    def check_in_place(self) -> None:
        """Raise StoreUnavailable if the store was moved or removed since it was opened.

        Writing on would create it again where it was.
        """
        if self.is_own and _folder(self.root) != self.folder:
            raise _unavailable(
                f"{self.root} was moved or removed while it was in use",
                "a store that stays where it is; the same command with --store continues there",
            )

    def sync(self) -> None:
        """Wait until everything that MLflow has committed to a local database is on the disk."""
        if self.is_own:
            sync(self.root / names.MLFLOW_DATABASE)

    def close(self) -> None:
        """Write the local database's log into its main file, so that this file can be copied."""
        if self.copied is not None:
            self.copied.cleanup()
        elif self.is_own and _folder(self.root) == self.folder:
            disconnect(self.uri)
            # This fails while another process is writing: the last one to close does it.
            with (
                contextlib.suppress(sqlite3.Error),
                contextlib.closing(sqlite3.connect(self.root / names.MLFLOW_DATABASE)) as database,
            ):
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def tracking_uri(root: Path) -> str:
    """Return ``MLFLOW_TRACKING_URI``, or the URI of the database in the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or names.mlflow_uri(root)


def is_remote() -> bool:
    """Return whether ``MLFLOW_TRACKING_URI`` replaces the store's own database."""
    return bool(remote_uri())


def remote_uri() -> str:
    """Return ``MLFLOW_TRACKING_URI`` without a password; empty for the store's own database."""
    return without_password(os.environ.get("MLFLOW_TRACKING_URI", ""))


def open_store(root: Path, *, reading: bool = False) -> Store:
    """Open the store in the folder `root`; create folder and database where they are missing.

    For `reading`, a store that cannot be written is opened with a copy of MLflow's database, which
    cannot be read without files beside it, and may have the paths of another folder.

    Raises StoreUnavailable when the folder cannot be written or the tracking server does not
    respond.
    """
    root = root.resolve()
    uri = tracking_uri(root)
    is_own = uri == names.mlflow_uri(root)
    database, copied = root / names.MLFLOW_DATABASE, None
    if is_own and reading and is_read_only(database):
        copied = tempfile.TemporaryDirectory(prefix="retrial-")
        database = Path(copied.name) / names.MLFLOW_DATABASE
        uri = names.mlflow_uri(Path(copied.name))
    elif is_own:
        check_writable(root)
    prepare_mlflow()
    try:
        from mlflow import MlflowClient
        from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

        # Importing MLflow sets the levels of its loggers; its errors arrive as exceptions.
        logging.getLogger("mlflow").setLevel(logging.CRITICAL)
        logging.getLogger("alembic").setLevel(logging.CRITICAL)
        if copied is not None:
            snapshot(root / names.MLFLOW_DATABASE, database)
        elif is_own and not database.exists():
            create_database(database, root / names.ARTIFACTS)
        # MLflow keeps the locations of runs by their ids, which a copy of a store has too.
        _artifact_repos_cache.clear()
        if is_own:
            relocate(database, root / names.ARTIFACTS)
        client = MlflowClient(tracking_uri=uri)
        if is_own:
            commit_without_sync(uri)
        client.search_experiments(max_results=1)
    except Exception as error:
        if copied is not None:
            copied.cleanup()
        raise _unavailable(
            f"cannot open {without_password(uri)} ({one_line(error)})",
            "a folder (--store) or a tracking URI (MLFLOW_TRACKING_URI) that MLflow can open",
        ) from error
    is_served = uri.startswith(("http:", "https:"))
    location = None if is_served else str(root / names.ARTIFACTS)
    return Store(root, uri, location, client, _folder(root) if is_own else None, copied)


def _folder(root: Path) -> tuple[int, int] | None:
    """Return what identifies a folder wherever it is moved; None if there is none."""
    try:
        found = root.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def check_exists(root: Path, content: str, command: str) -> None:
    """Raise StoreUnavailable for a folder that is not a store, since opening would create one.

    `content` is the noun of what is read from it, `command` the command that writes it.
    """
    if not is_remote() and not (root / names.MLFLOW_DATABASE).is_file():
        raise _unavailable(
            f"no {content} in {root}",
            f"a store (--store or RETRIAL_STORE) with {content} from `{command}`",
        )


def check_writable(root: Path) -> None:
    """Raise StoreUnavailable unless a store can be created or written in `root`; leave no files."""
    if syntax := _URL_SYNTAX.search(str(root.resolve())):
        # Escaping them works for SQLAlchemy, but MLflow would create folders with the escapes.
        raise _unavailable(
            f"{root.resolve()} contains {syntax[0]!r}, a part of URLs to MLflow and SQLAlchemy",
            "a path without '?' and without '%' before two hexadecimal digits",
        )
    folder = next(path for path in (root, *root.parents) if path.exists())
    try:
        # An unnamed file: nothing is left even when the process is killed here.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unavailable(f"cannot write {root} ({error.strerror})", _WRITABLE) from error
    for name in (names.MLFLOW_DATABASE, names.LEDGER, names.ARTIFACTS):
        path = root / name
        if path.exists() and not os.access(path, os.W_OK):
            raise _unavailable(f"cannot write {path} (Permission denied)", _WRITABLE)


def _unavailable(problem: str, expected: str) -> StoreUnavailable:
    return StoreUnavailable("store", problem=problem, expected=expected)


def check_reachable() -> None:
    """Raise StoreUnavailable if ``MLFLOW_TRACKING_URI`` names a server that does not respond.

    Called before anything is stored, and without MLflow, which takes seconds to load.
    """
    uri = without_password(os.environ.get("MLFLOW_TRACKING_URI", "")).rstrip("/")
    if not uri.startswith(("http:", "https:")):
        return
    try:
        urllib.request.urlopen(f"{uri}/health", timeout=10).close()
    except urllib.error.HTTPError:
        pass  # it responds; whether it grants access, MLflow finds out
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError | TimeoutError | ConnectionResetError):
            return  # MLflow may be configured to trust it; or an outage, which does not last
        raise _unavailable(
            f"no response from MLFLOW_TRACKING_URI={uri} ({one_line(reason)})",
            "the address of a running MLflow server",
        ) from error


def prepare_mlflow() -> None:
    """Set the environment variables that MLflow reads on import, unless the user has set them."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for name, value in {
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # Otherwise MLflow prints the URL of a run on a server when it ends, within our output.
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # A retried "create" request could create twice. Callers check first and repeat the whole
        # step instead.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    }.items():
        os.environ.setdefault(name, value)


def without_password(text: str) -> str:
    """Return a text without the user names and passwords of its URLs.

    >>> without_password("http://me:secret@host:5000")
    'http://host:5000'
    """
    return re.sub(r"(\w://)[^/@\s]*@", r"\1", text)


_PASSWORD = re.compile(r"(\w://[^\s:/@'\"]*):[^\s@'\"]*@")
_SECRET_OPTION = r"(?i:[^\s?&=]*(?:pass|pwd|secret|token)[^\s?&=]*=[^\s&'\"]*)"


def without_secrets(text: str) -> str:
    """Return a text without the passwords of its URLs; user names and all else stay.

    >>> without_secrets("postgresql://me:se/cret@host/db?password=x&sslmode=require")
    'postgresql://me@host/db?sslmode=require'
    >>> without_secrets("postgresql://me@host/db?passwd=x&sslpassword=y")
    'postgresql://me@host/db'
    """
    text = _PASSWORD.sub(r"\1@", text)
    text = re.sub(rf"(?<=[?&]){_SECRET_OPTION}&", "", text)
    return re.sub(rf"[?&]{_SECRET_OPTION}", "", text)


def one_line(error: BaseException) -> str:
    """Return an error's message on one line of at most 200 characters, without passwords."""
    message = str(error).partition("\n[SQL:")[0]  # SQLAlchemy adds the statement, and a link
    message = without_password(without_secrets(" ".join(message.split())))
    text = visible(message or type(error).__name__)
    return text if len(text) <= 200 else text[:197] + "..."
