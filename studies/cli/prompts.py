"""What commands that remove things share: sizes in units, and a prompt."""

import sys

from nets.errors import InputError


def agreed(yes: bool) -> bool:
    """Ask whether to continue; `yes` skips the prompt."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InputError(problem="cannot prompt without a terminal", expected="--yes")
    return input("Remove it? [y/N] ").strip().lower() in ("y", "yes")


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
