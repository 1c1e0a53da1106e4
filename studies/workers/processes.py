"""Child processes: they exit with their parent, ignore its signals, and shut down cleanly.

A search's worker has a pipe to its driver and notices its end at once. A process that a library
starts for a single task has none: it would wait forever for its result to be read.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Set
from multiprocessing import resource_tracker
from multiprocessing.util import Finalize

import psutil
from joblib.externals.loky.backend import resource_tracker as loky_resource_tracker

MARK = "RETRIAL_WORKER"
"""Environment variable of a worker, which everything that it starts inherits."""

_SIGNALS = {signal.SIGINT, signal.SIGTERM}


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Block signals in processes that are started inside, until they call `ignore_signals`.

    A process needs a second before it can ignore a signal, and Ctrl-C would end it until then.
    Signals that arrive here meanwhile are delivered afterwards.
    """
    # Both libraries start a process that tracks resources, and unblock signals after that.
    resource_tracker.ensure_running()
    loky_resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_process_group() -> None:
    """Give this fresh process its own process group.

    The processes it starts belong to the group, so that all can be killed together, also after this
    one has crashed, and Ctrl-C reaches none of them. (Nor does Ctrl-Z: the workers of a suspended
    search finish their epochs.)
    """
    os.setpgid(0, 0)
    # Such a group may not read from the terminal, and is stopped by default when it tries: an
    # objective that asks for input finds none. It may write, whatever `stty tostop` says.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)


def end_marked(marks: Set[str]) -> None:
    """Kill all other processes with one of the marks: what workers have started.

    A process group does not have those that began a session of their own, and once its parent has
    ended, nothing but its environment says where a process comes from.
    """
    for _ in range(3):  # one may have started another meanwhile
        found = False
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):  # it has ended, or is another user's
                if process.environ().get(MARK) in marks and process.pid != os.getpid():
                    process.kill()
                    found = True
        if not found:
            return


def ignore_signals() -> None:
    """Ignore Ctrl-C and SIGTERM in this fresh process, also those that were blocked so far.

    Ctrl-C reaches the whole foreground group, and a service manager's SIGTERM every process of a
    service; the driver decides what they mean, and this process exits with its driver.

    Processes that this one starts must still be able to be ended: a program would inherit SIG_IGN,
    but never a handler, and in a fork the handler ends the process.
    """
    own = os.getpid()

    def handle(number: int, frame: object) -> None:
        if os.getpid() != own:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number in _SIGNALS:
        signal.signal(number, handle)
    # Processes started by this one get an ordinary mask.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def exit_with(driver: int) -> None:
    """Make this fresh process exit soon after its parent, the process `driver`."""
    ignore_signals()

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _join_feeders() -> None:
    """Wait for the threads that feed the queues of the library's executors.

    Such a thread may be the last to hold a queue and its locks. It is a daemon: if this process
    ended while it removes them, the library would print warnings of leaked locks.
    """
    last = time.monotonic() + 10  # it is not worth more than that
    for thread in threading.enumerate():
        if thread.name == "QueueFeederThread":
            thread.join(max(0.0, last - time.monotonic()))


# When this process exits: after all queues are closed (10), before the remaining locks are (0).
Finalize(None, _join_feeders, exitpriority=5)
