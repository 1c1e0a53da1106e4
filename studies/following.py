"""Processes that live as long as their driver does, and leave to it what signals mean.

The workers of a search have a pipe to their driver, whose end they notice at once. A process that
a library starts for one task only has none: it would wait for ever for somebody to read its result.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

from joblib.externals.loky.backend import resource_tracker

_SIGNALS = {signal.SIGINT, signal.SIGTERM}


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold signals back from processes that are started meanwhile, until they `ignore_signals`.

    A process needs a second before it can ignore anything, and Ctrl-C would end it there. What
    arrives here meanwhile is delivered afterwards.
    """
    resource_tracker.ensure_running()  # which, when it starts, lets both signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_signals() -> None:
    """Ignore Ctrl-C and SIGTERM in this fresh process, also those that were held back.

    Ctrl-C reaches the whole foreground group, and a service manager's SIGTERM every process of a
    service; what they mean is the driver's to say, and this process ends with its driver.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # What this process may start has an ordinary mask again.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def follow(driver: int) -> None:
    """Make this fresh process end soon after its parent, the process `driver`, does."""
    ignore_signals()

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
