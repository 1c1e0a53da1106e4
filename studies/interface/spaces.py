"""What is searched, in Python: each class is a table of the section ``[space]`` of a study file."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from tracking.records import Values


@dataclass(frozen=True)
class Float:
    """A number between two others, both included.

    Parameters
    ----------
    low, high
        The ends of the range.
    log
        Search on a logarithmic scale; `low` must be above 0.
    step
        Search only `low` plus multiples of it.
    when
        Another parameter and the value, or list of values, with which this one exists.
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    step: float | None = None
    when: Mapping[str, Any] | None = None

    def table(self) -> Values:
        """Return the table of a study file.

        >>> Float(1, 10, log=True).table()
        {'low': 1.0, 'high': 10.0, 'log': True}
        """
        return _range(_float(self.low), _float(self.high), _float(self.step), self.log, self.when)


@dataclass(frozen=True)
class Integer:
    """An integer between two others, both included; the parameters are those of `Float`."""

    low: int
    high: int
    _: KW_ONLY
    log: bool = False
    step: int | None = None
    when: Mapping[str, Any] | None = None

    def table(self) -> Values:
        """Return the table of a study file.

        >>> Integer(16, 256, when={"kind": ["deep", "wide"]}).table()
        {'low': 16, 'high': 256, 'when': {'kind': ['deep', 'wide']}}
        """
        return _range(self.low, self.high, self.step, self.log, self.when)


@dataclass(frozen=True, init=False)
class Choice:
    """One of some values: numbers, strings, True, False, or lists of these."""

    values: tuple[Any, ...]
    when: Mapping[str, Any] | None

    def __init__(self, *values: Any, when: Mapping[str, Any] | None = None) -> None:
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "when", when)

    def table(self) -> Values:
        """Return the table of a study file.

        >>> Choice((100,), (100, 50)).table()
        {'choices': [[100], [100, 50]]}
        """
        return {"choices": [plain(value) for value in self.values], **_condition(self.when)}


Parameter = Float | Integer | Choice


def plain(value: Any) -> Any:
    """Return a value as a study file has it: tuples are lists, NumPy's numbers are Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return value


def _range(low: Any, high: Any, step: Any, log: bool, when: Mapping[str, Any] | None) -> Values:
    """Return the table of a range, without what is the default."""
    optional = {"log": log or None, "step": step}
    given = {name: plain(value) for name, value in optional.items() if value is not None}
    return {"low": plain(low), "high": plain(high), **given, **_condition(when)}


def _condition(when: Mapping[str, Any] | None) -> Values:
    return {} if when is None else {"when": plain(when)}


def _float(value: Any) -> Any:
    """Return an integer as a float, and anything else as it is, for the definition to check."""
    return float(value) if type(value) is int else value
