"""Processes that live as long as their driver does, leave to it what signals mean, end in order.

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
from multiprocessing.util import Finalize

from joblib.externals.loky.backend import resource_tracker as loky_resource_tracker

_SIGNALS = {signal.SIGINT, signal.SIGTERM}


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold signals back from processes that are started meanwhile, until they `ignore_signals`.

    A process needs a second before it can ignore anything, and Ctrl-C would end it there. What
    arrives here meanwhile is delivered afterwards.
    """
    # Both libraries start a process each that tracks resources, and then let the signals through.
    resource_tracker.ensure_running()
    loky_resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stand_apart() -> None:
    """Give this fresh process a process group of its own.

    With it goes what it starts: that can be killed together, also when the process has died, and
    Ctrl-C reaches none of it. (Ctrl-Z neither: a search that is suspended finishes its epochs.)
    """
    os.setpgid(0, 0)
    # Of the terminal such a group may not read, and by default is stopped when it tries: an
    # objective that asks something finds nobody there. It may write, whatever `stty tostop` says.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)


def ignore_signals() -> None:
    """Do nothing at Ctrl-C and SIGTERM in this fresh process, also at those that were held back.

    Ctrl-C reaches the whole foreground group, and a service manager's SIGTERM every process of a
    service; what they mean is the driver's to say, and this process ends with its driver.

    What this process starts is no part of that: whoever starts it must be able to end it so. A
    program would inherit SIG_IGN, but never a handler, and a fork has its handler end it.
    """
    own = os.getpid()

    def handle(number: int, frame: object) -> None:
        if os.getpid() != own:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number in _SIGNALS:
        signal.signal(number, handle)
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


def _await_feeders() -> None:
    """Let the threads end that fed queues of the library's executors.

    Such a thread may be the last to hold a queue and its locks. It is a daemon: were this process
    to end while it removes them, the library would print warnings of locks that leaked.
    """
    last = time.monotonic() + 10  # it is not worth more than that
    for thread in threading.enumerate():
        if thread.name == "QueueFeederThread":
            thread.join(max(0.0, last - time.monotonic()))


# At the end of this process: after all queues were closed (10), before what is left of locks (0).
Finalize(None, _await_feeders, exitpriority=5)
