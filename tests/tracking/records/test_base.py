"""What every record does: unknown keys, None, nested records, damage."""

import json
import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

import pytest

from tracking.records import Record, RecordDamaged, parsed, to_json


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Point(Record):
    x: float
    y: float | None = None


@dataclass(frozen=True)
class Shape(Record):
    name: str
    colour: Colour | None = None
    origin: Point | str | None = None
    points: tuple[Point, ...] | None = None
    pairs: tuple[tuple[Any, ...], ...] = ()
    labels: dict[str, str] | None = None
    corner_count: int | None = field(default=None, metadata={"key": "corners"})
    cached: int = field(default=0, metadata={"stored": False})


@dataclass(frozen=True)
class Whole(Point):
    writes_none: ClassVar[bool] = True


def test_nested_records_survive_a_round_trip():
    values = {
        "name": "triangle",
        "colour": "red",
        "origin": {"x": 0.0},
        "points": [{"x": 1.0, "y": 2.0}, {"x": 3.0}],
        "pairs": [[1, 0.5], [2, None]],
        "labels": {"a": "b"},
        "corners": 3,
    }
    shape = Shape.from_json(values)
    assert shape == Shape(
        name="triangle",
        colour=Colour.RED,
        origin=Point(0.0),
        points=(Point(1.0, 2.0), Point(3.0)),
        pairs=((1, 0.5), (2, None)),
        labels={"a": "b"},
        corner_count=3,
    )
    assert json.dumps(shape.to_json()) == json.dumps(values)


def test_unknown_keys_are_kept_at_every_level_and_written_last():
    text = (
        '{"name": "s", "points": [{"x": 1, "z": null}], "pairs": [], "later": {"deep": [1]}, '
        '"new": null}'
    )
    shape = Shape.from_json(json.loads(text))
    assert shape.extra == {"later": {"deep": [1]}, "new": None}
    assert shape.points[0].extra == {"z": None}
    assert json.dumps(shape.to_json()) == text
    moved = Shape.from_json(json.loads('{"new": 1, "name": "s"}'))
    assert json.dumps(moved.to_json()) == '{"name": "s", "pairs": [], "new": 1}'


def test_records_with_other_unknown_keys_are_not_equal():
    assert Point(1.0, extra={"z": 2}) != Point(1.0)


@pytest.mark.parametrize(
    ("record", "values"),
    [
        (Point(1.0), {"x": 1.0}),
        (Point(1.0, 0.0), {"x": 1.0, "y": 0.0}),
        (Shape("s", labels={}, points=()), {"name": "s", "points": [], "pairs": [], "labels": {}}),
        (Whole(1.0), {"x": 1.0, "y": None}),
    ],
)
def test_none_is_left_out_unless_the_class_writes_it(record, values):
    assert record.to_json() == values
    assert type(record).from_json(values) == record


def test_null_is_read_as_none():
    assert Point.from_json({"x": 1.0, "y": None}) == Point(1.0)
    assert Shape.from_json({"name": "s", "points": None, "origin": None}) == Shape("s")


def test_a_string_may_take_the_place_of_a_record():
    shape = Shape.from_json({"name": "s", "origin": "unknown"})
    assert shape.origin == "unknown"
    assert shape.to_json()["origin"] == "unknown"


def test_a_field_that_is_not_stored_is_no_key():
    assert "cached" not in Shape("s", cached=5).to_json()
    read = Shape.from_json({"name": "s", "cached": 7})
    assert (read.cached, read.extra) == (0, {"cached": 7})


def test_to_json_converts_what_is_inside_lists_and_mappings():
    value = {"a": [Point(1.0), (2, Whole(3.0))], "b": "text", "c": None}
    assert to_json(value) == {"a": [{"x": 1.0}, [2, {"x": 3.0, "y": None}]], "b": "text", "c": None}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "Shape: got None, expected an object"),
        ([1], "Shape: got [1], expected an object"),
        ("s", "Shape: got 's', expected an object"),
        ({}, "Shape.name: missing"),
        ({"name": "s", "points": 3}, "Shape.points: got 3, expected a list"),
        ({"name": "s", "points": {"x": 1}}, "Shape.points: got {'x': 1}, expected a list"),
        ({"name": "s", "points": [{"y": 1}]}, "Point.x: missing"),
        ({"name": "s", "points": [4]}, "Point: got 4, expected an object"),
        ({"name": "s", "origin": 4}, "Point: got 4, expected an object"),
        ({"name": "s", "pairs": [[1, 2], 3]}, "Shape.pairs: got 3, expected a list"),
        ({"name": "s", "pairs": None}, "Shape.pairs: got None, expected a list"),
        ({"name": "s", "labels": ["a"]}, "Shape.labels: got ['a'], expected an object"),
        ({"name": "s", "colour": "green"}, "Shape.colour: got 'green', expected red, blue"),
        ({"name": "s", "colour": ["red"]}, "Shape.colour: got ['red'], expected red, blue"),
        ({"name": 3}, "Shape.name: got 3, expected a string"),
        ({"name": None}, "Shape.name: got None, expected a string"),
        ({"name": "s", "corners": 1.0}, "Shape.corners: got 1.0, expected an integer"),
        ({"name": "s", "corners": True}, "Shape.corners: got True, expected an integer"),
        ({"name": "s", "corners": 2**63}, f"Shape.corners: got {2**63}, expected an integer"),
        ({"name": "s", "labels": {"a": 1}}, "Shape.labels: got 1, expected a string"),
        ({"name": "s", "points": [{"x": "1"}]}, "Point.x: got '1', expected a number"),
        ({"name": "s", "points": [{"x": False}]}, "Point.x: got False, expected a number"),
        ({"name": "s", "points": [{"x": 10**90}]}, f"Point.x: got {10**90}, expected a number"),
    ],
)
def test_a_damaged_value_is_rejected_with_its_place(values, message):
    with pytest.raises(RecordDamaged) as error:
        Shape.from_json(values)
    assert str(error.value) == message


def test_floats_may_be_any_number_and_integers_stay_integers():
    assert math.isnan(Point.from_json({"x": math.nan}).x)
    assert Point.from_json({"x": -math.inf}).x == -math.inf
    assert json.dumps(Point.from_json({"x": 1}).to_json()) == '{"x": 1}'


@pytest.mark.parametrize("text", ["{", "", None, "[" * 100_000, "1" * 10_000, b"\xff"])
def test_what_is_no_json_is_damage(text):
    with pytest.raises(RecordDamaged, match=r"^notes: is no valid JSON$"):
        parsed(text, "notes")


def test_a_long_damaged_value_is_cut_in_the_message():
    with pytest.raises(RecordDamaged) as error:
        Shape.from_json("x" * 10_000)
    assert len(str(error.value)) < 200
