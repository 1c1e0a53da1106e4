"""Nested plain values, as JSON and TOML hold them: flattened, as JSON files, as text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names.

    >>> flat({"epochs": 3, "network": {"hidden": [100]}})
    {'epochs': 3, 'network.hidden': [100]}
    """
    if not isinstance(value, Mapping):
        return {prefix: value}
    parts = [flat(item, f"{prefix}.{key}" if prefix else str(key)) for key, item in value.items()]
    return {name: item for part in parts for name, item in part.items()}


def json_text(value: Any) -> str:
    r"""Return the content of a JSON file; NaN and Infinity stay as such, floats keep every bit.

    >>> json_text({"value": float("nan")})
    '{\n "value": NaN\n}\n'
    """
    return json.dumps(value, indent=1) + "\n"


def as_text(value: Any) -> str:
    """Return a value as the pages show it: strings without quotes, everything else as JSON.

    >>> as_text("adam"), as_text((100, 50))
    ('adam', '[100, 50]')
    """
    return value if isinstance(value, str) else json.dumps(value)


def rounded(value: Any) -> str:
    """Return a value as text, a float with four significant digits.

    >>> rounded(0.000123456), rounded(0.97), rounded("adam"), rounded((100, 50))
    ('0.0001235', '0.97', 'adam', '[100, 50]')
    """
    return f"{value:.4g}" if isinstance(value, float) else as_text(value)


def ranges(numbers: Sequence[int]) -> str:
    """Return sorted numbers as a list of ranges.

    >>> ranges([0, 1, 2, 3, 5, 7, 8])
    '0 to 3, 5, 7 to 8'
    """
    ends: list[list[int]] = []
    for number in numbers:
        if ends and number == ends[-1][1] + 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    return ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in ends)


def visible(text: str, longest: int = 2000) -> str:
    r"""Return a text for the terminal: control characters are escaped, and a long one is cut.

    What a store or a pack contains may come from anywhere, and a terminal obeys such characters.

    >>> visible("two\x1b[2J\nlines"), visible("long", 3)
    ('two\\x1b[2J\nlines', 'lon...')
    """
    cut = text if len(text) <= longest else f"{text[:longest]}..."
    if cut.isprintable():
        return cut
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in cut
    )
