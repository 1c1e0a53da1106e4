"""Progress of a search: a live table, or one plain line per finished trial."""

import sys
import time
from collections.abc import Callable
from typing import Any, Self, TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from studies.analysis.formatting import shown, shown_parameters, shown_seconds
from studies.definition.study_file import Study
from studies.display.messages import warn
from studies.search.session import Screen
from tracking.ledger import Ledger
from tracking.records import EpochRecord, TrialRecord

FIRST_LINE = 5.0
"""Seconds that a command is busy with something before a log gets a line on it."""

LINE_INTERVAL = 30.0
"""Seconds between two such lines."""

MOST_DRAWINGS = 10
"""How many times per second the live table is redrawn for its running trials."""


class Progress:
    """How many trials are finished, and the best of them; what both displays show.

    Trials that the ledger already has count, and one of them may be the best.
    """

    def __init__(self, study: Study, total: int, ledger: Ledger) -> None:
        trials = [trial for trial in ledger.trials(study.name) if trial.state != "running"]
        self.study = study
        self.total = max(total, len(trials))
        self.best: TrialRecord | None = None
        self.finished = 0
        self.failed = 0
        self._earlier = len(trials)
        self._began = time.monotonic()
        self._ledger = ledger
        for trial in trials:
            self.add(trial)

    def add(self, trial: TrialRecord) -> bool:
        """Count a finished trial; return whether it is the best so far."""
        self.finished += 1
        self.failed += trial.state == "failed"
        if trial.state != "complete" or trial.value is None:
            return False
        best = self.best
        if best is None or best.value is None:
            is_best = True
        elif trial.value == best.value:  # the lower number, whichever finished first
            is_best = trial.number < best.number
        else:
            is_best = self.study.section.direction.better(trial.value, best.value)
        self.best = trial if is_best else best
        return is_best

    def epochs(self, trial: TrialRecord) -> list[EpochRecord]:
        """Return the epochs of a trial, including those of earlier searches and attempts."""
        return self._ledger.epochs(self.study.name, trial.number)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last trial at the speed so far, or None before the first one."""
        finished_now = self.finished - self._earlier
        if not finished_now:
            return None
        return (time.monotonic() - self._began) / finished_now * (self.total - self.finished)

    def summary(self) -> str:
        """Return finished trials, best value and time left in one line."""
        parts = [f"{self.finished} of {self.total} trials"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.best is not None:
            metric = self.study.section.metric
            parts.append(f"best {metric} {shown(self.best.value)} (trial {self.best.number})")
        if self.seconds_left is not None and self.finished < self.total:
            parts.append(f"about {shown_seconds(self.seconds_left)} left")
        return ", ".join(parts)


class Lines:
    """A `Screen` that prints warnings alone; subclasses print lines as well."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def started(self, trial: TrialRecord) -> None:
        """Print nothing."""

    def epoch(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Print nothing."""

    def finished(self, trial: TrialRecord) -> None:
        """Print nothing."""

    def warned(self, message: str) -> None:
        """Print a warning to standard error, apart from results."""
        warn(message)


class EpochLines(Lines):
    """One line per epoch of a single training."""

    def __init__(self, metric: str) -> None:
        self._metric = metric

    def epoch(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Print the epoch's metrics, the study's own first."""
        names = dict.fromkeys([self._metric, *sorted(epoch.metrics)])
        values = "  ".join(
            f"{name} {shown(epoch.metrics[name])}" for name in names if name in epoch.metrics
        )
        of = trial.settings["epochs"]
        line = f"epoch {epoch.number:3d} of {of}  {values}  {shown_seconds(epoch.seconds)}"
        print(line, flush=True)


class PlainLines(Lines):
    """One line per finished trial, for logs and pipes."""

    def __init__(self, progress: Progress, stream: TextIO | None = None) -> None:
        self._progress = progress
        self._stream = stream or sys.stdout

    def finished(self, trial: TrialRecord) -> None:
        """Print the line of a finished trial."""
        best = self._progress.add(trial)
        print(_line(self._progress, trial, best), file=self._stream, flush=True)


def _line(progress: Progress, trial: TrialRecord, best: bool, width: int | None = None) -> str:
    """Return the line of a finished trial; a `width` cuts its parameters."""
    text = f"trial {trial.number:4d}  {trial.state:8s}"
    if trial.outcome.error is not None:
        return f"{text}  {trial.outcome.error.line}"
    epochs = progress.epochs(trial)
    seconds = sum(epoch.seconds for epoch in epochs)
    text += (
        f"  {progress.study.section.metric} {shown(trial.value):7s} {len(epochs):3d}"
        f" {'epoch' if len(epochs) == 1 else 'epochs':6s}  {shown_seconds(seconds):>7s}"
    )
    reason = "" if trial.outcome.reason in ("finished", "pruned") else trial.outcome.reason
    end = (f"  {reason}" if reason else "") + ("  best" if best else "")
    parameters = Text(f"  {shown_parameters(trial.parameters)}")
    if width is not None:
        parameters.truncate(max(0, width - len(text) - len(end)), overflow="ellipsis")
    return f"{text}{parameters.plain}{end}"


class Allowance:
    """A rate limit: that often per second, and that often in a row."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = self._left = per_second
        self._clock = clock
        self._asked = clock()

    def take(self) -> bool:
        """Return whether it may be done once more now."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._asked) * self._most)
        self._asked = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class LiveTable:
    """A table of the running trials, redrawn in place; finished ones scroll by above it.

    It is drawn by the calls that change it, and by no thread of Rich's: a thread that draws a table
    of another height while a line is printed erases lines above it. Epochs may be very short, so
    not every one of them is drawn; long ones all are.
    """

    def __init__(
        self,
        progress: Progress,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._console = console or Console()
        self._running: dict[int, tuple[TrialRecord, EpochRecord | None]] = {}
        self._drawings = Allowance(MOST_DRAWINGS, clock)
        self._live = _live(self, self._console)

    def __enter__(self) -> "LiveTable":
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def started(self, trial: TrialRecord) -> None:
        """Add a row."""
        self._running[trial.number] = (trial, None)
        self._refresh()

    def epoch(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Update a row."""
        self._running[trial.number] = (trial, epoch)
        self._refresh()

    def finished(self, trial: TrialRecord) -> None:
        """Move a row up into the list of finished trials."""
        self._running.pop(trial.number, None)
        best = self._progress.add(trial)
        style = {"complete": "", "pruned": "dim", "failed": "red"}[trial.state]
        line = _line(self._progress, trial, best, self._console.width)
        # One line above the table, however long it is; the table is redrawn with it.
        self._print(Text(line, style="bold green" if best else style, no_wrap=True))

    def warned(self, message: str) -> None:
        """Print a warning above the table."""
        self._print(Text(f"retrial: {message}", style="yellow"))

    def _print(self, text: Text) -> None:
        """Print a line above the table."""
        self._console.print(text, overflow="ellipsis" if text.no_wrap else None)

    def _refresh(self) -> None:
        if self._drawings.take():
            self._live.refresh()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the running trials, and how far the search is."""
        if self._running:
            yield self._table()
        yield _whole("bold", self._progress.summary())

    def _table(self) -> Table:
        metric = self._progress.study.section.metric
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name in ("trial", "worker", "epoch", metric, "train_loss"):
            table.add_column(name, no_wrap=True)
        # The only column that a narrow terminal may cut.
        table.add_column(_whole("", "parameters"))
        for number in sorted(self._running):
            trial, epoch = self._running[number]
            metrics = epoch.metrics if epoch else {}
            epochs = trial.settings.get("epochs", "?")
            table.add_row(
                str(number), trial.worker, f"{epoch.number if epoch else 0}/{epochs}",
                shown(metrics.get(metric)), shown(metrics.get("train_loss")),
                _whole("", shown_parameters(trial.parameters)),
            )  # fmt: skip
        return table


class Status:
    """A line on what the command is doing.

    A terminal shows the latest one, and it is removed at the end. Logs and pipes get one every 30
    seconds, the first one 5 seconds after `show` was first called.
    """

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console()
        self._live = _live(None, self._console)
        self._clock = clock
        self._next: float | None = None

    def __enter__(self) -> "Status":
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, text: str) -> None:
        """Show the line from now on."""
        if self._console.is_terminal:
            self._live.update(_whole("dim", text), refresh=self._live.is_started)
            self._live.start(refresh=True)
            return
        now = self._clock()
        if self._next is None:
            self._next = now + FIRST_LINE
        elif now >= self._next:
            self._next = now + LINE_INTERVAL
            print(text, file=self._console.file, flush=True)


def _live(content: Any, console: Console) -> Live:
    """Return a display that draws its content on request, below what is printed."""
    # Errors that go to a file or a pipe must still get there.
    errors = sys.stderr.isatty()
    return Live(
        content, console=console, auto_refresh=False, transient=True, redirect_stderr=errors
    )


def _whole(style: str, text: str) -> Text:
    """Return a text of one line, whose end is cut if it does not fit."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def display(progress: Progress) -> Screen:
    """Return the live table where output is a terminal or a notebook, plain lines elsewhere."""
    from studies.display import notebook

    if sys.stdout.isatty():
        return LiveTable(progress)
    return notebook.NotebookTable(progress) if notebook.is_here() else PlainLines(progress)
