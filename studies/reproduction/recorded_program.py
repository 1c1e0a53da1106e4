"""A recorded trial again with the program that trained it, whatever has become of it since.

A study's run keeps the source of nets, studies, tracking and of the user's own modules. A process
that imports them from there, and libraries from here, is the program as it was; it is asked to
reproduce the trial, and its answer is the answer.
"""

import os
import signal
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from studies.workers.processes import signals_held
from tracking.runs import recorded_code
from tracking.runs.reader import RecordedRun
from tracking.store.store import Store

_COMMAND = """
import contextlib, importlib, os, signal, sys, threading, time


def end_with(driver):
    while os.getppid() == driver:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver answers Ctrl-C, and ends this process
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not before its worker has ended
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
threading.Thread(target=end_with, args=[int(sys.argv.pop(1))], daemon=True).start()

for module in sys.argv.pop(1).split():
    with contextlib.suppress(ImportError):  # said when it is needed
        importlib.import_module(module)  # or the current folder's would take its place

try:
    from studies.cli.main import main
except ImportError:  # where programs recorded before the first release have it
    from studies.command_line import main

sys.exit(main())
"""


def reproduce(store: Store, recorded: RecordedRun, options: Namespace) -> int:
    """Run ``retrial reproduce`` with the code of a trial's record; return its exit code.

    Raises InputError where the record does not keep that code.
    """
    with tempfile.TemporaryDirectory() as folder:
        recorded_code.extract(store, recorded, Path(folder))
        started = [str(os.getpid()), " ".join(recorded.environment.code or {})]
        command = [sys.executable, "-P", "-c", _COMMAND, *started, *_arguments(recorded, options)]
        path = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        with signals_held():
            process = subprocess.Popen(command, env=environment)
        try:
            code = process.wait()
        finally:
            process.terminate()  # after Ctrl-C; it has ended otherwise
            process.wait()
    if code < 0:
        ended = signal.Signals(-code).name
        print(f"retrial: the program of the record was ended by {ended}", file=sys.stderr)
        return 1
    return code


def _arguments(recorded: RecordedRun, options: Namespace) -> list[str]:
    """Return the arguments that ask for the same of one run."""
    arguments = ["reproduce", recorded.run_id, "--store", str(options.store)]
    arguments += ["--threads", str(options.threads)]
    if options.data is not None:
        arguments += ["--data", str(options.data)]
    if options.at is not None:
        arguments += ["--at", str(options.at)]
    return arguments + ["--json"] * options.json
