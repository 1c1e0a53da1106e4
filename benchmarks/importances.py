"""Importances against Optuna's evaluators, on functions whose shares are known.

    python -m benchmarks.importances

The value is a sum of parabolas, one per parameter, each with a known part of the variance, with and
without noise; trials are random or TPE's. The criterion is how often the most important parameter
is named first. The other columns are the mean error of the shares, how often an interval has the
true share, how often the intervals of the first two are apart, and are so in the right order.
"""

import itertools
import warnings
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    MeanDecreaseImpurityImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from studies.analysis.importances import Importance, are_ordered, importances
from studies.definition.space import Parameter, Space
from tracking.records import SamplerAttributes, TrialOutcome, TrialRecord

STUDIES = 12
TRIALS = 8, 20, 60
NOISE = 0.0, 0.05
WEIGHTS = (1.0, 0.4, 0.1), (1.0, 0.6, 0.35, 0.2, 0.1)
THEIRS: dict[str, BaseImportanceEvaluator] = {
    "PED-ANOVA": PedAnovaImportanceEvaluator(),
    "fANOVA": FanovaImportanceEvaluator(seed=0),
    "decrease of impurity": MeanDecreaseImpurityImportanceEvaluator(seed=0),
}
Rows = dict[tuple[int, str], list[list[float]]]


def searched(
    weights: Sequence[float], noise: float, sampler: type[BaseSampler], seed: int
) -> optuna.Study:
    """Search parabolas with these standard deviations, for the largest number of trials."""
    generator = np.random.default_rng(seed)
    lowest = generator.uniform(0.2, 0.8, len(weights))
    # The standard deviation of (x - lowest)² where x is uniform.
    spread = np.sqrt(1 / 180 + (lowest - 0.5) ** 2 / 3)

    def value(trial: optuna.Trial) -> float:
        x = np.array([trial.suggest_float(f"x{i}", 0, 1) for i in range(len(weights))])
        parabolas = weights * (x - lowest) ** 2 / spread
        return float(noise * generator.normal() - 0.1 * parabolas.sum())

    made: BaseSampler = sampler(seed=seed)  # type: ignore[call-arg]
    study = optuna.create_study(direction="maximize", sampler=made)
    study.optimize(value, TRIALS[-1])
    return study


def ours(study: optuna.Study, names: Sequence[str]) -> dict[str, Importance]:
    """Return our importances of a study's parameters."""
    space = Space(tuple(Parameter(name, FloatDistribution(0, 1)) for name in names))
    ranked = [
        TrialRecord(
            "", t.number, "complete", {}, t.params, SamplerAttributes(), 0.0,
            outcome=TrialOutcome(value=t.value),
        )
        for t in sorted(study.trials, key=lambda trial: -(trial.value or 0.0))
    ]  # fmt: skip
    return importances(space, ranked)


def judged(shares: dict[str, float], truth: dict[str, float]) -> list[float]:
    """Return whether the first parameter has the largest share, and the shares' mean error."""
    given = [shares.get(name, 0.0) for name in truth]
    is_right = given[0] > max(given[1:])
    return [float(is_right), float(np.mean(np.abs(np.subtract(given, list(truth.values())))))]


def add(rows: Rows, study: optuna.Study, truth: dict[str, float]) -> None:
    """Add what each evaluator says of the first trials of a study."""
    for count in TRIALS:
        part = optuna.create_study(direction="maximize")
        part.add_trials(study.trials[:count])
        for name, evaluator in THEIRS.items():
            shares = get_param_importances(part, evaluator=evaluator)
            rows[count, name].append(judged(shares, truth))
        found = ours(part, list(truth))
        shares = {name: one.share for name, one in found.items()}
        covered = [found[name].low <= share <= found[name].high for name, share in truth.items()]
        apart = are_ordered(found)
        is_right = apart and next(iter(found)) == next(iter(truth))
        more = [float(np.mean(covered)), float(apart), float(is_right)]
        rows[count, "retrial"].append(judged(shares, truth) + more)


def main() -> None:
    """Print a row for each number of trials and evaluator."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    rows: Rows = defaultdict(list)
    samplers: tuple[type[BaseSampler], ...] = (RandomSampler, TPESampler)
    cases = itertools.product(WEIGHTS, NOISE, samplers, range(STUDIES))
    for weights, noise, sampler, seed in cases:
        parts = np.square(weights) / np.sum(np.square(weights))
        truth = {f"x{i}": float(part) for i, part in enumerate(parts)}
        add(rows, searched(weights, noise, sampler, seed), truth)
    print("trials  evaluator               right  error  covered  apart  in order")
    for (count, name), measured in sorted(rows.items()):
        means = "".join(f"{mean:8.2f}" for mean in np.mean(measured, axis=0))
        print(f"{count:6}  {name:20} {means}")


if __name__ == "__main__":
    main()
