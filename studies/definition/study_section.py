"""The section ``[study]``: how to search.

pydantic validates it against the dataclasses below; its findings are retold in the project's own
form: key, value received, what is accepted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from nets.errors import InputError
from studies.definition import pruners, samplers

Direction = Literal["maximize", "minimize"]

_METRIC = "val_accuracy"


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Stop the study when its best value has not improved by `min_delta` for `patience` trials."""

    patience: Annotated[int, Field(ge=1)]
    min_delta: Annotated[float, Field(ge=0)] = 0.0


@dataclass(frozen=True, kw_only=True)
class StudySection:
    """The section ``[study]``."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    trials: Annotated[int, Field(ge=1)] = 20
    window: Annotated[int, Field(ge=1)] = 8
    """How many trials may be open at once; the result depends on it, and not on the workers."""
    metric: str = _METRIC
    direction: Direction
    """Follows from the metric where it is left out: see `natural_direction`."""
    sampler: Annotated[samplers.Sampler, Field(discriminator="name")] = field(
        default_factory=samplers.TPE
    )
    pruner: Annotated[pruners.Pruner, Field(discriminator="name")] = field(
        default_factory=pruners.Keep
    )
    stop: Stop | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    first: tuple[dict[str, Any], ...] = ()
    """Values of trials 0, 1, ...; what a table leaves out is sampled."""
    warm_start: str | None = None
    """Name of a study in the same store whose finished trials the sampler knows from the start."""
    objective: str = "nets.objective:objective"
    settings: str = "nets.settings:Settings"
    storage: str | None = None
    """URL of Optuna's storage; default is optuna.db in the store."""
    portable: bool = False
    """Pin the kernel of the BLAS, so that results are equal on machines that differ."""


def natural_direction(metric: str) -> Direction:
    """Return in which direction a metric is better: losses and errors fall, all else rises.

    >>> natural_direction("val_loss"), natural_direction("error"), natural_direction("val_accuracy")
    ('minimize', 'minimize', 'maximize')
    """
    return "minimize" if metric.lower().endswith(("loss", "error")) else "maximize"


def read_section(raw: dict[str, Any]) -> StudySection:
    """Return the section that parsed values describe; raises InputError."""
    raw = {"direction": natural_direction(str(raw.get("metric", _METRIC))), **raw}
    try:
        # JSON, because only there does strictness mean "no text for a number" and still allow a
        # table for a dataclass. TOML knows dates, JSON does not: they become texts.
        return _STUDY.validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(_sentence(first, raw)) from None


def _strict(kind: type[Any]) -> None:
    """Have pydantic refuse unknown keys and convert nothing for one of our dataclasses."""
    kind.__pydantic_config__ = ConfigDict(extra="forbid")


for _kind in [
    StudySection, Stop, *samplers.Sampler.__args__, *pruners.Pruner.__args__,
]:  # fmt: skip
    _strict(_kind)
_STUDY = TypeAdapter(StudySection)


def _sentence(problem: Any, raw: Mapping[str, Any]) -> str:
    """Turn one of pydantic's problems into key, value received and what is accepted."""
    key = ".".join(["study", *_keys(problem["loc"])])
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "missing":
        return f"{key}: missing; accepted is a value for it"
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        owner = _owner(problem["loc"])
        accepted = ", ".join(item.name for item in fields(owner))
        return f"{key}: unknown; accepted are {accepted}"
    if kind == "union_tag_invalid":
        names = context["expected_tags"].replace("'", "")
        return f"{key}.name: got {context['tag']!r}, accepted are {names}"
    if kind == "union_tag_not_found":
        return f"{key}: got {problem['input']!r}, accepted is a table with a name"
    if kind == "string_pattern_mismatch":
        return f"{key}: got {problem['input']!r}, accepted are letters, digits, '.', '_' and '-'"
    if kind in ("dict_type", "dataclass_type", "model_attributes_type"):
        return f"{key}: got {problem['input']!r}, accepted is {_table(key, problem['input'])}"
    rule = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    for theirs, ours in _WORDS.items():
        rule = rule.replace(theirs, ours)
    return f"{key}: got {problem['input']!r}, accepted is {rule}"


def _table(key: str, received: Any) -> str:
    """Say what a table looks like that should stand in place of something else."""
    kinds = {"sampler": samplers.Sampler, "pruner": pruners.Pruner, "wrapped": pruners.Wrapped}
    last = key.rpartition(".")[2]
    if last not in kinds:
        return "a table such as { patience = 20 }" if last == "stop" else "a table"
    names = [kind.__dataclass_fields__["name"].default for kind in get_args(kinds[last])]
    if received in names:
        return f'{{ name = "{received}" }}'
    return f'a table such as {{ name = "{names[1]}" }}'


_WORDS = {
    "a valid string": "a text",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
    "a valid array": "a list",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
}
"""pydantic's words for what is accepted, and ours."""


def _keys(location: tuple[Any, ...]) -> list[str]:
    """Return the keys of the file that lead to a problem.

    The place of a table that is told from others by its name carries that name, which is no key.

    >>> _keys(("pruner", "percentile", "percentile"))
    ['pruner', 'percentile']
    """
    keys: list[str] = []
    named = False
    for part in location:
        if named:
            named = False
            continue
        keys.append(str(part))
        named = part in ("sampler", "pruner", "wrapped")
    return keys


def _owner(location: tuple[Any, ...]) -> type[Any]:
    """Return the dataclass in which a location's last key would have to be."""
    if location[0] == "stop":
        return Stop
    kinds = {
        (key, kind.__dataclass_fields__["name"].default): kind
        for key, union in (("sampler", samplers.Sampler), ("pruner", pruners.Pruner))
        for kind in union.__args__
    }
    tags = [part for part in location[1:-1] if isinstance(part, str)]
    return kinds.get((location[0], tags[-1]), StudySection) if tags else StudySection
