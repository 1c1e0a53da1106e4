"""docs/study-files.md describes every key as the code does: type, range and default."""

import re
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from nets.data import DATASETS
from nets.settings import Settings
from studies.definition import pruners, samplers, space_section, study_file
from studies.definition.study_section import Stop, StudySection
from tracking.records import Direction

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "study-files.md").read_text("utf-8")
QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text("utf-8")

TYPES = {
    int: "integer", float: "number", str: "string", bool: "true or false",
    tuple[int, ...]: "list of integers", tuple[dict[str, object], ...]: "tables",
    Direction: "string",
}  # fmt: skip
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
SPECIAL = {
    ("study", "name"): ("letters, digits, `.`, `_`, `-`", "the file's name"),
    ("study", "metric"): ("what the objective reports", '`"val_accuracy"`'),
    ("study", "direction"): ('`"maximize"`, `"minimize"`', "by the metric"),
    ("study", "sampler"): ("see below", '`{ name = "tpe" }`'),
    ("study", "pruner"): ("see below", '`{ name = "none" }`'),
    ("study", "stop"): ("see below", "none"),
    ("study", "objective"): ("`package.module:function`", '`"nets.objective:objective"`'),
    ("study", "settings"): ("`package.module:Class`", "by the objective"),
    ("study", "test"): ("`package.module:function`", "none"),
    ("study", "warm_start"): ("a study of the store", "none"),
    ("study", "storage"): ("an SQLAlchemy URL", "none"),
    ("study", "memory"): ('such as `"4 GiB"`', "none"),
    ("study", "first"): ("values of [space]", "none"),
    ("data", "name"): (
        ", ".join(f'`"{name}"`' for name in DATASETS) + ", or your own",
        '`"digits"`',
    ),
    ("data", "split_seed"): ("at least 0", "the study's `seed`"),
    ("network", "hidden"): ("each at least 1", "by the architecture"),
    ("network", "filters"): ("each at least 1", "by the architecture"),
    ("patient", "wrapped"): ("any pruner but `patient`", "none"),
}
"""Values and defaults that no single annotation shows."""


def section_of(heading):
    """The part of the page under a heading, up to the next one of the same or a higher level."""
    level = heading.split()[0]
    found = re.search(
        rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", PAGE, re.M | re.S
    )
    assert found, heading
    return found[1]


def rows(heading):
    """The cells of the first table under a heading, without its head."""
    lines = re.findall(r"^\| (.*) \|$", section_of(heading).split("\n#")[0], re.M)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines[1:]]


def kind_and_range(hint):
    """Type and range of an annotation, as the page words them."""
    if get_origin(hint) in (Union, UnionType):
        one, *others = [h for h in get_args(hint) if h is not NoneType]
        return ("table", "") if others else kind_and_range(one)
    if get_origin(hint) is Annotated:
        base, *notes = get_args(hint)
        bounds = [
            f"{words} {getattr(rule, name):g}"
            for note in notes for rule in getattr(note, "metadata", [])
            for name, words in BOUNDS.items() if hasattr(rule, name)
        ]  # fmt: skip
        return kind_and_range(base)[0], ", ".join(bounds)
    if get_origin(hint) is Literal:
        return "string", ", ".join(f'`"{value}"`' for value in get_args(hint))
    if get_origin(hint) is tuple and dict in map(get_origin, get_args(hint)):
        return "list of tables", ""
    return TYPES.get(hint, "table"), ""


def default_of(item):
    if item.default is MISSING:
        return "required"
    if item.default is None:
        return "none"
    value = item.default
    if isinstance(value, str | bool):
        return f"`{value!r}`".replace("'", '"').replace("T", "t").replace("F", "f")
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def of_dataclass(kind, owner):
    """Key, type, range and default of each field of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for item in fields(kind):
        type_, range_ = kind_and_range(hints[item.name])
        special = SPECIAL.get((owner, item.name))
        range_, default = special or (range_, default_of(item))
        found.append((f"`{item.name}`", type_, range_, default))
    return found


def of_settings():
    """The same for the fields of Settings, by section."""
    sections = {}
    for item in fields(Settings):
        if item.name == "seed":
            continue
        name, key = item.metadata["section"], item.metadata.get("key", item.name)
        type_, range_ = kind_and_range(get_type_hints(Settings)[item.name])
        expected = item.metadata.get("expected", range_)
        expected = re.sub("^(of|a list of integers,) ", "", expected)
        range_, default = SPECIAL.get((name, key)) or (expected, default_of(item))
        sections.setdefault(name, []).append((f"`{key}`", type_, range_, default))
    return sections


def first_cells(heading, count=4):
    found = rows(heading)
    assert all(len(row) == count + 1 and row[count] for row in found), (
        "each has one line of meaning"
    )
    return [tuple(row[:count]) for row in found]


def test_every_key_of_the_study_matches_the_code():
    assert first_cells("## [study]") == of_dataclass(StudySection, "study")
    assert first_cells("### stop") == of_dataclass(Stop, "stop")


@pytest.mark.parametrize(
    ("heading", "union"), [("### sampler", samplers.Sampler), ("### pruner", pruners.Pruner)]
)
def test_every_option_of_samplers_and_pruners_matches_the_code(heading, union):
    expected = []
    for kind in get_args(union):
        (_, *options) = of_dataclass(kind, kind.__dataclass_fields__["name"].default)
        name = f"`{kind.__dataclass_fields__['name'].default}`"
        expected += [(name, *option) for option in options] or [(name, "", "", "", "")]
    assert first_cells(heading, 5) == expected


@pytest.mark.parametrize("name", of_settings())
def test_every_setting_matches_the_code(name):
    assert first_cells(f"## [{name}]") == of_settings()[name]


def test_every_section_of_the_page_exists():
    described = re.findall(r"^## \[(\w+)\]$", PAGE, re.M)
    assert described == ["study", *of_settings(), "space"]


def test_settings_that_depend_on_another_one_say_so():
    for item in fields(Settings):
        for values in item.metadata.get("only_with", {}).values():
            (row,) = [
                row for row in rows(f"## [{item.metadata['section']}]")
                if row[0] == f"`{item.name}`"
            ]  # fmt: skip
            assert re.findall(r"`(\w+)`", row[4].partition("only with")[2]) == list(values)


def test_every_key_of_a_range_is_described():
    assert {row[0].strip("`") for row in rows("## [space]")} == set(space_section.KEYS)


EXAMPLES = re.findall(r"^```toml\n(.*?)^```", PAGE + QUICKSTART, re.M | re.S)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_study_file_of_the_page_and_of_the_quickstart_is_accepted(number, tmp_path):
    path = tmp_path / "example.toml"
    path.write_text(EXAMPLES[number])
    assert study_file.read(path).space.parameters


def test_the_page_shows_every_way_to_search():
    text = "".join(EXAMPLES)
    for key in space_section.KEYS:
        assert re.search(rf"\b{key} = ", text), key
