"""What commands say on standard error, apart from their results."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracking.store.store import Store


def warn(message: str) -> None:
    """Print a warning."""
    print(f"retrial: {message}", file=sys.stderr, flush=True)


def warn_if_read_only(store: "Store") -> None:
    """Say that a verdict is not in a store, if this user cannot write there."""
    if store.is_read_only:
        warn(f"reproduce: cannot write {store.root}, so the verdict is not recorded there")


def fail(message: str) -> int:
    """Print why a command has failed, and return its exit code."""
    warn(message)
    return 1
