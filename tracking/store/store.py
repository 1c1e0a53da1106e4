"""The store: where MLflow keeps its runs and files.

MLflow is imported inside the functions that need it: it takes seconds, and `retrial --help` must
not wait for it.
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
from typing import TYPE_CHECKING

from nets.errors import InputError
from tracking.store import names
from tracking.store.database import create_database

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ACCEPTED = "accepted is a folder this user may write to"

_MEANS_ANOTHER = re.compile(r"\?|%[0-9A-Fa-f]{2}")
"""What makes the URL of a path mean another one."""


@dataclass(frozen=True)
class Store:
    """An open store.

    `artifact_location` is where the files of new experiments go; None leaves it to the server.
    """

    root: Path
    uri: str
    artifact_location: str | None
    client: "MlflowClient"

    def close(self) -> None:
        """Bring the local database into one file, so that it can be copied as it stands."""
        if self.uri == names.mlflow_uri(self.root):
            # Somebody else is writing: then the last one to close does it.
            with (
                contextlib.suppress(sqlite3.Error),
                contextlib.closing(sqlite3.connect(self.root / names.MLFLOW_DATABASE)) as database,
            ):
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def tracking_uri(root: Path) -> str:
    """Return ``MLFLOW_TRACKING_URI``, or the URI of the database in the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or names.mlflow_uri(root)


def is_remote() -> bool:
    """Tell whether ``MLFLOW_TRACKING_URI`` takes the place of the store's own database."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI"))


def open_store(root: Path) -> Store:
    """Open the store in the folder `root`, creating folder and database where they are missing.

    Raises InputError when the folder cannot be written or the tracking server does not answer.
    """
    root = root.resolve()
    uri = tracking_uri(root)
    is_own = uri == names.mlflow_uri(root)
    if is_own:
        check_writable(root)
    prepare_mlflow()
    try:
        from mlflow import MlflowClient

        # Importing MLflow sets the levels of its loggers; what goes wrong is told by exceptions.
        logging.getLogger("mlflow").setLevel(logging.CRITICAL)
        logging.getLogger("alembic").setLevel(logging.CRITICAL)
        if is_own and not (root / names.MLFLOW_DATABASE).exists():
            create_database(root / names.MLFLOW_DATABASE, root / names.ARTIFACTS)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except Exception as error:
        raise InputError(
            f"store: cannot open {without_password(uri)}: {one_line(error)}; accepted is a "
            "folder (--store) or a tracking URI (MLFLOW_TRACKING_URI) that MLflow can open"
        ) from error
    is_served = uri.startswith(("http:", "https:"))
    return Store(root, uri, None if is_served else str(root / names.ARTIFACTS), client)


def check_made(root: Path, lacks: str, filled_by: str) -> None:
    """Raise InputError for a folder that is no store, which to open would make it one.

    `lacks` and `filled_by` say in words what is looked for there, and what would have put it there.
    """
    if not is_remote() and not (root / names.MLFLOW_DATABASE).is_file():
        raise InputError(
            f"store: {root} has no {lacks}; accepted is the folder of a store (--store, or "
            f"RETRIAL_STORE) in which {filled_by}"
        )


def check_writable(root: Path) -> None:
    """Raise InputError unless a store can be created or written in `root`; leave nothing behind."""
    if strange := _MEANS_ANOTHER.search(str(root.resolve())):
        # Escaped, they would reach SQLAlchemy, but MLflow makes folders and files by the escapes.
        raise InputError(
            f"store: got {root.resolve()} with {strange[0]!r} in it, which MLflow and SQLAlchemy "
            "take for a part of a URL; accepted is a path without '?' and '%' before two digits"
        )
    folder = root
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        # A file without a name: it is gone even when the process is killed here.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"store: cannot write {root}: {error.strerror}; {_ACCEPTED}") from error
    for name in (names.MLFLOW_DATABASE, names.LEDGER, names.ARTIFACTS):
        path = root / name
        if path.exists() and not os.access(path, os.W_OK):
            raise InputError(f"store: cannot write {path}: Permission denied; {_ACCEPTED}")


def check_reachable() -> None:
    """Raise InputError if ``MLFLOW_TRACKING_URI`` names a server and nobody answers there.

    Asked before anything is stored, and without MLflow, which takes seconds to load.
    """
    uri = without_password(os.environ.get("MLFLOW_TRACKING_URI", "")).rstrip("/")
    if not uri.startswith(("http:", "https:")):
        return
    try:
        urllib.request.urlopen(f"{uri}/health", timeout=10).close()
    except urllib.error.HTTPError:
        pass  # it answers; whether it lets us in, MLflow finds out
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            return  # it answers, and MLflow may have been told to trust it
        raise InputError(
            f"store: nobody answers at MLFLOW_TRACKING_URI={uri}: {one_line(reason)}; accepted is "
            "the address of a running MLflow server"
        ) from error


def prepare_mlflow() -> None:
    """Set what MLflow reads from the environment when it is imported, where the user did not."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for name, value in {
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # Or a server's run says where its page is, whenever it ends, amid what we print.
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # A repeated "create" could create twice. Who calls MLflow here looks first and repeats
        # the whole step.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    }.items():
        os.environ.setdefault(name, value)


def without_password(text: str) -> str:
    """Return a text with the user names and passwords of its URLs left out.

    >>> without_password("http://me:secret@host:5000")
    'http://host:5000'
    """
    return re.sub(r"(\w://)[^/@\s]*@", r"\1", text)


def one_line(error: BaseException, limit: int = 200) -> str:
    """Return an error's text on one line of bounded length and without passwords."""
    said = str(error).partition("\n[SQL:")[0]  # SQLAlchemy adds the statement, and a link
    text = without_password(" ".join(said.split())) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."
