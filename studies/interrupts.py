"""Ctrl-C while a search runs."""

import signal
from typing import Any

from studies.search import Search


class Interrupts:
    """Lets the first Ctrl-C (or SIGTERM) stop trials at their next epoch, the second at once.

    Until there is a `search` the first one ends the command.
    """

    def __init__(self) -> None:
        self.search: Search | None = None
        self._asked = False
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
        if self._asked or self.search is None:
            raise KeyboardInterrupt
        self._asked = True
        self.search.stop()
