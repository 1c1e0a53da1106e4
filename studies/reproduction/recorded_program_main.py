"""The process that runs recorded source code: run by its path, with PYTHONPATH at that source.

Arguments: the process id of the driver, modules to import first, then those of ``retrial``.
Nothing of retrial is imported before PYTHONPATH decides which retrial that is.
"""

import contextlib
import importlib
import importlib.util
import os
import signal
import sys
import threading
import time


def _end_with(driver: int) -> None:
    """Terminate this process soon after its driver has ended."""
    while os.getppid() == driver:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Run the recorded ``retrial``."""
    driver, modules = int(sys.argv.pop(1)), sys.argv.pop(1).split()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver handles Ctrl-C and ends this process
    # While modules load there is no worker yet, and some turn SystemExit into another error.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    threading.Thread(target=_end_with, args=[driver], daemon=True).start()
    try:
        # A module of the user's may search a study when it is run.
        imported = importlib.import_module("studies.definition.importing").module
    except ImportError:  # an earlier program, which has no studies in Python
        imported = importlib.import_module
    for module in (*modules, "nets.errors"):
        # A module of the same name in the current folder would take its place later. One that
        # cannot be imported is reported when it is needed.
        with contextlib.suppress(ImportError):
            imported(module)
    # Programs recorded before the first release have their command line there. That is looked up
    # first: with an editable installation a recorded package finds today's submodules, too.
    is_early = importlib.util.find_spec("studies.command_line") is not None
    command_line = importlib.import_module(
        "studies.command_line" if is_early else "studies.cli.main"
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # waits for the worker to end
    return int(command_line.main())


if __name__ == "__main__":
    sys.exit(main())
