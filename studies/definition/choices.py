"""Choices as Optuna stores them: lists become JSON strings."""

import json
from typing import Any


def encoded(value: Any) -> Any:
    """Return a choice as Optuna can store it.

    >>> decoded(encoded([100, 50]))
    [100, 50]
    """
    return json.dumps(value) if isinstance(value, list | tuple) else value


def decoded(value: Any) -> Any:
    """Return the choice that `encoded` converted to `value`."""
    if isinstance(value, str) and value.startswith("["):
        return json.loads(value)
    return value
