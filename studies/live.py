"""What a person sees while a search runs: a live table, or one plain line a finished trial."""

import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from studies.search import Listener
from studies.space import decoded
from studies.study_file import Study
from tracking.ledger import EpochRecord, TrialRecord


def shown(value: Any) -> str:
    """Return a value in few characters.

    >>> shown(0.000123456), shown(0.97), shown("adam"), shown(None)
    ('0.0001235', '0.97', 'adam', '-')
    """
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shown_parameters(parameters: Mapping[str, Any]) -> str:
    """Return parameters as ``name value`` pairs."""
    return "  ".join(f"{name} {shown(decoded(value))}" for name, value in parameters.items())


def shown_seconds(seconds: float) -> str:
    """Return a duration as a person says it.

    >>> shown_seconds(7.21), shown_seconds(130), shown_seconds(7300)
    ('7.2 s', '2 min 10 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


class Progress:
    """What both displays know: how many trials are finished, and the best of them.

    `trials` are those the ledger had when the search started.
    """

    def __init__(self, study: Study, total: int, trials: list[TrialRecord]) -> None:
        self.study = study
        self.total = max(total, sum(trial.state != "running" for trial in trials))
        self.best: TrialRecord | None = None
        self.finished = 0
        self.finished_now = 0
        self.began = time.monotonic()
        for trial in trials:
            if trial.state != "running":
                self.add(trial)
        self.finished_now = 0

    def add(self, trial: TrialRecord) -> bool:
        """Count a finished trial; returns whether it is the best so far."""
        self.finished += 1
        self.finished_now += 1
        value = trial.value
        if trial.state != "complete" or value is None:
            return False
        if self.best is not None:
            best = self.best.value
            assert best is not None
            # Equal values: the lower number, whichever finished first.
            if not self.study.better(value, best) and (
                value != best or trial.number > self.best.number
            ):
                return False
        self.best = trial
        return True

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last trial at the speed so far, or None before the first one."""
        if not self.finished_now:
            return None
        elapsed = time.monotonic() - self.began
        return elapsed / self.finished_now * (self.total - self.finished)

    def summary(self) -> str:
        """Return finished trials, best value and time left in one line."""
        parts = [f"{self.finished} of {self.total} trials"]
        if self.best is not None:
            metric = self.study.section.metric
            parts.append(f"best {metric} {shown(self.best.value)} (trial {self.best.number})")
        if self.seconds_left is not None and self.finished < self.total:
            parts.append(f"about {shown_seconds(self.seconds_left)} left")
        return ", ".join(parts)


class Screen(Listener, Protocol):
    """A display: hears what happens while it is entered."""

    def __enter__(self) -> "Screen": ...

    def __exit__(self, *error: Any) -> None: ...


class PlainLines:
    """One line a finished trial, for logs and pipes."""

    def __init__(self, progress: Progress, stream: TextIO | None = None) -> None:
        self._progress = progress
        self._stream = stream or sys.stdout
        self._epochs: dict[int, int] = {}

    def __enter__(self) -> "PlainLines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def started(self, trial: TrialRecord) -> None:
        """Hear that an attempt at a trial began."""

    def epoch(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Hear of an epoch of an open trial."""
        self._epochs[trial.number] = epoch.number

    def finished(self, trial: TrialRecord) -> None:
        """Print the line of a finished trial."""
        best = self._progress.add(trial)
        print(
            _line(self._progress, trial, self._epochs.get(trial.number, 0), best), file=self._stream
        )
        self._stream.flush()

    def warned(self, message: str) -> None:
        """Print a warning where it does not mix with results."""
        print(f"retrial: {message}", file=sys.stderr, flush=True)


def _line(progress: Progress, trial: TrialRecord, epochs: int, best: bool) -> str:
    """Return what is said of a finished trial."""
    text = f"trial {trial.number:4d}  {trial.state:8s}"
    if trial.state == "failed":
        error = trial.outcome["error"]
        return f"{text}  {error['type']}: {error['message']}".split("\n")[0]
    seconds = (trial.finished or 0) - (trial.started or 0)
    reason = "" if trial.outcome["reason"] in ("finished", "pruned") else trial.outcome["reason"]
    text += (
        f"  {progress.study.section.metric} {shown(trial.value):7s} {epochs:3d} epochs"
        f"  {shown_seconds(seconds):>7s}  {shown_parameters(trial.parameters)}"
    )
    return text + (f"  {reason}" if reason else "") + ("  best" if best else "")


class LiveTable:
    """A table of the running trials, redrawn in place; finished ones scroll by above it."""

    def __init__(self, progress: Progress, console: Console | None = None) -> None:
        self._progress = progress
        self._console = console or Console()
        self._running: dict[int, tuple[TrialRecord, EpochRecord | None]] = {}
        self._live = Live(
            console=self._console, refresh_per_second=4, get_renderable=self._draw, transient=True
        )

    def __enter__(self) -> "LiveTable":
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def started(self, trial: TrialRecord) -> None:
        """Add a row."""
        self._running[trial.number] = (trial, None)

    def epoch(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Update a row."""
        self._running[trial.number] = (trial, epoch)

    def finished(self, trial: TrialRecord) -> None:
        """Move a row up into the list of finished trials."""
        _, epoch = self._running.pop(trial.number, (trial, None))
        best = self._progress.add(trial)
        line = _line(self._progress, trial, epoch.number if epoch else 0, best)
        style = {"complete": "", "pruned": "dim", "failed": "red"}[trial.state]
        self._live.console.print(
            Text(line, style="bold green" if best else style, overflow="ellipsis", no_wrap=True)
        )

    def warned(self, message: str) -> None:
        """Print a warning above the table."""
        self._live.console.print(Text(f"retrial: {message}", style="yellow"))

    def _draw(self) -> Group:
        metric = self._progress.study.section.metric
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name in ("trial", "worker", "epoch", metric, "train_loss", "parameters"):
            table.add_column(name, no_wrap=True, overflow="ellipsis")
        for number in sorted(self._running):
            trial, epoch = self._running[number]
            metrics = epoch.metrics if epoch else {}
            epochs = trial.settings.get("epochs", "?")
            table.add_row(
                str(number), trial.worker, f"{epoch.number if epoch else 0}/{epochs}",
                shown(metrics.get(metric)), shown(metrics.get("train_loss")),
                shown_parameters(trial.parameters),
            )  # fmt: skip
        return Group(table, Text(self._progress.summary(), style="bold"))


def display(progress: Progress) -> Screen:
    """Return the live table where output is a terminal, plain lines elsewhere."""
    return LiveTable(progress) if sys.stdout.isatty() else PlainLines(progress)
