"""The timeline of a search: which worker trained which trial when."""

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from studies.analysis.formatting import plural, shown_seconds
from studies.analysis.stored_study import StoredStudy
from tracking.figures import style
from tracking.records import EpochRecord, TrialRecord

_PAUSE = 0.1
"""A time in which no worker trained is cut out of the axis if it exceeds this share of the time in
which some worker did."""


@dataclass(frozen=True)
class Piece:
    """A training of a trial on its worker, from `start` to `end` in seconds of Unix time."""

    trial: TrialRecord
    start: float
    end: float


def timeline(stored: StoredStudy) -> Figure | None:
    """Draw which worker trained which trial when, coloured by its state."""
    pieces = [p for t in stored.trials for p in pieces_of(t, stored.epochs(t.number))]
    workers = sorted({_worker(piece) for piece in pieces}, key=_natural)
    if not pieces:
        return None
    clock = Clock.of(pieces)
    row = min(0.42, max(0.14, 5.0 / len(workers)))
    height = 1.35 + row * len(workers)
    figure = style.page(
        f"{stored.study.name}: which worker trained which trial",
        _summary(pieces, clock, len(workers)),
        height=height,
    )
    size = 9 if row > 0.2 else 6.5
    shown = [style.fitted(worker, 1.7, size) for worker in workers]
    left = 0.3 + max(style.text_width(worker, size) for worker in shown)
    axes = figure.subplots(gridspec_kw=style.margins(height, left=left))
    style.tidy(axes, grid="x")
    inches = style.WIDTH - left - 0.2
    _bars(axes, pieces, clock, workers, inches=inches, numbers=row > 0.2)
    _pauses(axes, clock, inches)
    axes.set_ylim(len(workers) - 0.4, -0.6)
    axes.set_yticks(range(len(workers)), shown)
    axes.tick_params(axis="y", length=0, labelsize=size)
    unit, name = _unit(clock.length)
    ticks = MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(0, clock.length / unit)
    axes.set_xticks([tick * unit for tick in ticks], [f"{tick:g}" for tick in ticks])
    axes.set_xlim(0, clock.length)
    cut = ", pauses cut out" if clock.pauses else ""
    axes.set_xlabel(f"{name} since the search began{cut}", fontsize=10)
    states = [trial.state for trial in {p.trial.number: p.trial for p in pieces}.values()]
    keys = [
        style.key(f"{states.count(state)} {state}", marker="s", markersize=8, color=color)
        for state, color in style.COLORS.items()
        if state in states
    ]
    style.legend(figure, keys)
    return figure


def pieces_of(trial: TrialRecord, epochs: list[EpochRecord]) -> list[Piece]:
    """Return when a trial was trained: one piece, or several if it was interrupted.

    The ledger has when a trial was first started and when each epoch was committed. A trial of
    several attempts was interrupted where two epochs are further apart than the later one took.
    """
    if trial.started is None:
        return []
    end = trial.finished or (epochs[-1].at if epochs else trial.started)
    starts, ends = [trial.started], []
    if trial.attempts > 1:
        for before, after in pairwise(epochs):
            if after.at - before.at > 2 * after.seconds + 1:
                ends.append(before.at)
                starts.append(after.at - after.seconds)
    pairs = zip(starts, [*ends, end], strict=True)
    return [Piece(trial, start, max(start, stop)) for start, stop in pairs]


@dataclass(frozen=True)
class Clock:
    """The axis of time, without long pauses."""

    times: NDArray[np.float64]
    places: NDArray[np.float64]
    """`places` on the axis of the `times`, in seconds; linear between them."""
    busy: float
    """Seconds in which some worker trained."""
    pauses: list[tuple[float, float]]
    """Place and seconds of each pause."""

    @classmethod
    def of(cls, pieces: list[Piece]) -> "Clock":
        """Return the axis on which some pieces are drawn."""
        spans: list[list[float]] = []
        for piece in sorted(pieces, key=lambda piece: piece.start):
            if spans and piece.start <= spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], piece.end)
            else:
                spans.append([piece.start, piece.end])
        busy = max(sum(end - start for start, end in spans), 1e-3)
        times, places, pauses = [spans[0][0]], [0.0], []
        for before, after in pairwise(spans):
            gap = after[0] - before[1]
            if gap > _PAUSE * busy:
                here = places[-1] + before[1] - times[-1]
                shown = 0.02 * busy
                times += [before[1], after[0]]
                places += [here, here + shown]
                pauses.append((here + shown / 2, gap))
        end = max(spans[-1][1], times[-1] + 1e-3)
        places.append(places[-1] + end - times[-1])
        return cls(np.array([*times, end]), np.array(places), busy, pauses)

    @property
    def length(self) -> float:
        """Seconds from end to end of the axis."""
        return float(self.places[-1])

    def place(self, time: float) -> float:
        """Return the place of a Unix time on the axis."""
        return float(np.interp(time, self.times, self.places))


def _bars(
    axes: Axes, pieces: list[Piece], clock: Clock, workers: list[str], inches: float, numbers: bool
) -> None:
    """Draw one bar per piece in the row of its worker, with the trial's number if there is room."""
    scale = inches / clock.length
    widths = [clock.place(piece.end) - clock.place(piece.start) for piece in pieces]
    # A white edge separates neighbours, but must not hide a bar that is a pixel wide.
    edge = min(0.8, 7.2 * scale * float(np.median(widths)))
    for state, color in style.COLORS.items():
        of_state = [piece for piece in pieces if piece.trial.state == state]
        boxes = [_box(p, clock, workers.index(_worker(p))) for p in of_state]
        axes.add_collection(
            PolyCollection(boxes, facecolors=color, edgecolors="white", linewidths=edge, zorder=2)
        )
        for piece, box in zip(of_state, boxes, strict=True):
            text = str(piece.trial.number)
            if numbers and (box[1, 0] - box[0, 0]) * scale > 0.07 + 0.08 * len(text):
                ink = "white" if state in ("complete", "failed") else style.INK
                x, y = box.mean(axis=0)
                axes.text(x, y, text, ha="center", va="center", fontsize=8, color=ink, zorder=3)


def _pauses(axes: Axes, clock: Clock, inches: float) -> None:
    """Mark the pauses; of those that are less than an inch apart, the longest has a label."""
    labelled: list[float] = []
    for place, seconds in sorted(clock.pauses, key=lambda pause: -pause[1]):
        axes.axvline(place, color=style.QUIET, linestyle=":", linewidth=1, zorder=1)
        if any(abs(place - other) < clock.length / inches for other in labelled):
            continue
        labelled.append(place)
        axes.annotate(
            f"{shown_seconds(seconds)} pause", (place, 1), (0, 3), fontsize=8, color=style.QUIET,
            xycoords=("data", "axes fraction"), textcoords="offset points", ha="center",
        )  # fmt: skip


def _summary(pieces: list[Piece], clock: Clock, workers: int) -> str:
    """Return how many workers there were, and how busy."""
    trained = sum(piece.end - piece.start for piece in pieces)
    busy = min(1.0, trained / (workers * clock.busy))
    text = f"{plural(workers, 'worker')}, busy {busy:.0%} of {shown_seconds(clock.busy)}"
    return f"{text}, {plural(len(clock.pauses), 'pause')}" if clock.pauses else text


def _box(piece: Piece, clock: Clock, row: int) -> NDArray[np.float64]:
    """Return the corners of a piece's bar, of the shape (4, 2)."""
    left, right = clock.place(piece.start), clock.place(piece.end)
    return np.array([(left, row - 0.4), (right, row - 0.4), (right, row + 0.4), (left, row + 0.4)])


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by their value.

    >>> sorted(["worker 10", "worker 9"], key=_natural)
    ['worker 9', 'worker 10']
    """
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _worker(piece: Piece) -> str:
    return piece.trial.worker or "unknown"


def _unit(seconds: float) -> tuple[float, str]:
    """Return the unit in which a length of time is read easily.

    >>> _unit(90), _unit(7200)
    ((1.0, 'seconds'), (60.0, 'minutes'))
    """
    if seconds < 180:
        return 1.0, "seconds"
    return (60.0, "minutes") if seconds < 3 * 3600 else (3600.0, "hours")
