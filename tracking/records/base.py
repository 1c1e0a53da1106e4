"""Records: typed values in code, JSON objects on disk.

A record reads what earlier and later versions wrote: keys that it does not know are kept and
written back, and what it writes has the same bytes as before.
"""

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, Self, Union, cast, get_args, get_origin


class RecordDamaged(ValueError):
    """A stored JSON value that is no record of its kind."""


JsonObject = dict[str, Any]
"""A JSON object, as `json` reads and writes it."""

Values = dict[str, Any]
"""Values of settings or parameters, by name."""


@dataclass(frozen=True)
class Record:
    """Base of all that is stored as a JSON object.

    A field's key is its name, or ``metadata["key"]``. Fields that are None are left out, unless the
    class sets `writes_none`. `extra` holds the keys that the class does not know; they are written
    last.
    """

    extra: Mapping[str, Any] = field(default_factory=dict, kw_only=True, repr=False)

    writes_none: ClassVar[bool] = False

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Return the record that a JSON object describes; raises RecordDamaged otherwise."""
        if not isinstance(values, Mapping):
            raise RecordDamaged(f"{cls.__name__}: got {values!r:.100}, expected an object")
        keys, known = _fields(cast(Any, cls)), {}
        for key, (name, hint, required) in keys.items():
            if key in values:
                known[name] = _decoded(values[key], hint, f"{cls.__name__}.{key}")
            elif required:
                raise RecordDamaged(f"{cls.__name__}.{key}: missing")
        extra = {key: value for key, value in values.items() if key not in keys}
        return cls(**known, extra=extra)

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        keys = _fields(cast(Any, type(self)))
        values = {key: getattr(self, name) for key, (name, _, _) in keys.items()}
        if not self.writes_none:
            values = {key: value for key, value in values.items() if value is not None}
        return {**{key: to_json(value) for key, value in values.items()}, **self.extra}


def to_json(value: Any) -> Any:
    """Return a value with the records in it as JSON objects, and tuples as lists."""
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    return value


@cache
def _fields(kind: type[Record]) -> dict[str, tuple[str, Any, bool]]:
    """Return name, type and whether it is required of the field of each key."""
    hints = typing.get_type_hints(kind)
    return {
        item.metadata.get("key", item.name): (
            item.name,
            hints[item.name],
            item.default is MISSING and item.default_factory is MISSING,
        )
        for item in fields(kind)
        if item.name != "extra" and item.metadata.get("stored", True)
    }


def _decoded(value: Any, hint: Any, place: str) -> Any:
    """Return a JSON value as a value of a field's type.

    Objects and lists are checked; plain values are taken as they are.
    """
    if get_origin(hint) in (Union, types.UnionType):
        hints = get_args(hint)
        if value is None and type(None) in hints:
            return None
        if isinstance(value, str) and str in hints:
            return value
        hint = hints[0]
    if is_dataclass(hint):
        return cast(type[Record], hint).from_json(value)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if value not in list(hint):
            raise RecordDamaged(f"{place}: got {value!r:.100}, expected {', '.join(hint)}")
        return hint(value)
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise RecordDamaged(f"{place}: got {value!r:.100}, expected a list")
        return tuple(_decoded(item, arguments[0], place) for item in value)
    if origin in (dict, Mapping) and not isinstance(value, Mapping):
        raise RecordDamaged(f"{place}: got {value!r:.100}, expected an object")
    return value
