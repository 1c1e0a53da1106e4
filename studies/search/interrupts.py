"""Ctrl-C while a search runs."""

import signal
import threading
from typing import Any

from studies.search.driver import Search


class Interrupts:
    """The first Ctrl-C (or SIGTERM) stops trials at their next epoch, the second at once.

    Until there is a `search`, the first one ends the command. After the search, while its record is
    finished, the first one sets `stops_recording`, and the second ends it.

    Only a program's main thread can handle signals: a search in another thread leaves them alone.
    """

    def __init__(self) -> None:
        self.search: Search | None = None
        self.stops_recording = False
        """Whether the rest of the record is left to the next search."""
        self._was_over = False
        self._count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupted(self, number: int, frame: object) -> None:
        # A handler runs between any two steps of the search: it prints and sends nothing itself.
        if self.search is None:
            raise KeyboardInterrupt
        if self._was_over != self.search.is_over:
            self._was_over, self._count = self.search.is_over, 0
        self._count += 1
        if self._count > 1:
            raise KeyboardInterrupt
        self.search.stop()
        self.stops_recording = self.search.is_over
