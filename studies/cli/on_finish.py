"""``retrial search --on-finish``: one command at the end, with the result on its standard input."""

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nets.errors import InputError
from studies.display.messages import warn
from tracking.records import JsonObject


@dataclass
class Ending:
    """How a search has ended; `problem` is why it has failed."""

    end: str = "failed"
    exit_code: int = 1
    problem: str | None = None


@contextlib.contextmanager
def announced(command: str | None, store: Path, study: str) -> Iterator[Ending]:
    """Run a command after the block, however it ends, except for an invalid request.

    The block fills in the ending; an exception stands for the one that it causes.
    """
    ending = Ending()
    try:
        yield ending
    except InputError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            ending.end, ending.exit_code = "stopped", 130
        else:
            ending.problem = str(error) or type(error).__name__
        _run(command, store, study, ending)
        raise
    _run(command, store, study, ending)


def _run(command: str | None, store: Path, study: str, ending: Ending) -> None:
    """Run the command; its own failure is a warning and nothing else."""
    if command is None:
        return
    # Nothing of the study is in the command line, where a shell would read it.
    result = json.dumps(_result(store, study, ending))
    code = subprocess.run(command, shell=True, input=result, text=True).returncode
    if code:
        how = (
            f"ended with code {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
        )
        warn(f"--on-finish: {command!r} {how}; the search is not affected")


def _result(store: Path, study: str, ending: Ending) -> JsonObject:
    """Return what `retrial show --json` prints, and how the search has ended."""
    from studies.analysis.stored_study import open_study
    from studies.display.study_export import as_json

    result: JsonObject = {"study": study}
    # A store that cannot be read may be why the search has failed.
    with contextlib.suppress(Exception), open_study(store, study) as stored:
        result = as_json(stored)
    return {
        **result,
        "end": ending.end,
        "exit_code": ending.exit_code,
        "problem": ending.problem,
    }
