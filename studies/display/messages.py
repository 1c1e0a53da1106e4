"""What commands say on standard error, apart from their results."""

import sys


def warn(message: str) -> None:
    """Print a warning."""
    print(f"retrial: {message}", file=sys.stderr, flush=True)


def fail(message: str) -> int:
    """Print why a command has failed, and return its exit code."""
    warn(message)
    return 1
