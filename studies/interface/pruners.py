"""The pruners, with their options: ``pruner=studies.pruners.Median(warmup_epochs=2)``."""

from studies.definition.pruners import Hyperband as Hyperband
from studies.definition.pruners import Keep as Keep
from studies.definition.pruners import Median as Median
from studies.definition.pruners import Patient as Patient
from studies.definition.pruners import Percentile as Percentile
from studies.definition.pruners import SuccessiveHalving as SuccessiveHalving
from studies.definition.pruners import Threshold as Threshold
