"""The style of all figures: size, colours, title, legend, and how a name is written.

Figures are drawn without pyplot. It has global state, so only one thread could draw; and what
changes its style changes it for the whole process, also for the user's own figures.

Importing this module loads matplotlib (0.3 s): import it, and what draws with it, where a figure
is drawn.
"""

import io
import logging
from collections.abc import Sequence
from functools import cache
from os import PathLike
from pathlib import PurePath
from typing import Any, ClassVar

from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from tracking.store import names

# Matplotlib logs on stderr that it builds a font cache, once per machine.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

WIDTH = 8.0
"""Inches; 800 pixels, about what MLflow's artifact page shows."""

BLUE, ORANGE, GREY, RED = "#4477aa", "#ee7733", "#a9adb5", "#cc3344"
COLORS = {"complete": BLUE, "pruned": GREY, "failed": RED, "running": "#ddcc77"}
"""One colour per state, distinguishable when colour-blind; in grey print the markers differ too."""
BEST = ORANGE
INK, QUIET, GRID = "#222222", "#777777", "#e6e6e6"
SHADES = LinearSegmentedColormap.from_list(
    "shades", ["#d6e4c4", "#a8d3b8", "#5aa9b5", "#2f6f9f", "#1f3a73"]
)
"""Colours of numbers: light is bad or early, dark is good or late."""

_EDGE = 0.1
"""Inches between the edge of a figure and its title, subtitle and legend."""
_TITLE_SIZE, _SUBTITLE_SIZE, _LEGEND_SIZE = 13.0, 9.5, 9.0
_SMALLEST_TITLE = 10.0


class Page(Figure):
    """A figure whose SVG and PDF files have equal bytes whenever it is drawn from equal data."""

    _TIMES: ClassVar = {"svg": "Date", "pdf": "CreationDate"}

    def savefig(self, fname: Any, **options: Any) -> None:
        """Write a file, with matplotlib's options: without its time and, in SVG, random ids."""
        default = rcParams["savefig.format"]
        suffix = PurePath(fname).suffix if isinstance(fname, str | PathLike) else ""
        form = str(options.get("format") or suffix.removeprefix(".") or default).lower()
        if form in self._TIMES:
            options["metadata"] = {self._TIMES[form]: None, **(options.get("metadata") or {})}
        with rc_context({"svg.hashsalt": "retrial"}):
            super().savefig(fname, **options)


def page(title: str, subtitle: str, *, height: float = 4.5) -> Figure:
    """Return an empty figure with a title and a subtitle, `height` inches high.

    `margins` leaves room for both lines.
    """
    figure = Page(figsize=(WIDTH, height), facecolor="white")
    head(figure, title, subtitle)
    return figure


def head(figure: Figure, title: str, subtitle: str) -> None:
    """Write a title and a subtitle, in place of those that the figure has, and of its legend.

    A long title is written in smaller letters, and shortened in the middle if that is not enough.
    """
    for artist in (*figure.texts, *figure.legends):
        artist.remove()
    height = figure.get_figheight()
    room = WIDTH - 2 * _EDGE
    size = _TITLE_SIZE * room / max(text_width(title, _TITLE_SIZE, "bold"), room)
    size = max(size, _SMALLEST_TITLE)
    figure.text(
        _EDGE / WIDTH, 1 - 0.10 / height, fitted(title, room, size, "bold"), va="top",
        fontsize=size, weight="bold", color=INK,
    )  # fmt: skip
    figure.text(
        _EDGE / WIDTH, 1 - 0.36 / height, fitted(subtitle, room, _SUBTITLE_SIZE), va="top",
        fontsize=_SUBTITLE_SIZE, color=QUIET,
    )  # fmt: skip


def margins(
    height: float = 4.5,
    *,
    left: float = 0.75,
    right: float = 0.2,
    bottom: float = 0.55,
    top: float = 0.72,
    **between: float,
) -> dict[str, float]:
    """Return margins given in inches as matplotlib expects them, in fractions of the figure.

    `between` are `wspace` and `hspace`, the space between panels as a share of their size. An
    automatic layout would draw everything twice to measure it.
    """
    return {
        "left": left / WIDTH,
        "right": 1 - right / WIDTH,
        "bottom": bottom / height,
        "top": 1 - top / height,
        **between,
    }


def tidy(axes: Axes, *, grid: str = "y") -> None:
    """Remove the frame on two sides, make ticks light and draw the grid behind the data.

    `grid` names the axes whose grid is drawn: ``x``, ``y``, ``both``, or an empty string for none.
    """
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(QUIET)
    axes.tick_params(labelcolor=INK, labelsize=9, length=3, color=QUIET)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def legend(figure: Figure, keys: Sequence[Line2D]) -> None:
    """Put the legend of a `page` at the upper right: beside the title, or else the subtitle."""
    if not keys:
        return
    height = figure.get_figheight()
    title, subtitle = figure.texts[:2]
    labels = sum(0.48 + text_width(str(key.get_label()), _LEGEND_SIZE) for key in keys)
    room = WIDTH - labels - 3 * _EDGE
    beside_title = text_width(title.get_text(), float(title.get_fontsize()), "bold") < room
    if not beside_title:
        subtitle.set_text(fitted(subtitle.get_text().replace(r"\$", "$"), room, _SUBTITLE_SIZE))
    figure.legend(
        handles=list(keys), loc="upper right", ncols=len(keys), frameon=False,
        fontsize=_LEGEND_SIZE, labelcolor=INK,
        bbox_to_anchor=(1 - _EDGE / WIDTH, 1 - (0.08 if beside_title else 0.34) / height),
        handlelength=1.5, handletextpad=0.5, columnspacing=1.4, borderaxespad=0, borderpad=0,
    )  # fmt: skip


def key(label: str, **style: Any) -> Line2D:
    """Return an entry of a legend in the style of a line; without a `linestyle` only its marker."""
    return Line2D([], [], label=label, **{"linestyle": "none", **style})


def families(text: str) -> tuple[list[str] | None, set[str]]:
    """Return font families that have the characters of a text, and the characters that none has.

    None is the default family, which is enough for most texts.
    """
    default = FontProperties()
    missing = set(names.plain(text)) - _characters_of(findfont(default))
    others: list[str] = []
    # "Last Resort" has a box for every character.
    for entry in fontManager.ttflist if missing else ():
        found = missing & _characters_of(entry.fname)
        if found and entry.style == "normal" and "Last Resort" not in entry.name:
            others.append(entry.name)
            missing -= found
    return ([*default.get_family(), *others] if others else None), missing


@cache
def _characters_of(path: str) -> frozenset[str]:
    """Return the characters that a font file has."""
    return frozenset(map(chr, get_font(path).get_charmap()))


def fitted(
    text: str,
    room: float,
    size: float = 10.0,
    weight: str = "normal",
    family: list[str] | None = None,
) -> str:
    r"""Return a text as matplotlib shows it unchanged, shortened in its middle to `room` inches.

    Names come from users: without an escape, matplotlib reads what stands between two ``$`` as a
    formula and raises ValueError if it is none. Characters that no font has are escaped too.

    >>> print(fitted("cost in $_", 5.0), "and", fitted("a name without end", 0.8))
    cost in \$_ and a na… end
    """
    text = names.plain(text)
    shown, kept = text, len(text)
    while kept > 1 and text_width(shown, size, weight, family) > room:
        kept -= 1
        shown = f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
    return shown.replace("$", r"\$")


def text_width(
    text: str, size: float, weight: str = "normal", family: list[str] | None = None
) -> float:
    """Return the inches that a text of one line takes at a font size in points, at most."""
    properties = FontProperties(family=family, size=size, weight=weight)
    measured = text_to_path.get_text_width_height_descent(names.plain(text), properties, False)
    return 1.04 * float(measured[0]) / 72  # pixels round letters up to 4 % wider


def to_svg(figure: Figure) -> bytes:
    """Return a figure as the bytes of an SVG file, for print."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()


def to_png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file, 100 pixels per inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, pil_kwargs={"compress_level": 3})
    return buffer.getvalue()
