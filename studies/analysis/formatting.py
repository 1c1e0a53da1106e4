"""Format values, durations, counts and sizes as all commands print them."""

import math
from collections.abc import Mapping
from typing import Any

from studies.definition.choices import decoded


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


def shown_seconds(seconds: float, digits: int = 1) -> str:
    """Return a duration in the units people use; below a minute with decimal `digits`.

    >>> shown_seconds(7.21), shown_seconds(130), shown_seconds(7300), shown_seconds(float("inf"))
    ('7.2 s', '2 min 10 s', '2 h 1 min', 'inf s')
    """
    if seconds < 60 or not math.isfinite(seconds):
        return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def plural(count: int, noun: str) -> str:
    """Return a number with its noun.

    >>> plural(1, "run"), plural(2, "run")
    ('1 run', '2 runs')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shown_bytes(count: int) -> str:
    """Return a number of bytes in the unit people use.

    >>> shown_bytes(0), shown_bytes(1200), shown_bytes(3_450_000)
    ('0 bytes', '1.2 kB', '3.5 MB')
    """
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if size < 10 and unit != "bytes" else f"{size:.0f} {unit}"
