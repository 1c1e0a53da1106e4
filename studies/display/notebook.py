"""What a notebook shows: a search's live table as one output, which is updated, and figures."""

import io
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from studies.display.progress import Allowance, LiveTable, Progress

MOST_UPDATES = 4
"""How many times per second the output is updated: each time, the whole of it is sent."""

_UNLIMITED = 100_000


def is_here() -> bool:
    """Return whether output goes to a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def show_figures() -> None:
    """Have a notebook show matplotlib's figures as images, unless it does so already."""
    if not is_here():
        return
    from IPython.core.getipython import get_ipython
    from IPython.core.pylabtools import select_figure_formats
    from matplotlib.figure import Figure

    shell: Any = get_ipython()
    formatters = shell.display_formatter.formatters.values()
    if not any(Figure in formatter.type_printers for formatter in formatters):
        select_figure_formats(shell, {"png"})


class NotebookTable(LiveTable):
    """The finished trials, and below them the table of the running ones; the end has no table."""

    def __init__(self, progress: Progress) -> None:
        console = Console(
            file=io.StringIO(), width=_UNLIMITED, color_system=None, force_jupyter=False
        )
        super().__init__(progress, console)
        self._drawings = Allowance(MOST_UPDATES)
        self._lines: list[str] = []
        self._output: Any = None

    def __enter__(self) -> "NotebookTable":
        from IPython.display import display

        self._output = display(self._drawn(), raw=True, display_id=True)
        return self

    def __exit__(self, *error: Any) -> None:
        self._progress.running.clear()
        self._output.update(self._drawn(), raw=True)

    def _print(self, text: Text) -> None:
        self._lines.append(text.plain)
        self._refresh()

    def _redraw(self) -> None:
        self._output.update(self._drawn(), raw=True)

    def _drawn(self) -> dict[str, str]:
        with self._console.capture() as drawn:
            self._console.print(self)
        return {"text/plain": "\n".join([*self._lines, drawn.get().rstrip()])}
