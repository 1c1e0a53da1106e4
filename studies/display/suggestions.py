"""Commands that a message suggests, so that they work where they are printed."""

import os
import shlex
from pathlib import Path


def default_store() -> Path:
    """Return the store of a command that names none: ``RETRIAL_STORE``, or ``mlruns``."""
    return Path(os.environ.get("RETRIAL_STORE") or "mlruns")


def default_data() -> Path | None:
    """Return the folder of the datasets of a command that names none: ``RETRIAL_DATA``, or None."""
    data = os.environ.get("RETRIAL_DATA")
    return Path(data) if data else None


def reproduce(store: Path, data: Path | None, trial: str, study: str | None, *more: str) -> str:
    """Return the command that reproduces a trial of a store, with the datasets of a folder."""
    words = ["reproduce", trial, *([] if study is None else ["--study", study]), *more]
    return command(store, *words, data=data)


def command(store: Path, *words: str, data: Path | None = None) -> str:
    """Return a command for a store and datasets, which it names unless they are the default ones.

    >>> command(Path("my store"), "reproduce", "best", "--study", "digits")
    "retrial reproduce best --study digits --store 'my store'"
    """
    where = [] if data in (None, default_data()) else ["--data", str(data)]
    where += [] if store == default_store() else ["--store", str(store)]
    return shlex.join(["retrial", *words, *where])
