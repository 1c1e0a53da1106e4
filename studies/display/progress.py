"""Progress of a search: a live table, or one plain line per finished trial."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from studies.analysis.formatting import shown, shown_parameters, shown_seconds
from studies.definition.study_file import Study
from studies.display.messages import warn
from studies.display.tables import console, filled, folded, listed
from studies.search.session import Screen
from tracking.ledger import Ledger
from tracking.records import EpochRecord, TrialRecord

FIRST_LINE = 5.0
"""Seconds that a command is busy with something before a log gets a line on it."""

LINE_INTERVAL = 30.0
"""Seconds between two such lines."""

SILENCE, LONGEST_SILENCE = 60.0, 960.0
"""Seconds without a finished trial after which a log gets a line on the running ones.

Each next one takes twice as long, up to the second number.
"""

MOST_RUNNING = 8
"""How many running trials such a line names."""

MOST_DRAWINGS = 10
"""How many times per second the live table is redrawn for its running trials."""

_INDENT = " " * 12
"""Of what belongs to the line of a trial."""


@dataclass
class Running:
    """A running trial, its last epoch, and when the display was notified of its start."""

    trial: TrialRecord
    since: float
    epoch: EpochRecord | None = None

    @property
    def epochs(self) -> str:
        """How many epochs are finished, and of how many if that is known."""
        of = self.trial.settings.get("epochs")
        return f"{self.epoch.number if self.epoch else 0}{'' if of is None else f'/{of}'}"


class Progress:
    """Running and finished trials, and the best of them; what all displays show.

    Trials that the ledger already has count, and one of them may be the best.
    """

    def __init__(
        self,
        study: Study,
        total: int,
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        trials = [trial for trial in ledger.trials(study.name) if trial.state != "running"]
        self.study = study
        self.total = max(total, len(trials))
        self.best: TrialRecord | None = None
        self.finished = 0
        self.failed = 0
        self.running: dict[int, Running] = {}
        self._earlier = len(trials)
        self._clock = clock
        self._began = clock()
        self._ledger = ledger
        for trial in trials:
            self.add(trial)

    def add(self, trial: TrialRecord) -> bool:
        """Count a finished trial; return whether it is the best so far."""
        self.running.pop(trial.number, None)
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

    def start(self, trial: TrialRecord) -> None:
        """Add a running trial."""
        self.running[trial.number] = Running(trial, self._clock())

    def add_epoch(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Set the last epoch of a running trial."""
        self.running.setdefault(trial.number, Running(trial, self._clock())).epoch = epoch

    def timed(self) -> list[tuple[Running, str]]:
        """Return the running trials in their order, and for how long each has been running."""
        now = self._clock()
        trials = (self.running[number] for number in sorted(self.running))
        return [(one, shown_seconds(now - one.since, digits=0)) for one in trials]

    def epochs(self, trial: TrialRecord) -> list[EpochRecord]:
        """Return the epochs of a trial, including those of earlier searches and attempts."""
        return self._ledger.epochs(self.study.name, trial.number)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last trial at the speed so far, or None before the first one."""
        finished_now = self.finished - self._earlier
        if not finished_now:
            return None
        return (self._clock() - self._began) / finished_now * (self.total - self.finished)

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

    def waited(self) -> None:
        """Print nothing."""


class EpochLines(Lines):
    """One line per epoch of a single training."""

    def __init__(self, metric: str) -> None:
        self._metric = metric

    def epoch(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Print the epoch's metrics, the study's own first."""
        names = dict.fromkeys([self._metric, *sorted(epoch.metrics)])
        parts = [f"{name} {shown(epoch.metrics[name])}" for name in names if name in epoch.metrics]
        begin = f"epoch {epoch.number:3d} of {trial.settings['epochs']}  "
        width = console().width
        first, *more = filled([*parts, shown_seconds(epoch.seconds)], width, " " * len(begin))
        print(begin + first.lstrip(), *more, sep="\n", flush=True)


class PlainLines(Lines):
    """One line per finished trial, for logs and pipes, and now and then one on the running ones."""

    def __init__(
        self,
        progress: Progress,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._stream = stream or sys.stdout
        self._clock = clock
        self._printed, self._silence = clock(), SILENCE

    def started(self, trial: TrialRecord) -> None:
        """Remember a running trial."""
        self._progress.start(trial)

    def epoch(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Remember the last epoch of a running trial."""
        self._progress.add_epoch(trial, epoch)

    def finished(self, trial: TrialRecord) -> None:
        """Print the line of a finished trial."""
        best = self._progress.add(trial)
        self._print(*_lines(self._progress, trial, best))
        self._silence = SILENCE

    def waited(self) -> None:
        """Print how far the running trials are, if nothing has been printed for a while."""
        running = self._progress.timed()
        if not running or self._clock() < self._printed + self._silence:
            return
        parts = [
            f"trial {one.trial.number} (epoch {one.epochs}, {elapsed})"
            for one, elapsed in running[:MOST_RUNNING]
        ]
        if len(running) > MOST_RUNNING:
            parts.append(f"and {len(running) - MOST_RUNNING} more")
        self._print(f"{self._progress.summary()}; running: {', '.join(parts)}")
        self._silence = min(2 * self._silence, LONGEST_SILENCE)

    def _print(self, *lines: str) -> None:
        print(*lines, sep="\n", file=self._stream, flush=True)
        self._printed = self._clock()


def _lines(
    progress: Progress, trial: TrialRecord, best: bool, width: int | None = None
) -> list[str]:
    """Return the line of a finished trial; if it exceeds a `width`, parameters are below it."""
    text = f"trial {trial.number:4d}  {trial.state:8s}"
    if trial.outcome.error is not None:
        text += f"  {trial.outcome.error.line}"
        return [text] if width is None else folded(text, width, _INDENT)
    epochs = progress.epochs(trial)
    seconds = sum(epoch.seconds for epoch in epochs)
    text += (
        f"  {progress.study.section.metric} {shown(trial.value):7s} {len(epochs):3d}"
        f" {'epoch' if len(epochs) == 1 else 'epochs':6s}  {shown_seconds(seconds):>7s}"
    )
    reason = "" if trial.outcome.reason in ("finished", "pruned") else trial.outcome.reason
    end = (f"  {reason}" if reason else "") + ("  best" if best else "")
    whole = f"{text}  {shown_parameters(trial.parameters)}{end}"
    if width is None or cell_len(whole) <= width:
        return [whole]
    return [*folded(text + end, width, _INDENT), *listed(trial.parameters, width, _INDENT)]


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
        self._clock = clock
        self._drawn_at = clock()
        self._drawings = Allowance(MOST_DRAWINGS, clock)
        self._live = _live(self, self._console)

    def __enter__(self) -> "LiveTable":
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def started(self, trial: TrialRecord) -> None:
        """Add a row."""
        self._progress.start(trial)
        self._refresh()

    def epoch(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Update a row."""
        self._progress.add_epoch(trial, epoch)
        self._refresh()

    def finished(self, trial: TrialRecord) -> None:
        """Move a row up into the list of finished trials."""
        best = self._progress.add(trial)
        style = {"complete": "", "pruned": "dim", "failed": "red"}[trial.state]
        lines = _lines(self._progress, trial, best, self._console.width)
        self._print(Text("\n".join(lines), style="bold green" if best else style))

    def warned(self, message: str) -> None:
        """Print a warning above the table."""
        self._print(Text(f"retrial: {message}", style="yellow"))

    def waited(self) -> None:
        """Update the times of the running trials, once per second."""
        if self._progress.running and self._clock() >= self._drawn_at + 1:
            self._refresh()

    def _print(self, text: Text) -> None:
        """Print lines above the table, which is redrawn with them."""
        self._console.print(text)

    def _refresh(self) -> None:
        if self._drawings.take():
            self._drawn_at = self._clock()
            self._redraw()

    def _redraw(self) -> None:
        self._live.refresh()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the running trials, and how far the search is."""
        if running := self._progress.timed():
            yield self._table(running)
        yield _whole("bold", self._progress.summary())

    def _table(self, running: list[tuple[Running, str]]) -> Table:
        names = {self._progress.study.section.metric: None}
        if any(one.epoch and "train_loss" in one.epoch.metrics for one, _ in running):
            names["train_loss"] = None
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name in ("trial", "worker", "epoch", "time", *names):
            table.add_column(name, no_wrap=True)
        # The only column that a narrow terminal may cut: the line of a finished trial has it all.
        table.add_column(_whole("", "parameters"))
        for one, elapsed in running:
            metrics = one.epoch.metrics if one.epoch else {}
            table.add_row(
                str(one.trial.number), one.trial.worker, one.epochs, elapsed,
                *(shown(metrics.get(name)) for name in names),
                _whole("", shown_parameters(one.trial.parameters)),
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
