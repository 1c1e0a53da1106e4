"""The prompt of commands that remove things."""

import sys

from nets.errors import InputError


def agreed(yes: bool) -> bool:
    """Ask whether to continue; `yes` skips the prompt."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InputError(problem="cannot prompt without a terminal", expected="--yes")
    return input("Remove it? [y/N] ").strip().lower() in ("y", "yes")
