"""Commands that a message suggests, so that they work where it is read."""

import os
import shlex
from pathlib import Path


def default_store() -> Path:
    """Return the store of a command that names none: ``RETRIAL_STORE``, or ``mlruns``."""
    return Path(os.environ.get("RETRIAL_STORE") or "mlruns")


def command(store: Path, *words: str) -> str:
    """Return a command of retrial for a store, which it names unless that is the default one.

    >>> command(Path("my store"), "reproduce", "best", "--study", "digits")
    "retrial reproduce best --study digits --store 'my store'"
    """
    there = [] if store == default_store() else ["--store", str(store)]
    return shlex.join(["retrial", *words, *there])
