"""A store that an earlier version wrote, moved to a folder of the test's own."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
ARCHIVES = ROOT / "tests" / "stores"


class EarlierStore:
    """What is in an archive, beside the studies' files.

    `store` is the folder of the store, `folder` that of everything.
    """

    def __init__(self, archive, folder):
        self.folder = folder
        self.store = folder / "store"
        with tarfile.open(ARCHIVES / archive) as file:
            file.extractall(folder, filter="data")
        for path in (*ARCHIVES.glob("*.py"), *ARCHIVES.glob("*.toml")):
            shutil.copy(path, folder)
        _move_mlflow(self.store)

    def run(self, *arguments, store=None):
        """Run retrial in the folder, as its entry point does."""
        start = "import sys; from studies.cli.main import main; sys.exit(main())"
        return subprocess.run(
            [sys.executable, "-P", "-c", start, *arguments, "--store", str(store or self.store)],
            cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip


def _move_mlflow(store):
    """Replace the path of the store where MLflow has it: it stores absolute paths."""
    with contextlib.closing(sqlite3.connect(store / "mlflow.db")) as database, database:
        (location,) = database.execute("SELECT artifact_location FROM experiments").fetchone()
        before = location.rpartition("/artifacts/")[0]
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for _, column, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
                database.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?)'
                    f' WHERE typeof("{column}") = \'text\' AND instr("{column}", ?)',
                    (before, str(store), before),
                )
    for path in store.rglob("MLmodel"):
        path.write_text(path.read_text("utf-8").replace(before, str(store)), "utf-8")
