"""Importances: PED-ANOVA agrees with Optuna's, and says nothing where there is nothing to say."""

import warnings

import numpy as np
import optuna
import pytest
from stored_studies import CONDITIONAL, SEARCHED, a_definition, a_search, draw

from nets.settings import Settings
from studies.analysis.importances import density, importances
from studies.definition.space_section import read_space, types_of


def test_the_parameter_that_decides_has_the_largest_share(ledger):
    stored = a_search(ledger, a_definition(), ["complete"] * 40)
    shares = stored.importances()
    assert next(iter(shares)) == "learning_rate"
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_trials_tell_nothing(count, ledger):
    assert a_search(ledger, a_definition(), ["complete"] * count).importances() == {}


def test_equal_values_tell_nothing(ledger):
    stored = a_search(ledger, a_definition(), ["complete"] * 8, quality=lambda _: 0.5)
    assert stored.importances() == {}


def test_a_conditional_parameter_counts_where_it_exists(ledger):
    stored = a_search(ledger, a_definition(CONDITIONAL), ["complete"] * 60)
    assert set(stored.importances()) == set(CONDITIONAL)


@pytest.mark.parametrize("space", [SEARCHED, CONDITIONAL], ids=["plain", "conditional"])
def test_densities_sum_to_one_and_are_nowhere_empty(space, generator):
    space = read_space(space, types_of(Settings))
    drawn = [draw(space, generator) for _ in range(50)]
    for parameter in space.parameters:
        values = [chosen[parameter.name] for chosen in drawn if parameter.name in chosen]
        for some in (values[:1], values[:1] * 5, values):
            found = density(parameter, some)
            assert found.sum() == pytest.approx(1)
            assert (found > 0).all()


@pytest.mark.slow  # importing Optuna's loads scikit-learn
def test_shares_are_those_of_optuna(ledger):
    states = ["complete"] * 1000
    stored = a_search(ledger, a_definition(), states, epochs=1, generator=np.random.default_rng(5))
    study = optuna.create_study(direction="maximize")
    for trial in stored.trials:
        study.add_trial(
            optuna.trial.create_trial(
                params=trial.parameters,
                distributions=stored.study.space.distributions,
                value=trial.value,
            )
        )
    with warnings.catch_warnings(action="ignore"):
        theirs = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
    ours = importances(stored.study.space, stored.ranked())
    for name, share in theirs.items():
        assert ours[name] == pytest.approx(share, abs=0.03)
