"""Validate what an objective returns before it is stored.

An objective may be anyone's. What the ledger, MLflow or Optuna could not store fails its trial
here, in the worker, with a clear message; in the driver it would end every search of the study.
"""

import math
import os
import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np

import studies.objective
from nets.outcome import Epoch, Model, Outcome
from studies.objective.trial import MOST_FOLDER_BYTES
from tracking.records import Failure
from tracking.store import names

MOST_ENTRIES = 1_000
"""Limit on the metrics, and on the digests, of an epoch; also on the files of a model."""
LONGEST_NAME = 250
"""Characters of a metric's name, as in MLflow; also of a digest and its name."""
MOST_BYTES = 900_000_000
"""SQLite takes 1,000,000,000 bytes per row; the rest is for what the arrays are wrapped in."""
_WRAPPING = 1_000
"""Bytes that a file of arrays has for each of them in addition to its values, at most."""
_OURS = {os.path.dirname(__file__), os.path.dirname(studies.objective.__file__ or "")}
"""Folders of the code that calls an objective, and that it calls."""
_LONGEST_MESSAGE = 10_000
_LONGEST_TRACEBACK = 100_000


def metrics_of(epoch: Epoch) -> dict[str, float]:
    """Return the metrics of an epoch as plain floats."""
    entries = _entries(epoch.metrics, "metrics")
    return {name: _number(value, f"metric {name}") for name, value in entries.items()}


def digests_of(epoch: Epoch) -> dict[str, str]:
    """Return the digests of an epoch."""
    entries = _entries(epoch.digests, "digests")
    return {name: _string(value, f"report: digest {name}") for name, value in entries.items()}


def seconds_of(epoch: Epoch) -> float:
    """Return how long an epoch took."""
    seconds = _number(epoch.seconds, "seconds")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"report: seconds: got {seconds}, expected a number of at least 0")
    return seconds


def reason_of(outcome: Outcome) -> str:
    """Return why a training ended."""
    return _string(outcome.reason, "Outcome.reason")


def model_of(outcome: Outcome) -> Model | None:
    """Return the model of a training, if it has one: source, arrays that need no pickle, files."""
    model = outcome.model
    if model is None:
        return None
    source = _string(model.source, "Model.source", longest=MOST_BYTES)
    arrays = {
        _string(name, "Model.arrays"): np.asarray(array) for name, array in model.arrays.items()
    }
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"Model.arrays: {name} has the type object, expected numbers")
    files = {
        _string(path, "Model.files"): _bytes(content, path) for path, content in model.files.items()
    }
    if len(files) > MOST_ENTRIES:
        raise ValueError(f"Model: got {len(files):,} files, expected at most {MOST_ENTRIES:,}")
    names.check_files(files, model_format := _string(model.format, "Model.format"))
    size = len(source.encode()) + sum(array.nbytes + _WRAPPING for array in arrays.values())
    size += sum(len(content) for content in files.values())
    if size > MOST_BYTES:
        raise ValueError(
            f"Model: got {size:,} bytes, expected at most {MOST_BYTES:,}, the limit of SQLite"
        )
    return Model(source, arrays, files, model_format)


def files_of(outcome: Outcome) -> dict[str, bytes]:
    """Return the files of a training by their relative paths; raises TypeError or ValueError."""
    files = {}
    for name, content in outcome.files.items():
        if not names.is_file_path(_string(name, "Outcome.files")):
            raise ValueError(f"Outcome.files: got {name!r}, expected a relative path without '..'")
        if not isinstance(content, bytes):
            raise TypeError(f"Outcome.files: {name} is {type(content).__name__}, expected bytes")
        files[name] = content
    if (size := sum(map(len, files.values()))) > MOST_FOLDER_BYTES:
        raise ValueError(
            f"Outcome.files: got {size:,} bytes, expected at most {MOST_FOLDER_BYTES:,}"
        )
    return files


def parameter_count_of(outcome: Outcome) -> int | None:
    """Return the number of weights and biases of a network, if the objective says it."""
    count = outcome.parameter_count
    if count is None or (isinstance(count, int | np.integer) and 0 <= count < 2**63):
        return count if count is None else int(count)
    raise TypeError(f"Outcome.parameter_count: got {count!r:.100}, expected an integer")


def failure_of(error: BaseException, objective: str = "unknown") -> Failure:
    """Return type, message, place and traceback of an exception.

    For an error in a report, the place is where the objective reported it; for one in what it
    returned, its name.
    """
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if os.path.dirname(frame.filename) not in _OURS]
    place = f"{theirs[-1].filename}:{theirs[-1].lineno}" if theirs else objective
    return Failure(
        type=type(error).__name__,
        message=message_of(error),
        place=names.plain(place),
        traceback=names.plain("".join(traceback.format_exception(error))[-_LONGEST_TRACEBACK:]),
    )


def message_of(error: BaseException) -> str:
    """Return the message of an exception, whose class may fail even at that."""
    try:
        return names.plain(str(error)[:_LONGEST_MESSAGE])
    except Exception:
        return "it has a message that cannot be shown"


def _entries(entries: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return named values of an epoch whose names and number can be stored."""
    if len(entries) > MOST_ENTRIES:
        raise ValueError(f"report: got {len(entries)} {what}, expected at most {MOST_ENTRIES:,}")
    return {_string(name, f"report: name of {what}"): value for name, value in entries.items()}


def _string(value: Any, what: str, longest: int = LONGEST_NAME) -> str:
    if isinstance(value, str) and len(value) <= longest and names.plain(value) == value:
        return str(value)
    raise TypeError(
        f"{what}: got {value!r:.100}, expected a string of at most {longest:,} characters that "
        "UTF-8 can hold"
    )


def _bytes(value: Any, path: str) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"Model.files: {path}: got {value!r:.100}, expected bytes")


def _number(value: Any, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"report: {what}: got {value!r:.100}, expected a number") from None
