"""What an objective hands over, checked, so that whoever keeps it can trust it.

An objective may be anybody's. What ledger, MLflow or Optuna could not keep fails its trial here, in
the worker, with a sentence that says so; there it would end the driver, at every start anew.
"""

import math
import os
import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np

from nets.outcome import Epoch, Model, Outcome
from tracking.store import names

MOST_ENTRIES = 1_000
"""Metrics of an epoch, and digests."""
LONGEST_NAME = 250
"""Characters of a metric's name, as in MLflow; of a digest and its name too."""
MOST_BYTES = 900_000_000
"""SQLite takes 1,000,000,000 bytes a row; the rest is for what the arrays are wrapped in."""
_WRAPPING = 1_000
"""Bytes that a file of arrays has for each of them beside its values, at most."""
_LONGEST_MESSAGE = 10_000
_LONGEST_TRACEBACK = 100_000


def metrics_of(epoch: Epoch) -> dict[str, float]:
    """Return the metrics of an epoch as plain floats."""
    entries = _entries(epoch.metrics, "metrics")
    return {name: _number(value, f"metric {name}") for name, value in entries.items()}


def digests_of(epoch: Epoch) -> dict[str, str]:
    """Return the digests of an epoch."""
    entries = _entries(epoch.digests, "digests")
    return {name: _text(value, f"report: digest {name}") for name, value in entries.items()}


def seconds_of(epoch: Epoch) -> float:
    """Return how long an epoch took."""
    seconds = _number(epoch.seconds, "seconds")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"report: seconds: got {seconds}, accepted is a number of at least 0")
    return seconds


def reason_of(outcome: Outcome) -> str:
    """Return why a training ended."""
    return _text(outcome.reason, "Outcome.reason")


def model_of(outcome: Outcome) -> Model | None:
    """Return the model of a training, if it has one: a text, and arrays that need no pickle."""
    model = outcome.model
    if model is None:
        return None
    source = _text(model.source, "Model.source", longest=MOST_BYTES)
    arrays = {
        _text(name, "Model.arrays"): np.asarray(array) for name, array in model.arrays.items()
    }
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"Model.arrays: {name} has the type object, accepted are numbers")
    size = len(source.encode()) + sum(array.nbytes + _WRAPPING for array in arrays.values())
    if size > MOST_BYTES:
        raise ValueError(
            f"Model: got {size:,} bytes, accepted are {MOST_BYTES:,}, as SQLite takes no more a row"
        )
    return Model(source, arrays)


def described(error: BaseException) -> dict[str, str]:
    """Return type, message, place and traceback of an exception.

    The place of what is found wrong with a report is where the objective reported it.
    """
    frames = traceback.extract_tb(error.__traceback__)
    here = os.path.dirname(__file__)
    theirs = [frame for frame in frames if os.path.dirname(frame.filename) != here] or frames
    place = f"{theirs[-1].filename}:{theirs[-1].lineno}" if theirs else "unknown"
    return {
        "type": type(error).__name__,
        "message": message_of(error),
        "place": names.plain(place),
        "traceback": names.plain("".join(traceback.format_exception(error))[-_LONGEST_TRACEBACK:]),
    }


def message_of(error: BaseException) -> str:
    """Return the message of an exception, which may be of a class that fails at that too."""
    try:
        return names.plain(str(error)[:_LONGEST_MESSAGE])
    except Exception:
        return "it has a message that cannot be shown"


def _entries(entries: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return named values of an epoch, whose names and number can be kept."""
    if len(entries) > MOST_ENTRIES:
        raise ValueError(f"report: got {len(entries)} {what}, accepted are {MOST_ENTRIES:,}")
    return {_text(name, f"report: name of {what}"): value for name, value in entries.items()}


def _text(value: Any, what: str, longest: int = LONGEST_NAME) -> str:
    if isinstance(value, str) and len(value) <= longest and names.plain(value) == value:
        return str(value)
    raise TypeError(
        f"{what}: got {value!r:.100}, accepted is a text of at most {longest:,} characters that "
        "UTF-8 can hold"
    )


def _number(value: Any, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"report: {what}: got {value!r:.100}, accepted is a number") from None
