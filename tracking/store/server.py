"""The MLflow UI on a store, served until it is stopped."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from nets.errors import InputError
from tracking.store import names
from tracking.store.database import is_read_only, relocate, snapshot
from tracking.store.errors import StoreUnavailable
from tracking.store.store import open_store, prepare_mlflow, tracking_uri, without_password

_HOST = "127.0.0.1"


def serve(root: Path, port: int = 5000, ready: Callable[[str], None] = print) -> None:
    """Serve the MLflow UI on the store in `root` until Ctrl-C or SIGTERM.

    Calls `ready` with the URL once the server responds. Port 0 stands for any free port. The server
    runs in a child process, which has exited when this returns. Of a store that cannot be written
    it shows a copy of MLflow's database, as it is at the start.

    Raises
    ------
    StoreUnavailable
        When the store cannot be opened, or ``MLFLOW_TRACKING_URI`` names a server, which has a UI
        already.
    InputError
        When the port is invalid or in use.
    RuntimeError
        When the server exits without being stopped.
    """
    root = root.resolve()
    uri = tracking_uri(root)
    if uri.startswith(("http:", "https:")):
        raise StoreUnavailable(
            "ui", problem=f"MLFLOW_TRACKING_URI is a server; its UI is at {without_password(uri)}"
        )
    port = _free_port(port)
    prepare_mlflow()
    url = f"http://{_HOST}:{port}"
    with (
        _prepared(root, uri) as served,
        tempfile.TemporaryFile("w+") as log,
        _server(root, served, port, log) as process,
        contextlib.suppress(KeyboardInterrupt),
        _terminated_by_signal(),
    ):
        while process.poll() is None and not _responds(url):
            time.sleep(0.1)
        if process.returncode is None:
            ready(url)
            process.wait()
        raise RuntimeError(f"ui: the MLflow server exited: {_last_line(log)}")


@contextlib.contextmanager
def _prepared(root: Path, uri: str) -> Iterator[str]:
    """Prepare the database of a store to be served; yield its URI, or that of a copy."""
    database = root / names.MLFLOW_DATABASE
    if uri != names.mlflow_uri(root) or not database.exists():
        open_store(root).close()
        yield uri
    elif not is_read_only(database):
        relocate(database, root / names.ARTIFACTS)  # without loading MLflow
        yield uri
    else:
        with tempfile.TemporaryDirectory(prefix="retrial-") as folder:
            copy = Path(folder) / names.MLFLOW_DATABASE
            snapshot(database, copy)
            relocate(copy, root / names.ARTIFACTS)
            yield names.mlflow_uri(Path(folder))


@contextlib.contextmanager
def _server(root: Path, uri: str, port: int, log: IO[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the MLflow server in its own process group, and end the whole group."""
    process = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "server",
            "--backend-store-uri", uri,
            "--artifacts-destination", str(root / names.ARTIFACTS),
            "--host", _HOST, "--port", str(port), "--workers", "1", "--app-name", "retrial",
        ],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        # One server process and no pool of job runners: 0.5 GB instead of 1.2 GB.
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        # Ctrl-C reaches this process only, which then ends the whole group.
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            # macOS denies permission where only processes are left that have ended.
            with contextlib.suppress(
                ProcessLookupError, PermissionError, subprocess.TimeoutExpired
            ):
                os.killpg(process.pid, sign)
                process.wait(5)


@contextlib.contextmanager
def _terminated_by_signal() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block in the same way as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        sign: signal.signal(sign, signal.default_int_handler)
        for sign in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def _free_port(port: int) -> int:
    """Return the port, or a free one for 0; raise InputError if it cannot be bound."""
    if not 0 <= port <= 65535:
        raise InputError("port", port, "an integer from 0 to 65535")
    try:
        with socket.socket() as candidate:
            # A port that another process has just released is free.
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            candidate.bind((_HOST, port))
            return int(candidate.getsockname()[1])
    except OSError as error:
        problem = f"cannot listen on port {port} of {_HOST} ({error.strerror or error})"
        hint = "choose a free port (--port)"
        raise InputError("port", port, hint=hint, problem=problem) from error


def _responds(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _last_line(log: IO[str]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log if line.strip()]
    return lines[-1] if lines else "no output"
