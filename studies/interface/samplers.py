"""The samplers, with their options: ``sampler=studies.samplers.TPE(startup_trials=20)``."""

from studies.definition.samplers import CMAES as CMAES
from studies.definition.samplers import GP as GP
from studies.definition.samplers import NSGA2 as NSGA2
from studies.definition.samplers import QMC as QMC
from studies.definition.samplers import TPE as TPE
from studies.definition.samplers import Grid as Grid
from studies.definition.samplers import Random as Random
