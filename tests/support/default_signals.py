"""Default signal handlers for a test run that was started with signals ignored or blocked."""

import os
import signal


def restore_defaults():
    """Give this process, and so the programs that it starts, the default signal handlers.

    A shell starts `command &` in a script with SIGINT ignored, and `nohup command` with SIGHUP
    ignored. Programs inherit both: a search or a server under test could not be interrupted.
    """
    defaults = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGQUIT: signal.SIG_DFL,
    }
    for number, handler in defaults.items():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)
    # A handler, unlike SIG_IGN, is not inherited by programs: with one that does nothing, `nohup`
    # still protects the tests. A process of pytest-xdist ends with the one that started it.
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN or "PYTEST_XDIST_WORKER" in os.environ:
        signal.signal(signal.SIGHUP, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*defaults, signal.SIGHUP})
