"""A store that an earlier version wrote, moved to a folder of the test's own."""

import os
import shutil
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

    def run(self, *arguments, store=None):
        """Run retrial in the folder, as its entry point does."""
        start = "import sys; from studies.cli.main import main; sys.exit(main())"
        return subprocess.run(
            [sys.executable, "-P", "-c", start, *arguments, "--store", str(store or self.store)],
            cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
