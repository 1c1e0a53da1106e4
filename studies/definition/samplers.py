"""The samplers a study file can name, each with the options it takes.

A sampler is built anew before each ask, from a seed derived from (study seed, trial number), so
that it carries nothing from one trial to the next but what stands in the view. Those that walk a
sequence of their own (QMC and grid) take the study's seed: theirs is one sequence for the study.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Annotated, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from pydantic import Field

from nets.errors import InputError
from studies.definition.space import Space

_LARGEST_GRID = 100_000
"""Points; Optuna lists and shuffles all of them at each ask."""


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """The two seeds a sampler can draw from, of 32 bits, which is all Optuna's samplers take."""

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

    Open trials count as bad ones (constant liar), so that parallel trials keep apart.
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
            group=conditional,  # a conditional space is sampled in groups that occur together
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
    """Covariance matrix adaptation (Hansen 2016), of numbers only; needs the package cmaes."""

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
    """QMC that knows its space from the start.

    Optuna's own learns it from the first finished trial and draws at random until then; here the
    sequence serves trial 0 already, and its position is kept in the study's attributes.
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
    """Every combination of the points of the space once, in an order shuffled by the study's seed.

    The study ends when the combinations are used up.
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
    with warnings.catch_warnings():
        # Several samplers call themselves experimental; constraints.txt pins what we tested.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return sampler.build(seeds, space)


def check(sampler: Sampler, space: Space) -> None:
    """Refuse what a sampler cannot do, before the first trial; raises InputError."""
    package = {"gp": "torch", "cmaes": "cmaes"}.get(sampler.name)
    if package is not None:
        try:
            __import__(package)
        except ImportError as error:
            raise InputError(
                f"study.sampler: {sampler.name} needs the package {package}, which is not "
                f"installed; install it with: pip install {package}"
            ) from error
    if not isinstance(sampler, Grid | QMC | CMAES):
        return
    for parameter in space.parameters:
        if parameter.when is not None:
            raise InputError(
                f"space.{parameter.name}.when: the {sampler.name} sampler knows no conditions; "
                "accepted are tpe, random, gp or nsga2, or a space without `when`"
            )
        if isinstance(sampler, CMAES) and isinstance(
            parameter.distribution, CategoricalDistribution
        ):
            # Optuna would draw them at random, beside the covariances of the others.
            raise InputError(
                f"space.{parameter.name}.choices: the cmaes sampler knows no choices; accepted is "
                "low and high, or another sampler"
            )
        if isinstance(sampler, Grid) and parameter.points is None:
            raise InputError(
                f"space.{parameter.name}: the grid sampler needs points; accepted is a `step`, "
                "`choices`, or another sampler"
            )
    points = most_trials(sampler, space, first=0)
    if points is not None and points > _LARGEST_GRID:
        raise InputError(
            f"study.sampler: the grid has {points} points, accepted are at most {_LARGEST_GRID}"
        )


def most_trials(sampler: Sampler, space: Space, first: int) -> int | None:
    """Return after how many trials a sampler has nothing new, or None."""
    if not isinstance(sampler, Grid):
        return None
    return first + math.prod(len(p.points or []) for p in space.parameters)
