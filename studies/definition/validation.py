"""Validate the tables of a study file against dataclasses.

pydantic finds what is wrong, strictly: no unknown keys, no string for a number. `_input_error`
names the key in the file, the value received and what is expected.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from nets.errors import InputError, did_you_mean, one_of

_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "too_short": "a list of at least one value",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "letters, digits, '.', '_' and '-'",
}
"""What is expected, for each of pydantic's types of error."""

_BOUNDS = {
    "greater_than_equal": ("ge", "of at least"),
    "greater_than": ("gt", "above"),
    "less_than_equal": ("le", "of at most"),
    "less_than": ("lt", "below"),
}
_FEW = 8
_UNKNOWN_KEY = {"unexpected_keyword_argument", "extra_forbidden"}
_EXAMPLES = {
    "sampler": '{ name = "tpe" }',
    "pruner": '{ name = "median" }',
    "wrapped": '{ name = "median" }',
    "stop": "{ patience = 20 }",
    "when": '{ optimizer = ["momentum", "nesterov"] }',
}
"""An example of each table that is the value of a key."""


def forbid_unknown_keys(*kinds: type[Any]) -> None:
    """Have pydantic reject keys that are no fields of these dataclasses."""
    for kind in kinds:
        kind.__pydantic_config__ = ConfigDict(extra="forbid")


def validate(
    kind: Any, table: Mapping[str, Any], where: str, known: Mapping[str, Iterable[str]]
) -> Any:
    """Return a table as an instance of a dataclass.

    Parameters
    ----------
    kind
        The dataclass.
    table
        Values as `tomllib` returns them.
    where
        Full name of the table in the study file.
    known
        The keys that the table accepts, under ``""``, and those of each table inside it, under its
        key or the name that selects its class.

    Raises
    ------
    InputError
        With the full name of the first key that is wrong. An unknown key comes first: a misspelled
        key also leaves the right one missing.
    """
    try:
        # Only JSON allows a table for a dataclass in strict mode. JSON has no dates: as strings
        # they are rejected wherever a date could be meant.
        return _adapter(kind).validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first = min(problems, key=lambda problem: problem["type"] not in _UNKNOWN_KEY)
        raise _input_error(first, where, known) from None


_adapter = cache(TypeAdapter)


def unknown(key: str, kind: str, known: Iterable[str]) -> InputError:
    """Return the error for an unknown key, section or setting.

    Where a name is similar, the others are listed only if they are few.

    >>> print(unknown("study.stop.patient", "key", ["patience", "min_delta"]))
    study.stop.patient: unknown key, expected patience or min_delta; did you mean 'patience'?
    """
    names = list(known)
    hint = did_you_mean(key.rpartition(".")[2], names)
    expected = "" if hint and len(names) > _FEW else one_of(names)
    return InputError(key, problem=f"unknown {kind}", expected=expected, hint=hint)


def not_among(key: str, received: Any, names: Iterable[str]) -> InputError:
    """Return the error for a value that is not one of some names.

    >>> print(not_among("study.direction", "maximise", ["maximize", "minimize"]))
    study.direction: got 'maximise', expected maximize or minimize; did you mean 'maximize'?
    """
    names = list(names)
    return InputError(key, received, one_of(names), did_you_mean(str(received), names))


def _input_error(problem: Any, where: str, known: Mapping[str, Iterable[str]]) -> InputError:
    """Return one of pydantic's problems as an InputError."""
    kind, received, context = problem["type"], problem["input"], problem.get("ctx", {})
    location = problem["loc"]
    key = _full_name(where, location)
    if kind == "value_error" and isinstance(context["error"], InputError):
        # A dataclass of ours checks what no single key shows.
        found: InputError = context["error"]
        return found.with_key(".".join(filter(None, [key, found.key])))
    if kind == "missing":
        return InputError(key, problem="missing", expected="a value")
    if kind in _UNKNOWN_KEY:
        table = str(location[-2]) if len(location) > 1 else ""
        return unknown(key, "key", known[table])
    if kind == "union_tag_invalid":
        return not_among(f"{key}.name", context["tag"], _quoted(context["expected_tags"]))
    if kind in ("literal_error", "enum"):
        return not_among(key, received, _quoted(context["expected"]))
    if kind == "union_tag_not_found":
        return InputError(key, received, "a table with a name")
    if kind in ("dict_type", "dataclass_type", "model_attributes_type"):
        example = _EXAMPLES.get(str(location[-1]))
        if example and isinstance(received, str) and received in known:
            return InputError(key, received, f'{{ name = "{received}" }}')
        return InputError(key, received, f"a table such as {example}" if example else "a table")
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        bound = context[name]
        number = "an integer" if isinstance(bound, int) else "a number"
        return InputError(key, received, f"{number} {words} {bound:.16g}")
    return InputError(key, received, _EXPECTED.get(kind, problem["msg"]).format(**context))


def _quoted(text: str) -> list[str]:
    """Return the names in a list of pydantic's, such as ``'sobol' or 'halton'``."""
    return re.findall(r"'([^']*)'", text)


def _full_name(where: str, location: tuple[Any, ...]) -> str:
    """Return the full name of the key that pydantic's location leads to.

    The location of a table whose class is selected by its name contains that name, which is not a
    key.

    >>> _full_name("study", ("pruner", "percentile", "percentile")), _full_name("", ("first", 0))
    ('study.pruner.percentile', 'first[0]')
    """
    name, before = where, None
    for part in location:
        if isinstance(part, int):
            name += f"[{part}]"
        elif before not in ("sampler", "pruner", "wrapped"):
            name = f"{name}.{part}" if name else part
            before = part
        else:
            before = None
    return name
