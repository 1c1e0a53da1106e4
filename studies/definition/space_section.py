"""The section ``[space]`` of a study file: what is searched, and the first trials' values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from types import UnionType
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Field

from nets.errors import InputError, did_you_mean, one_of
from studies.definition.choices import decoded, encoded
from studies.definition.space import Condition, Distribution, Parameter, Space
from studies.definition.validation import forbid_unknown_keys, unknown, validate
from tracking.records import Values

Number = TypeVar("Number", int, float)

# Samplers compute with floats, which hold no larger integer exactly.
_Integer = Annotated[int, Field(ge=-(2**53), le=2**53)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Range(Generic[Number]):
    """An entry of ``[space]`` that searches a number between two others, both included."""

    low: Number
    high: Number
    log: bool = False
    step: Number | None = None
    when: Values | None = None

    def __post_init__(self) -> None:
        """Check what no single key shows."""
        if not self.low < self.high:
            received = f"got low = {self.low!r} and high = {self.high!r}"
            raise InputError(problem=received, expected="low below high")
        if self.log and self.low <= 0:
            raise InputError("low", self.low, "a number above 0, because log = true")
        if self.log and self.step is not None:
            raise InputError("step", self.step, "no step, because log = true")
        # In decimals, as written: 0.009 - 0.002 is less than 0.007 otherwise.
        most = type(self.high)(Decimal(str(self.high)) - Decimal(str(self.low)))
        if self.step is not None and not 0 < self.step <= most:
            raise InputError("step", self.step, f"a number above 0 and at most {most!r}")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """An entry of ``[space]`` that searches a list of values."""

    choices: Annotated[list[Any], Field(min_length=1)]
    when: Values | None = None


forbid_unknown_keys(Range, Choices)
KEYS = tuple(dict.fromkeys(item.name for kind in (Range, Choices) for item in fields(kind)))
"""The keys of an entry."""
_SEEDS = ("seed", "split_seed")
"""Settings that follow from the study's seed and cannot be searched."""


def types_of(settings: type[Any]) -> dict[str, Any]:
    """Return the type of each field of a settings class that can be searched."""
    hints = get_type_hints(settings)
    return {item.name: hints[item.name] for item in fields(settings) if item.name not in _SEEDS}


def types_in(tables: Values, trials: Sequence[Values]) -> dict[str, Any]:
    """Return the type of each searched setting as its range and the values of trials show it.

    A float may be given as an integer in a range, but a trial's value is of the setting's type.
    """
    found: dict[str, Any] = {}
    for name, table in tables.items():
        values = [table.get(key) for key in KEYS] if isinstance(table, dict) else []
        values += [trial.get(name) for trial in trials]
        if name.isidentifier():
            found[name] = float if any(isinstance(value, float) for value in values) else int
    return found


def read_space(tables: Values, types: Mapping[str, Any], *, whole_steps: bool = True) -> Space:
    """Return the space that the ``[space]`` section of a study file describes.

    `types` are those of the settings that can be searched, by name.

    With `whole_steps` a range that its step does not divide is rejected, because its high end would
    never be tried. Studies stored by earlier versions may have one; it ends at the last whole step.

    Raises InputError with the key's full name, the value received and what is expected.
    """
    parameters: dict[str, Parameter] = {}
    for name, table in tables.items():
        if name not in types:
            raise unknown(f"space.{name}", "setting", types)
        if not isinstance(table, dict):
            raise InputError(
                f"space.{name}",
                table,
                "a table such as { low = 0.0, high = 0.5 } or { choices = [...] }",
            )
        if "choices" in table:
            distribution: Distribution = _choices(name, table)
        else:
            distribution = _range(name, table, types[name], whole_steps)
        condition = _condition(f"space.{name}.when", table.get("when"), parameters)
        parameters[name] = Parameter(name, distribution, condition)
    return Space(tuple(parameters.values()))


def _choices(name: str, table: Values) -> CategoricalDistribution:
    """Return the distribution of an entry with choices."""
    validate(Choices, table, f"space.{name}", {"": ("choices", "when")})
    choices = table["choices"]
    for choice in choices:
        _check_choice(f"space.{name}.choices", choice)
    kept = [encoded(choice) for choice in choices]
    if any(one == other for i, one in enumerate(kept) for other in kept[:i]):
        raise InputError(f"space.{name}.choices", choices, "distinct values")
    return CategoricalDistribution(kept)


def _check_choice(key: str, choice: Any) -> None:
    """Reject a choice that Optuna or JSON would not return unchanged."""
    items = choice if isinstance(choice, list) else [choice]
    plain = all(isinstance(item, bool | int | float | str) for item in items)
    if not plain or (isinstance(choice, str) and choice.startswith("[")):
        raise InputError(
            key,
            choice,
            "numbers, true, false, strings that do not begin with '[', and lists of these",
        )


def _range(
    name: str, table: Values, hint: Any, whole_steps: bool
) -> FloatDistribution | IntDistribution:
    """Return the distribution of an entry with a range, of integers or of floats by the setting."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if Any in kinds:  # as it is written
        bounds = [table.get(key) for key in ("low", "high", "step")]
        kinds = (float if any(isinstance(bound, float) for bound in bounds) else int,)
    if not ({int, float} & set(kinds)) or bool in kinds:
        literals = f" from {one_of(get_args(hint))}" if get_origin(hint) is Literal else ""
        raise InputError(f"space.{name}", dict(table), f"{{ choices = [...] }}{literals}")
    number = _Finite if float in kinds else _Integer
    kind = Range[number]  # type: ignore[valid-type]
    found: Range[Any] = validate(kind, table, f"space.{name}", {"": KEYS})
    low, high, step = found.low, found.high, found.step
    if step is not None:
        finest = max(abs(low), abs(high)) / (10**7 if whole_steps else 10**15)
        if float in kinds and step < finest:
            # Rounding errors would hide which values are whole steps.
            raise InputError(f"space.{name}.step", step, f"at least {finest!r}", "or remove it")
        # In decimals, as written: Optuna would call 0.1 no divisor of 0.3, and warn.
        start, stride, end = (Decimal(str(table[key])) for key in ("low", "step", "high"))
        last = start + (end - start) // stride * stride
        if whole_steps and last != end:
            raise InputError(
                f"space.{name}.high",
                table["high"],
                f"low = {table['low']!r} plus a whole number of steps of {table['step']!r}",
                f"the nearest are {last.normalize():f} and {(last + stride).normalize():f}",
            )
        high = type(high)(last)
    if float in kinds:
        return FloatDistribution(low, high, log=found.log, step=step)
    return IntDistribution(low, high, log=found.log, step=1 if step is None else step)


def _condition(key: str, when: Any, earlier: Mapping[str, Parameter]) -> Condition | None:
    """Return the ``when`` of an entry: one level, on a parameter that precedes it in the file."""
    if when is None:
        return None
    if len(when) != 1:
        raise InputError(
            key, when, 'one condition such as { optimizer = ["momentum", "nesterov"] }'
        )
    ((other, values),) = when.items()
    if other not in earlier:
        raise InputError(
            f"{key}.{other}",
            problem="unknown parameter",
            expected=f"one that precedes it in [space]: {one_of(earlier) or 'there is none'}",
            hint=did_you_mean(other, earlier),
        )
    if earlier[other].when is not None:
        raise InputError(
            f"{key}.{other}",
            problem=f"{other} has a condition itself",
            expected="a parameter without a condition",
        )
    kept = tuple(encoded(value) for value in (values if isinstance(values, list) else [values]))
    for value in kept:
        if not earlier[other].contains(value):
            raise InputError(
                f"{key}.{other}",
                decoded(value),
                f"a value of {other}: {earlier[other].description}",
            )
    return Condition(other, tuple(earlier[other].rounded(value) for value in kept))


def check_first(first: Values, space: Space, where: str) -> Values:
    """Check the given values of a first trial and return them as Optuna stores them."""
    chosen: Values = {}
    for name, value in first.items():
        if not space.parameters:
            raise InputError(
                f"{where}.{name}", value, "no values, because [space] names no settings"
            )
        if name not in space.by_name:
            raise unknown(f"{where}.{name}", "parameter", space.by_name)
        parameter = space.by_name[name]
        kept = encoded(value)
        if isinstance(parameter.distribution, FloatDistribution) and type(kept) is int:
            kept = float(kept)
        if not parameter.contains(kept):
            raise InputError(f"{where}.{name}", value, parameter.description)
        if isinstance(parameter.distribution, IntDistribution):
            kept = int(kept)
        chosen[name] = kept
    as_asked = space.rounded(chosen)
    for name in chosen:
        when = space.by_name[name].when
        if (
            when is not None
            and when.parameter in chosen
            and not space.by_name[name].active(as_asked)
        ):
            other = decoded(chosen[when.parameter])
            raise InputError(
                f"{where}.{name}",
                problem=f"got {decoded(chosen[name])!r} with {when.parameter} = {other!r}",
                expected=f"no {name}",
                hint=f"its `when` excludes that {when.parameter}",
            )
    return chosen
