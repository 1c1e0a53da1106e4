"""Re-run a recorded trial with its original source code.

A study's run keeps the source of nets, studies, tracking and of the user's own modules. A process
that imports them from there, and libraries from here, is the original program; it runs
``retrial reproduce`` on the trial, and its answer is the answer.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from studies.workers.processes import signals_held
from tracking.runs import recorded_code
from tracking.runs.reader import RecordedRun
from tracking.runs.verdict import Verdict
from tracking.store.store import Store

_PROGRAM = Path(__file__).with_name("recorded_program_main.py")


def reproduce(
    store: Store,
    recorded: RecordedRun,
    data: Path | None,
    *,
    until: int | None,
    threads: int,
    as_json: bool,
) -> int:
    """Run ``retrial reproduce`` with the code recorded with a trial; return its exit code.

    Raises InputError where that code was not recorded.
    """
    code, _ = _run(store, recorded, data, until, threads, ["--json"] * as_json)
    if code < 0:
        name = signal.Signals(-code).name
        print(f"retrial: the recorded program was ended by {name}", file=sys.stderr)
        return 1
    return code


def verdict(
    store: Store, recorded: RecordedRun, data: Path | None, *, until: int | None, threads: int
) -> Verdict:
    """Return the verdict of the recorded program.

    Raises InputError where that code was not recorded, and RuntimeError where the program, which
    prints why, has not come to a verdict.
    """
    code, output = _run(store, recorded, data, until, threads, ["--json"], stdout=subprocess.PIPE)
    try:
        return Verdict.from_json(json.loads(output))
    except (ValueError, KeyError, TypeError):
        problem = f"the recorded program ended with exit code {code}, without a verdict"
        raise RuntimeError(problem) from None


def _run(
    store: Store,
    recorded: RecordedRun,
    data: Path | None,
    until: int | None,
    threads: int,
    more: Sequence[str],
    stdout: int | None = None,
) -> tuple[int, str]:
    """Run the recorded program; return its exit code and what it has printed to a pipe."""
    arguments = [recorded.run_id, "--store", str(store.root), "--threads", str(threads), *more]
    if data is not None:
        arguments += ["--data", str(data)]
    if until is not None:
        arguments += ["--at", str(until)]
    with tempfile.TemporaryDirectory() as folder:
        recorded_code.extract(store, recorded, Path(folder))
        started = [str(os.getpid()), " ".join(recorded.environment.code or {})]
        command = [sys.executable, "-P", str(_PROGRAM), *started, "reproduce", *arguments]
        path = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        with signals_held():
            process = subprocess.Popen(command, env=environment, stdout=stdout, text=True)
        try:
            output, _ = process.communicate()
        finally:
            process.terminate()  # after Ctrl-C; otherwise it has ended
            process.wait()
    return process.returncode, output or ""
