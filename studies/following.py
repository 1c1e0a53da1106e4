"""A process that lives as long as its driver does, no longer, and not shorter for a Ctrl-C.

The workers of a search have a pipe to their driver, whose end they notice at once. A process that
a library starts for one task only has none: it would wait for ever for somebody to read its result.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Start processes that no Ctrl-C can reach; one that comes meanwhile is heard here, later.

    A process inherits what its parent holds back. Until it can ignore a signal by itself it
    imports for a second, and Ctrl-C would be its death with a traceback.
    """
    resource_tracker.ensure_running()  # which, when it starts, lets both signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def follow(driver: int) -> None:
    """Make this fresh process end soon after its parent, the process `driver`, does."""
    # Ctrl-C reaches the whole foreground group; what it means is the driver's to say.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
