"""Tables as the text of a study file."""

import json
import re
from collections.abc import Mapping
from typing import Any

from nets.errors import InputError
from tracking.records import Values


def written(tables: Mapping[str, Values]) -> str:
    r"""Return tables as TOML: a section for each, with the tables inside it on one line.

    Raises InputError for a value that TOML lacks.

    >>> print(written({"study": {"name": 'a"b'}, "space": {"x": {"low": 1e-3, "high": 1.0}}}))
    [study]
    name = "a\"b"
    <BLANKLINE>
    [space]
    x = { low = 0.001, high = 1.0 }
    <BLANKLINE>
    """
    sections = [
        "\n".join([f"[{_key(name)}]", *(f"{_key(k)} = {_value(v)}" for k, v in table.items()), ""])
        for name, table in tables.items()
    ]
    return "\n".join(sections)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return float.__repr__(value)  # TOML writes infinity and NaN as Python does
        case str():
            return _string(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            pairs = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
    raise InputError(problem=f"got {value!r}, which a study file cannot hold", expected="TOML")


def _string(text: str) -> str:
    """Return a basic string: TOML's escapes are those of JSON, and DEL must have one."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _string(name)
