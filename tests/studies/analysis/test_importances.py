"""Importances: shares of known functions, their intervals, and nothing where nothing is known."""

import math
import warnings
from dataclasses import replace

import numpy as np
import optuna
import pytest
from stored_studies import CONDITIONAL, a_definition, a_search

from studies.analysis.importances import Importance, are_ordered, importances


def test_the_parameter_that_decides_has_the_largest_share(ledger):
    found = a_search(ledger, a_definition(), ["complete"] * 120, epochs=1).importances
    shares = [one.share for one in found.values()]
    assert next(iter(found)) == "learning_rate"
    assert shares[0] > 0.7
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    assert are_ordered(found)
    assert all(0 <= one.low <= one.share <= one.high <= 1 for one in found.values())


def test_few_trials_leave_the_order_open(ledger):
    found = a_search(ledger, a_definition(), ["complete"] * 8).importances
    assert not are_ordered(found)


def test_the_order_is_known_where_intervals_are_apart():
    first = Importance(0.6, 0.5, 0.7)
    assert are_ordered({"a": first, "b": Importance(0.4, 0.3, 0.49)})
    assert not are_ordered({"a": first, "b": Importance(0.4, 0.3, 0.5)})


def test_the_same_trials_have_the_same_importances(ledger):
    stored = a_search(ledger, a_definition(), ["complete"] * 12)
    ranked = stored.ranked()
    assert importances(stored.study.space, ranked) == importances(stored.study.space, ranked)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_trials_tell_nothing(count, ledger):
    assert a_search(ledger, a_definition(), ["complete"] * count).importances == {}


def test_equal_values_tell_nothing(ledger):
    stored = a_search(ledger, a_definition(), ["complete"] * 8, quality=lambda _: 0.5)
    assert stored.importances == {}


def test_a_conditional_parameter_counts_where_it_exists(ledger):
    quality = {"momentum": 0.5, "adam": 0.6, "sgd": 0.3}
    stored = a_search(
        ledger,
        a_definition(CONDITIONAL),
        ["complete"] * 60,
        quality=lambda chosen: quality[chosen["optimizer"]] + 0.01 * chosen["learning_rate"],
    )
    found = stored.importances
    assert set(found) == set(CONDITIONAL)
    assert found["optimizer"].share > 0.9
    # Whether it exists follows from the optimizer, and is no merit of its own.
    assert found["momentum"].share < 0.05


@pytest.mark.parametrize("worst", [-1e308, -math.inf, math.nan])
def test_one_trial_that_is_far_off_does_not_decide_alone(worst, ledger):
    stored = a_search(ledger, a_definition(), ["complete"] * 40)
    *others, last = stored.ranked()
    outcome = replace(last.outcome, value=worst)
    found = importances(stored.study.space, [*others, replace(last, outcome=outcome)])
    assert next(iter(found)) == "learning_rate"
    assert found["learning_rate"].share > 0.5


@pytest.mark.slow  # importing Optuna's loads scikit-learn
def test_shares_are_those_of_forests_in_optuna(ledger):
    states = ["complete"] * 300
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
            study, evaluator=optuna.importance.MeanDecreaseImpurityImportanceEvaluator(seed=0)
        )
    for name, share in theirs.items():
        assert stored.importances[name].share == pytest.approx(share, abs=0.03)
