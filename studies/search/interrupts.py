"""Ctrl-C while a search runs."""

import signal
from typing import Any

from studies.search.driver import Search


class Interrupts:
    """Lets the first Ctrl-C (or SIGTERM) stop trials at their next epoch, the second at once.

    Until there is a `search` the first one ends the command. Once the search is over its record is
    being finished, which takes seconds: there too the first is heard and the second ends it.
    """

    def __init__(self) -> None:
        self.search: Search | None = None
        self._was_over = False
        self._heard = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupted(self, number: int, frame: object) -> None:
        # A handler runs between any two steps of the search: it says and sends nothing itself.
        if self.search is None:
            raise KeyboardInterrupt
        if self._was_over != self.search.is_over:
            self._was_over, self._heard = self.search.is_over, 0
        self._heard += 1
        if self._heard > 1:
            raise KeyboardInterrupt
        self.search.stop()
