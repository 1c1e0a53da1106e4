"""Tables and lists whose numbers are never cut: what is too wide continues on the next line."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from studies.analysis.formatting import shown
from studies.definition.choices import decoded
from tracking.store.plain_values import visible

_UNLIMITED = 100_000


def console() -> Console:
    """Return the console to print to; a line in a pipe is as long as it needs to be."""
    found = Console()
    return found if found.is_terminal else Console(width=_UNLIMITED)


def aligned(rows: Sequence[Sequence[str]], left: Iterable[int] = ()) -> list[str]:
    """Return rows of cells as lines, each column as wide as its widest cell.

    The columns `left` begin at their left edge.

    >>> aligned([("trial", "value"), ("10", "0.5")])
    ['trial  value', '   10    0.5']
    >>> aligned([("study", "trials"), ("a", "20")], left=[0])
    ['study  trials', 'a          20']
    """
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    at_left = {range(len(widths))[place] for place in left}
    lines = []
    for row in rows:
        spaces = [" " * (width - cell_len(cell)) for width, cell in zip(widths, row, strict=True)]
        cells = [
            cell + space if place in at_left else space + cell
            for place, (cell, space) in enumerate(zip(row, spaces, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def listed(parameters: Mapping[str, Any], width: int, indent: str = "      ") -> list[str]:
    """Return parameters as lines of ``name value`` pairs, as many per line as fit.

    >>> listed({"rate": 0.5, "height": 0.25, "kind": "plain"}, 24, "  ")
    ['  rate 0.5  height 0.25', '  kind plain']
    """
    pairs = [f"{name} {shown(decoded(value))}" for name, value in parameters.items()]
    return filled(pairs, width, indent)


def filled(parts: Iterable[str], width: int, indent: str = "      ") -> list[str]:
    """Return parts as lines, as many per line as fit, none of them broken."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(longer := f"{lines[-1]}  {part}") <= width:
            lines[-1] = longer
        else:
            lines.append(indent + part)
    return lines


def folded(text: str, width: int, indent: str = "  ") -> list[str]:
    """Return a text as lines that break between words; all but the first are indented.

    >>> folded("trial 3 failed: no space left", 20)
    ['trial 3 failed: no', '  space left']
    """
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)


def print_lines(to: Console, lines: Iterable[str], *, headed: bool = False) -> None:
    """Print lines; the first may be a heading, and the terminal breaks a long one."""
    for place, line in enumerate(lines):
        style = "bold" if headed and place == 0 else ""
        to.print(Text(visible(line), style=style), soft_wrap=True)
