"""A PostgreSQL server for the tests: Debian's package, on a socket in a temporary folder."""

import contextlib
import getpass
import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from waiting import PATIENCE


class Server:
    """A server on which each test creates its databases."""

    def __init__(self, programs, folder):
        self._programs = programs
        self._data = folder / "data"
        self._socket = folder
        self._run("initdb", "-D", self._data, "-U", "tests", "--auth=trust", "--no-sync")

    def start(self):
        # No TCP, and no sync to the disk: whether PostgreSQL is durable is not tested.
        options = f"-k {self._socket} -c listen_addresses='' -c fsync=off"
        log = self._socket / "log"
        self._run("pg_ctl", "-D", self._data, "-o", options, "-l", log, "--wait", "start")

    def stop(self):
        self._run("pg_ctl", "-D", self._data, "--mode=immediate", "--wait", "stop")

    def database(self, template="template1"):
        """Create a database, empty or as a copy of another, and return its URL."""
        name = f"test_{uuid.uuid4().hex}"
        self._run("createdb", "-h", self._socket, "-U", "tests", "--template", template, name)
        return f"postgresql://tests@/{name}?host={self._socket}"

    def copy(self, url):
        """Create a copy of a database without connections, and return its URL."""
        return self.database(urlsplit(url).path.removeprefix("/"))

    def _run(self, program, *arguments):
        # The server refuses to run as root; the package has a user for it.
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        command = [str(self._programs / program), *map(str, arguments)]
        # The server that `pg_ctl` starts would keep a pipe open: its output goes to a file.
        subprocess.run(
            [*(prefix if os.getuid() == 0 else []), *command],
            check=True, stdout=subprocess.DEVNULL, cwd=self._socket, timeout=PATIENCE,
        )  # fmt: skip


@pytest.fixture(scope="session")
def postgresql():
    """A real PostgreSQL server, stopped at the end of the session."""
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'psycopg[binary]'")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("needs a PostgreSQL server: apt-get install postgresql")
    # In /tmp itself, because the path of a socket has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="retrial-", dir="/tmp"))
    owner = "postgres" if os.getuid() == 0 else getpass.getuser()
    shutil.chown(folder, owner)
    server = Server(found[-1].parent, folder)
    server.start()
    yield server
    with contextlib.suppress(subprocess.CalledProcessError):
        server.stop()
    shutil.rmtree(folder)
