"""Records: typed values in code, JSON objects on disk.

A record reads what earlier and later versions wrote: keys that it does not know are kept and
written back, and what it writes has the same bytes as before.
"""

import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, Literal, Self, TypeVar, Union, cast, get_args, get_origin

from nets.errors import InputError

_Kind = TypeVar("_Kind")


class RecordDamaged(InputError):
    """A stored value that is no record of its kind; the key is the place in the record."""


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
            raise _damaged(cls.__name__, values, "an object")
        keys, known = _keys(cast(Any, cls)), {}
        for key, (name, required) in keys.items():
            if key in values:
                known[name] = values[key]
            elif required:
                raise RecordDamaged(f"{cls.__name__}.{key}", problem="missing")
        extra = {key: value for key, value in values.items() if key not in keys}
        return replace(built(cls, known), extra=extra) if extra else built(cls, known)

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        keys = _keys(cast(Any, type(self)))
        values = {key: getattr(self, name) for key, (name, _) in keys.items()}
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


def built(kind: type[_Kind], values: Mapping[str, Any]) -> _Kind:
    """Return a dataclass, of which `values` are the fields as JSON values; raises RecordDamaged."""
    readers = _readers(cast(Any, kind))
    return kind(**{name: readers[name](value) for name, value in values.items()})


def parsed(text: Any, place: str) -> Any:
    """Return the value that a JSON text describes; raises RecordDamaged for any other text."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise RecordDamaged(place, problem="is no valid JSON") from error


@cache
def _keys(kind: type[Record]) -> dict[str, tuple[str, bool]]:
    """Return name and whether it is required of the field of each key."""
    return {
        item.metadata.get("key", item.name): (
            item.name,
            item.default is MISSING and item.default_factory is MISSING,
        )
        for item in fields(kind)
        if item.name != "extra" and item.metadata.get("stored", True)
    }


_Reader = Callable[[Any], Any]
"""Returns a JSON value as a value of a field's type, or raises RecordDamaged."""


@cache
def _readers(kind: type[Any]) -> dict[str, _Reader]:
    """Return the reader of each field of a dataclass."""
    hints = typing.get_type_hints(kind)
    return {
        item.name: _reader(
            hints[item.name], f"{kind.__name__}.{item.metadata.get('key', item.name)}"
        )
        for item in fields(kind)
    }


_LARGEST = 1 << 63
"""No integer of a record is larger; a database may hold only smaller ones."""
_PLAIN = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}


def _reader(hint: Any, place: str) -> _Reader:
    """Return the reader of a type; `place` is named in its errors."""
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        return _one_of(
            [_reader(each, place) for each in arguments if each is not type(None)],
            is_optional=type(None) in arguments,
        )
    if isinstance(origin, type) and issubclass(origin, Record):
        return origin.from_json
    if origin is Literal or (isinstance(origin, type) and issubclass(origin, StrEnum)):
        return _choice(origin, list(arguments or cast(Any, origin)), place)
    if origin is tuple:
        return _list(_reader(arguments[0], place), place)
    if origin in (dict, Mapping):
        return _object(arguments[1], place)
    return _plain(hint, place) if hint in _PLAIN else lambda value: value


def _plain(kind: type[Any], place: str) -> _Reader:
    def read(value: Any) -> Any:
        if type(value) is kind and (kind is not int or abs(value) < _LARGEST):
            return value
        # JSON has one kind of number, and an integer must be written back as one.
        if kind is float and type(value) is int and abs(value) < _LARGEST:
            return value
        raise _damaged(place, value, _PLAIN[kind])

    return read


def _one_of(readers: list[_Reader], *, is_optional: bool) -> _Reader:
    def read(value: Any) -> Any:
        if value is None and is_optional:
            return None
        errors = []
        for reader in readers:
            try:
                return reader(value)
            except RecordDamaged as error:
                errors.append(error)
        raise errors[0]

    return read


def _choice(kind: Any, choices: list[str], place: str) -> _Reader:
    def read(value: Any) -> Any:
        if value not in choices:
            raise _damaged(place, value, ", ".join(choices))
        return value if kind is Literal else kind(value)

    return read


def _list(reader: _Reader, place: str) -> _Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise _damaged(place, value, "a list")
        return tuple(map(reader, value))

    return read


def _object(kind: Any, place: str) -> _Reader:
    reader = _reader(kind, place)
    is_plain = kind in _PLAIN

    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _damaged(place, value, "an object")
        if is_plain:  # as most are: there are many objects of this kind, and all are floats
            for item in value.values():
                if type(item) is not kind:
                    reader(item)
            return value
        return {key: reader(item) for key, item in value.items()}

    return read


def _damaged(place: str, value: Any, expected: str) -> RecordDamaged:
    return RecordDamaged(place, expected=expected, problem=f"got {value!r:.100}")
