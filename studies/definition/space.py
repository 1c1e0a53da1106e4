"""The space of a study: which settings are searched, between what, and when.

A space is read once from the study file, checked against the fields of the settings class, and
from then on is a plain value: it gives Optuna's distributions, asks a trial for its parameters in
file order, and turns them into settings.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from nets.errors import InputError
from studies.definition.choices import decoded, encoded

_KEYS = {"low", "high", "log", "step", "choices", "when"}


@dataclass(frozen=True)
class Condition:
    """A parameter exists only where another one has one of these values."""

    parameter: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Parameter:
    """One searched setting: its distribution, and the condition under which it exists."""

    name: str
    distribution: BaseDistribution
    when: Condition | None = None

    def active(self, chosen: Mapping[str, Any]) -> bool:
        """Tell whether the parameter exists beside the values `chosen` before it."""
        return self.when is None or chosen.get(self.when.parameter) in self.when.values

    def contains(self, value: Any) -> bool:
        """Tell whether the parameter can have a value."""
        try:
            internal = self.distribution.to_internal_repr(value)
        except (ValueError, TypeError):
            return False
        return self.distribution._contains(internal)

    def place(self, value: Any) -> float:
        """Return where a value lies in the range, from 0 to 1, on the scale it is searched on.

        Choices stand at equal distances, each in the middle of its share.
        """
        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return (choices.index(value) + 0.5) / len(choices)
            case FloatDistribution(low=low, high=high) | IntDistribution(low=low, high=high):
                scale = math.log if self.distribution.log else float
                return (scale(value) - scale(low)) / (scale(high) - scale(low) or 1.0)
        raise TypeError(f"unknown distribution {self.distribution}")

    @property
    def points(self) -> list[Any] | None:
        """All values the parameter can take, or None for a continuous one."""
        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return list(choices)
            case IntDistribution(low=low, high=high, step=step):
                return list(range(low, high + 1, step))
            case FloatDistribution(low=low, high=high, step=step) if step is not None:
                # In decimals, as written: 0.1 * 3 is not 0.3.
                start, stride = Decimal(str(low)), Decimal(str(step))
                steps = int((Decimal(str(high)) - start) / stride)
                return [float(start + i * stride) for i in range(steps + 1)]
        return None


@dataclass(frozen=True)
class Space:
    """All searched settings, in the order of the study file."""

    parameters: tuple[Parameter, ...]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distribution of each parameter by name."""
        return {parameter.name: parameter.distribution for parameter in self.parameters}

    def ask(self, trial: optuna.Trial) -> dict[str, Any]:
        """Ask a trial for its parameters, in file order, leaving out what does not apply."""
        chosen: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.active(chosen):
                value = trial._suggest(parameter.name, parameter.distribution)
                chosen[parameter.name] = value
        return chosen

    def settings(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Turn parameters as Optuna keeps them into values of settings."""
        return {name: decoded(value) for name, value in chosen.items()}


def read_space(tables: Mapping[str, Any], settings: type[Any]) -> Space:
    """Return the space of the ``[space]`` section of a study file.

    Raises InputError with the key's full name, the value received and what is accepted.
    """
    hints = get_type_hints(settings)
    names = [item.name for item in fields(settings)]
    parameters: list[Parameter] = []
    for name, table in tables.items():
        if name not in names or name in ("seed", "split_seed"):
            accepted = [n for n in names if n not in ("seed", "split_seed")]
            raise InputError(f"space.{name}: unknown; accepted are {', '.join(accepted)}")
        if not isinstance(table, dict):
            raise InputError(
                f"space.{name}: got {table!r}, accepted is a table such as "
                "{ low = 0.0, high = 0.5 } or { choices = [...] }"
            )
        if unknown := sorted(set(table) - _KEYS):
            raise InputError(
                f"space.{name}.{unknown[0]}: unknown; accepted are {', '.join(sorted(_KEYS))}"
            )
        distribution = _distribution(name, table, hints[name])
        parameters.append(Parameter(name, distribution, _condition(name, table, parameters)))
    return Space(tuple(parameters))


def _distribution(name: str, table: Mapping[str, Any], hint: Any) -> BaseDistribution:
    """Return the distribution that one entry of the space describes."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if "choices" in table:
        extra = sorted(set(table) & {"low", "high", "log", "step"})
        choices = table["choices"]
        if extra or not isinstance(choices, list) or not choices:
            received = f"{extra[0]} beside choices" if extra else f"{choices!r}"
            raise InputError(
                f"space.{name}: got {received}, accepted is a list of at least one choice"
            )
        for choice in choices:
            _check_choice(name, choice)
        kept = [encoded(choice) for choice in choices]
        if any(one == other for i, one in enumerate(kept) for other in kept[:i]):
            raise InputError(f"space.{name}.choices: got {choices!r}, accepted are distinct values")
        return CategoricalDistribution(kept)
    if not ({int, float} & set(kinds)) or bool in kinds:
        options = (
            f" from {', '.join(map(str, get_args(hint)))}" if get_origin(hint) is Literal else ""
        )
        raise InputError(
            f"space.{name}: got {dict(table)!r}, accepted is {{ choices = [...] }}{options}"
        )
    for key in ("low", "high"):
        if key not in table:
            raise InputError(f"space.{name}.{key}: missing; accepted is a number")
    whole = float not in kinds
    for key in ("low", "high", "step"):
        value = table.get(key)
        if key == "step" and value is None:
            continue
        good = type(value) is int or (type(value) is float and not whole)
        # No NaN, no infinity, no whole number too large for the floats that samplers compute with.
        limit = 2**53 if type(value) is int else sys.float_info.max
        if value is None or not good or not abs(value) <= limit:
            kind = "whole number of at most 2**53" if whole else "finite number"
            raise InputError(f"space.{name}.{key}: got {value!r}, accepted is a {kind}")
    low, high, step = table["low"], table["high"], table.get("step")
    log = table.get("log", False)
    if type(log) is not bool:
        raise InputError(f"space.{name}.log: got {log!r}, accepted is true or false")
    if not low < high:
        raise InputError(
            f"space.{name}: got low = {low!r} and high = {high!r}, accepted is low below high"
        )
    if log and low <= 0:
        raise InputError(f"space.{name}.low: got {low!r}, accepted with log = true is above 0")
    if step is not None and (log or not 0 < step <= high - low):
        rule = "no step with log = true" if log else f"above 0, at most {high - low!r}"
        raise InputError(f"space.{name}.step: got {step!r}, accepted is {rule}")
    if whole:
        step = 1 if step is None else step
        # Studies stored before `check_steps` may have another `high`: Optuna would round it down
        # with a warning; here both say the same.
        return IntDistribution(low, high - (high - low) % step, log=log, step=step)
    if step is not None:
        # In decimals, as written: Optuna would call 0.1 no divisor of 0.3, and warn.
        start, stride = Decimal(str(low)), Decimal(str(step))
        steps = (Decimal(str(high)) - start) // stride
        return FloatDistribution(float(low), float(start + steps * stride), step=float(step))
    return FloatDistribution(float(low), float(high), log=log)


def check_steps(tables: Mapping[str, Any]) -> None:
    """Refuse ranges that their steps do not divide: the top would silently never be tried."""
    for name, table in tables.items():
        if "step" not in table:
            continue
        # In decimals, as written: 0.1 does not divide 0.3.
        low, high, step = (Decimal(str(table[key])) for key in ("low", "high", "step"))
        if (high - low) % step:
            below = low + (high - low) // step * step
            raise InputError(
                f"space.{name}.high: got {table['high']!r}, accepted is low = {table['low']!r} and "
                f"a whole number of steps of {table['step']!r}: the nearest are "
                f"{below.normalize():f} and {(below + step).normalize():f}"
            )


def _check_choice(name: str, choice: Any) -> None:
    """Refuse what neither Optuna nor JSON would give back as it was."""
    items = choice if isinstance(choice, list) else [choice]
    plain = all(isinstance(item, bool | int | float | str) for item in items)
    if not plain or (isinstance(choice, str) and choice.startswith("[")):
        raise InputError(
            f"space.{name}.choices: got {choice!r}, accepted are numbers, true, false, texts that "
            "do not begin with '[', and lists of these"
        )


def _condition(name: str, table: Mapping[str, Any], before: list[Parameter]) -> Condition | None:
    """Return the ``when`` of an entry: one level, on a parameter that stands before it."""
    if "when" not in table:
        return None
    when = table["when"]
    named = {p.name: p for p in before}
    if not isinstance(when, dict) or len(when) != 1:
        raise InputError(
            f"space.{name}.when: got {when!r}, accepted is one condition such as "
            '{ optimizer = ["momentum", "nesterov"] }'
        )
    ((other, values),) = when.items()
    values = values if isinstance(values, list) else [values]
    if other not in named:
        raise InputError(
            f"space.{name}.when.{other}: unknown; accepted is a parameter that stands before it "
            f"in [space]: {', '.join(named) or 'there is none'}"
        )
    if named[other].when is not None:
        raise InputError(
            f"space.{name}.when.{other}: {other} has a condition itself; accepted is one level"
        )
    kept = tuple(encoded(value) for value in values)
    for value in kept:
        if not named[other].contains(value):
            raise InputError(
                f"space.{name}.when.{other}: got {decoded(value)!r}, accepted is a value that "
                f"{other} can have: {described(named[other].distribution)}"
            )
    return Condition(other, kept)


def described(distribution: BaseDistribution) -> str:
    """Say in words which values a distribution has."""
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(repr(decoded(choice)) for choice in distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    whole = isinstance(distribution, IntDistribution)
    coarse = distribution.step is not None and not (whole and distribution.step == 1)
    steps = f" in steps of {distribution.step!r}" if coarse else ""
    return f"{distribution.low!r} to {distribution.high!r}{steps}"


def check_first(first: Mapping[str, Any], space: Space, where: str) -> dict[str, Any]:
    """Check the values of a fixed first trial and return them as Optuna keeps them."""
    named = {p.name: p for p in space.parameters}
    chosen: dict[str, Any] = {}
    for name, value in first.items():
        if not named:
            raise InputError(
                f"{where}.{name}: got {value!r}, but nothing is searched; accepted are settings "
                "that [space] names"
            )
        if name not in named:
            raise InputError(f"{where}.{name}: unknown; accepted are {', '.join(named)}")
        distribution = named[name].distribution
        kept = encoded(value)
        if isinstance(distribution, FloatDistribution) and type(kept) is int:
            kept = float(kept)
        if not named[name].contains(kept):
            raise InputError(
                f"{where}.{name}: got {value!r}, accepted is {described(distribution)}"
            )
        chosen[name] = kept
    for name in chosen:
        when = named[name].when
        if when is not None and when.parameter in chosen and not named[name].active(chosen):
            raise InputError(
                f"{where}.{name}: got {decoded(chosen[name])!r} beside {when.parameter} = "
                f"{decoded(chosen[when.parameter])!r}, accepted beside it is no {name}"
            )
    return chosen
