"""The search space of a study: which settings are searched, in which ranges, and when.

A space provides Optuna's distributions, asks a trial for its parameters in the order of the study
file, and converts them to settings. `space_section` reads it.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from studies.definition import optuna_internals
from studies.definition.choices import decoded
from tracking.records import Values

Distribution = CategoricalDistribution | FloatDistribution | IntDistribution


@dataclass(frozen=True)
class Condition:
    """A parameter exists only where another parameter has one of these values."""

    parameter: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Parameter:
    """One searched setting: its distribution, and the condition under which it exists."""

    name: str
    distribution: Distribution
    when: Condition | None = None

    def active(self, chosen: Values) -> bool:
        """Return whether the parameter exists, given the values `chosen` before it."""
        return self.when is None or chosen.get(self.when.parameter) in self.when.values

    def contains(self, value: Any) -> bool:
        """Return whether the parameter can have a value."""
        return optuna_internals.contains(self.distribution, value)

    def rounded(self, value: Any) -> Any:
        """Return the decimal that a value of a range with steps stands for: 0.3, not 0.1 * 3.

        A value of anything else, or outside the range, is returned unchanged.
        """
        match self.distribution:
            case FloatDistribution(low=low, step=step) if step is not None and self.contains(value):
                return _decimal(low, step, round((value - low) / step))
        return value

    def place(self, value: Any) -> float:
        """Return the position of a value in the range, from 0 to 1, on the scale of the search.

        Choices are at equal distances, each in the middle of its share.
        """
        if isinstance(self.distribution, CategoricalDistribution):
            choices = self.distribution.choices
            return (choices.index(value) + 0.5) / len(choices)
        scale = math.log if self.distribution.log else float
        low, high = scale(self.distribution.low), scale(self.distribution.high)
        return (scale(value) - low) / (high - low or 1.0)

    @property
    def count(self) -> int | None:
        """The number of values the parameter can take, or None for a continuous one."""
        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return len(choices)
            case IntDistribution(low=low, high=high, step=step):
                return (high - low) // step + 1
            case FloatDistribution(low=low, high=high, step=step) if step is not None:
                return round((high - low) / step) + 1
        return None

    @property
    def points(self) -> list[Any] | None:
        """All values the parameter can take, which may be many, or None for a continuous one."""
        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return list(choices)
            case IntDistribution(low=low, high=high, step=step):
                return list(range(low, high + 1, step))
            case FloatDistribution(low=low, step=step) if step is not None:
                return [_decimal(low, step, i) for i in range(self.count or 0)]
        return None

    @property
    def ends(self) -> list[Any]:
        """All choices, or the lowest and the highest value of a range."""
        if isinstance(self.distribution, CategoricalDistribution):
            return list(self.distribution.choices)
        return [self.distribution.low, self.distribution.high]

    @property
    def description(self) -> str:
        """The values that the parameter can have, in words."""
        if isinstance(self.distribution, CategoricalDistribution):
            return ", ".join(repr(decoded(choice)) for choice in self.ends)
        ends, step = " to ".join(map(repr, self.ends)), self.distribution.step
        has_steps = isinstance(step, float) or step not in (None, 1)
        return f"{ends} in steps of {step!r}" if has_steps else ends


def _decimal(low: float, step: float, count: int) -> float:
    """Return the end of `count` steps from `low`, in decimals as written."""
    return float(Decimal(str(low)) + count * Decimal(str(step)))


@dataclass(frozen=True)
class Space:
    """All searched settings, in the order of the study file."""

    parameters: tuple[Parameter, ...]

    @property
    def by_name(self) -> dict[str, Parameter]:
        """The parameters by name."""
        return {parameter.name: parameter for parameter in self.parameters}

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distribution of each parameter by name."""
        return {parameter.name: parameter.distribution for parameter in self.parameters}

    def ask(self, trial: optuna.Trial) -> Values:
        """Ask a trial for its parameters, in file order, without those whose condition fails.

        The trial has the rounded values too, so that the sampler learns from what was trained.
        """
        chosen: Values = {}
        for parameter in self.parameters:
            if parameter.active(chosen):
                name = parameter.name
                value = optuna_internals.suggest(trial, name, parameter.distribution)
                chosen[name] = parameter.rounded(value)
                if chosen[name] != value:
                    optuna_internals.set_parameter(trial, name, chosen[name])
        return chosen

    def rounded(self, parameters: Values) -> Values:
        """Return parameters with the values of ranges with steps as decimals."""
        known = self.by_name
        return {
            name: known[name].rounded(value) if name in known else value
            for name, value in parameters.items()
        }

    def trial(self, parameters: Values, state: TrialState, **content: Any) -> FrozenTrial:
        """Return a trial of Optuna's with these parameters; `content` is the rest of it."""
        known = self.distributions
        distributions = {name: known[name] for name in parameters}
        return optuna.trial.create_trial(
            state=state, params=parameters, distributions=distributions, **content
        )

    def settings(self, chosen: Values) -> Values:
        """Convert parameters as Optuna stores them to values of settings."""
        return {name: decoded(value) for name, value in chosen.items()}
