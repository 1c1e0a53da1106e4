"""How much of a study is still to be recorded, while a command waits for it."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from studies.analysis.formatting import shown_seconds
from tracking.ledger import Ledger
from tracking.store.errors import StoreUnavailable


class Remaining:
    """Counts the trials that the recorder of a study has delivered; `ledger` is a path."""

    def __init__(
        self, ledger: Path, study: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger = ledger
        self._study = study
        self._clock = clock
        self._first: tuple[float, int] | None = None

    def line(self, problem: str | None = None) -> str:
        """Return what is waited for, and for how long at the speed so far, in one line."""
        try:
            with Ledger(self._ledger, create=False) as ledger:
                done, total = ledger.recorded(self._study)
        except (StoreUnavailable, sqlite3.Error):  # the recorder reports it
            return "recording…"
        now = self._clock()
        began, before = self._first = self._first or (now, done)
        line = f"recording: {done:,} of {total:,} trials are in MLflow"
        if problem is not None:
            return f"{line}; {problem}"
        if before < done < total:
            left = (now - began) / (done - before) * (total - done)
            line += f", about {shown_seconds(left)} left"
        return line
