"""The samplers a study file can name, each with the options it takes.

Each trial gets a new sampler, with a seed derived from (study seed, trial number). No state passes
from one trial to the next except through the private study that the sampler works on.
Samplers that follow their own sequence (QMC and grid) get the study's seed: a study has one
sequence.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Annotated, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from pydantic import Field

from nets.errors import InputError, ModuleMissing
from studies.definition.space import Space

_LARGEST_GRID = 100_000
"""Points; Optuna lists and shuffles all of them at every ask."""


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """The two seeds of a sampler, of 32 bits each, which is the limit of Optuna's samplers."""

    study: int
    trial: int


@dataclass(frozen=True, kw_only=True)
class Random:
    """Independent draws from the space."""

    name: Literal["random"] = "random"

    def build(self, seeds: Seeds, space: Space) -> optuna.samplers.BaseSampler:
        """Return the sampler of one trial."""
        return optuna.samplers.RandomSampler(seed=seeds.trial)


@dataclass(frozen=True, kw_only=True)
class TPE:
    """Tree-structured Parzen estimator (Bergstra et al. 2011), multivariate (Falkner et al. 2018).

    Open trials count as bad ones (constant liar), so that parallel trials differ.
    """

    name: Literal["tpe"] = "tpe"
    startup_trials: Annotated[int, Field(ge=0)] = 10
    candidates: Annotated[int, Field(ge=1)] = 24

    def build(self, seeds: Seeds, space: Space) -> optuna.samplers.BaseSampler:
        """Return the sampler of one trial."""
        conditional = any(parameter.when for parameter in space.parameters)
        return optuna.samplers.TPESampler(
            n_startup_trials=self.startup_trials,
            n_ei_candidates=self.candidates,
            multivariate=True,
            group=conditional,  # samples the parameters that occur together as a group
            constant_liar=True,
            seed=seeds.trial,
        )


@dataclass(frozen=True, kw_only=True)
class GP:
    """Gaussian process with log expected improvement; needs PyTorch."""

    name: Literal["gp"] = "gp"
    startup_trials: Annotated[int, Field(ge=0)] = 10

    def build(self, seeds: Seeds, space: Space) -> optuna.samplers.BaseSampler:
        """Return the sampler of one trial."""
        import torch

        torch.set_num_threads(1)  # its sums depend on the number of threads
        return optuna.samplers.GPSampler(
            n_startup_trials=self.startup_trials,
            seed=seeds.trial,
            independent_sampler=optuna.samplers.RandomSampler(seed=seeds.trial),
            warn_independent_sampling=False,
        )


@dataclass(frozen=True, kw_only=True)
class CMAES:
    """Covariance matrix adaptation (Hansen 2016), for numbers only; needs the package cmaes."""

    name: Literal["cmaes"] = "cmaes"
    startup_trials: Annotated[int, Field(ge=0)] = 1
    population: Annotated[int, Field(ge=2)] | None = None

    def build(self, seeds: Seeds, space: Space) -> optuna.samplers.BaseSampler:
        """Return the sampler of one trial."""
        return optuna.samplers.CmaEsSampler(
            n_startup_trials=self.startup_trials,
            popsize=self.population,
            seed=seeds.trial,
            independent_sampler=optuna.samplers.RandomSampler(seed=seeds.trial),
            warn_independent_sampling=False,
        )


@dataclass(frozen=True, kw_only=True)
class QMC:
    """Quasi-Monte Carlo: a scrambled Sobol or Halton sequence fills the space evenly."""

    name: Literal["qmc"] = "qmc"
    sequence: Literal["sobol", "halton"] = "sobol"

    def build(self, seeds: Seeds, space: Space) -> optuna.samplers.BaseSampler:
        """Return the sampler of one trial."""
        return _WholeSpaceQMC(
            space.distributions,
            qmc_type=self.sequence,
            scramble=True,
            seed=seeds.study,
            independent_sampler=optuna.samplers.RandomSampler(seed=seeds.trial),
        )


class _WholeSpaceQMC(optuna.samplers.QMCSampler):
    """QMC that has its space from the start.

    Optuna's own sampler infers the space from the first finished trial and draws at random until
    then. Here trial 0 already uses the sequence; the position is kept in the study's attributes.
    """

    def __init__(self, space: dict[str, BaseDistribution], **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._space = space

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return dict(self._space)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Every combination of the points of the space once, shuffled with the study's seed.

    The study ends after the last combination.
    """

    name: Literal["grid"] = "grid"

    def build(self, seeds: Seeds, space: Space) -> optuna.samplers.BaseSampler:
        """Return the sampler of one trial."""
        points = {p.name: p.points or [] for p in space.parameters}
        return optuna.samplers.GridSampler(points, seed=seeds.study)


@dataclass(frozen=True, kw_only=True)
class NSGA2:
    """The evolutionary algorithm NSGA-II (Deb et al. 2002) with one objective."""

    name: Literal["nsga2"] = "nsga2"
    population: Annotated[int, Field(ge=2)] = 20

    def build(self, seeds: Seeds, space: Space) -> optuna.samplers.BaseSampler:
        """Return the sampler of one trial."""
        return optuna.samplers.NSGAIISampler(population_size=self.population, seed=seeds.trial)


Sampler = Random | TPE | GP | CMAES | QMC | Grid | NSGA2


def build(sampler: Sampler, seeds: Seeds, space: Space) -> optuna.samplers.BaseSampler:
    """Return the Optuna sampler of one trial."""
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        # Optuna marks several as experimental; constraints.txt pins the version that is tested.
        return sampler.build(seeds, space)


def check(sampler: Sampler, space: Space) -> None:
    """Check that a sampler can search a space.

    Raises ModuleMissing where the sampler needs a package that is not installed, and InputError
    for a space that it does not support.
    """
    package = {"gp": "torch", "cmaes": "cmaes"}.get(sampler.name)
    if package is not None:
        try:
            __import__(package)
        except ImportError as error:
            raise ModuleMissing(
                "study.sampler",
                problem=f"{sampler.name} needs the package {package}, which is not installed",
                hint=f"run: pip install {package}",
            ) from error
    if not isinstance(sampler, Grid | QMC | CMAES):
        return
    for parameter in space.parameters:
        if parameter.when is not None:
            raise InputError(
                f"space.{parameter.name}.when",
                problem=f"the {sampler.name} sampler does not support conditions",
                hint="remove `when`, or use the sampler tpe, random, gp or nsga2",
            )
        if isinstance(sampler, CMAES) and isinstance(
            parameter.distribution, CategoricalDistribution
        ):
            # Optuna would draw them at random, independently of the covariances of the others.
            raise InputError(
                f"space.{parameter.name}.choices",
                problem="the cmaes sampler does not support choices",
                hint="use low and high, or another sampler",
            )
        if isinstance(sampler, Grid) and parameter.count is None:
            raise InputError(
                f"space.{parameter.name}",
                problem="the grid sampler needs a finite number of values",
                hint="add a `step`, use `choices`, or use another sampler",
            )
    points = most_trials(sampler, space, first=0)
    if points is not None and points > _LARGEST_GRID:
        raise InputError(
            "study.sampler",
            problem=f"got a grid of {points} points",
            expected=f"at most {_LARGEST_GRID} points",
        )


def most_trials(sampler: Sampler, space: Space, first: int) -> int | None:
    """Return the number of trials after which a sampler has no new points, or None.

    `first` is the number of initial trials whose values are set in the study file.
    """
    if not isinstance(sampler, Grid):
        return None
    return first + math.prod(p.count or 0 for p in space.parameters)
