"""The pruners a study file can name, each with the options it takes.

A pruner decides in the worker, after each epoch, from the trial's own values and from those
finished trials that the order of the search makes visible to it. It may store values in the trial's
attributes.
"""

import warnings
from dataclasses import dataclass
from typing import Annotated, Literal

import optuna
from optuna.exceptions import ExperimentalWarning
from pydantic import Field

from nets.errors import InputError

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Factor = Annotated[int, Field(ge=2)]


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Never prunes."""

    name: Literal["none"] = "none"

    def build(self, epochs: int) -> optuna.pruners.BasePruner:
        """Return Optuna's pruner for trials of `epochs` epochs."""
        return optuna.pruners.NopPruner()


@dataclass(frozen=True, kw_only=True)
class Median:
    """Prunes a trial whose best value so far is worse than the others' median at that epoch."""

    name: Literal["median"] = "median"
    startup_trials: Count = 5
    warmup_epochs: Count = 0
    interval: Positive = 1

    def build(self, epochs: int) -> optuna.pruners.BasePruner:
        """Return Optuna's pruner for trials of `epochs` epochs."""
        return optuna.pruners.MedianPruner(self.startup_trials, self.warmup_epochs, self.interval)


@dataclass(frozen=True, kw_only=True)
class Percentile:
    """Prunes a trial that is not in the best `percentile` of the others at that epoch."""

    name: Literal["percentile"] = "percentile"
    percentile: Annotated[float, Field(gt=0, le=100)] = 25.0
    startup_trials: Count = 5
    warmup_epochs: Count = 0
    interval: Positive = 1

    def build(self, epochs: int) -> optuna.pruners.BasePruner:
        """Return Optuna's pruner for trials of `epochs` epochs."""
        return optuna.pruners.PercentilePruner(
            self.percentile, self.startup_trials, self.warmup_epochs, self.interval
        )


@dataclass(frozen=True, kw_only=True)
class SuccessiveHalving:
    """Asynchronous successive halving (Li et al. 2018).

    `min_resource` is a number of epochs: Optuna's "auto" depends on which trial finished first.
    """

    name: Literal["successive_halving"] = "successive_halving"
    min_resource: Positive = 1
    reduction_factor: Factor = 4
    min_early_stopping_rate: Count = 0

    def build(self, epochs: int) -> optuna.pruners.BasePruner:
        """Return Optuna's pruner for trials of `epochs` epochs."""
        return optuna.pruners.SuccessiveHalvingPruner(
            self.min_resource, self.reduction_factor, self.min_early_stopping_rate
        )


@dataclass(frozen=True, kw_only=True)
class Hyperband:
    """Hyperband (Li et al. 2018): successive halving at several rates.

    The trial's number and the study's name select the bracket; the largest resource is the number
    of epochs of a trial.
    """

    name: Literal["hyperband"] = "hyperband"
    min_resource: Positive = 1
    reduction_factor: Factor = 3

    def build(self, epochs: int) -> optuna.pruners.BasePruner:
        """Return Optuna's pruner for trials of `epochs` epochs."""
        return optuna.pruners.HyperbandPruner(
            self.min_resource, max(epochs, self.min_resource), self.reduction_factor
        )


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Prunes a trial whose value is outside fixed bounds."""

    name: Literal["threshold"] = "threshold"
    lower: float | None = None
    upper: float | None = None
    warmup_epochs: Count = 0
    interval: Positive = 1

    def __post_init__(self) -> None:
        """Check what no single key shows."""
        if self.lower is None and self.upper is None:
            raise InputError(problem="no bounds", expected="lower, upper or both")
        if self.lower is not None and self.upper is not None and not self.lower < self.upper:
            raise InputError("lower", self.lower, f"a number below upper = {self.upper!r}")

    def build(self, epochs: int) -> optuna.pruners.BasePruner:
        """Return Optuna's pruner for trials of `epochs` epochs."""
        return optuna.pruners.ThresholdPruner(
            self.lower, self.upper, self.warmup_epochs, self.interval
        )


Wrapped = Keep | Median | Percentile | SuccessiveHalving | Hyperband | Threshold


@dataclass(frozen=True, kw_only=True)
class Patient:
    """Asks another pruner only after `patience` epochs without an improvement."""

    name: Literal["patient"] = "patient"
    patience: Count = 1
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    wrapped: Annotated[Wrapped, Field(discriminator="name")] | None = None

    def build(self, epochs: int) -> optuna.pruners.BasePruner:
        """Return Optuna's pruner for trials of `epochs` epochs."""
        wrapped = None if self.wrapped is None else self.wrapped.build(epochs)
        return optuna.pruners.PatientPruner(wrapped, self.patience, self.min_delta)


Pruner = Wrapped | Patient


def build(pruner: Pruner, epochs: int | None) -> optuna.pruners.BasePruner:
    """Return the Optuna pruner of trials that have at most `epochs` epochs, if that is known."""
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        # Optuna marks it as experimental; constraints.txt pins the version that is tested.
        return pruner.build(epochs or 1)


def min_resource(pruner: Pruner) -> tuple[str, int] | None:
    """Return the key and the value of the smallest resource of a pruner, in epochs, or None.

    >>> min_resource(Patient(wrapped=Hyperband(min_resource=3)))
    ('wrapped.min_resource', 3)
    """
    if isinstance(pruner, Patient):
        found = None if pruner.wrapped is None else min_resource(pruner.wrapped)
        return None if found is None else (f"wrapped.{found[0]}", found[1])
    if isinstance(pruner, SuccessiveHalving | Hyperband):
        return "min_resource", pruner.min_resource
    return None
