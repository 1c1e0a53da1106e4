"""The figures of a study, drawn by a process of their own.

When a search has ended, its recorder still has seconds of work in this process, and the cores that
trained are free: drawn here, figures would have to wait for the recorder's lock and it for theirs.
"""

import os
import signal
import sys
from concurrent.futures import Future
from pathlib import Path

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import get_context

from studies.engines.local import ONE_THREAD
from studies.following import follow


class Aside:
    """Begins to draw the figures of a study in the ledger at a path; see `drawing.draw`."""

    def __init__(self, ledger: Path, study: str) -> None:
        # The context this library starts its workers in: nothing is forked that has threads.
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            context=get_context("loky"),
            env=ONE_THREAD,
            initializer=follow,
            initargs=(os.getpid(),),
        )
        self._future: Future[dict[str, bytes]] = self._executor.submit(
            _draw, list(sys.path), ledger, study
        )

    def result(self) -> dict[str, bytes]:
        """Wait for the figures; returns PNG files by their names. Raises what went wrong."""
        try:
            return self._future.result()
        finally:
            self.close()

    def close(self) -> None:
        """End the process, whether it is done or not."""
        self._executor.shutdown(wait=True, kill_workers=True)


def _draw(path: list[str], ledger: Path, study: str) -> dict[str, bytes]:
    # Ctrl-C reaches the whole foreground group; what it means is the driver's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[:] = path  # the settings class may be the user's
    from studies.figures.drawing import draw_study

    return draw_study(ledger, study)
