"""The benchmark of the search measures what it says: its parts, on small studies."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))  # `python -m benchmarks` runs in the repository

from benchmarks import decisions, quality, recorded, simulation, utilization


def test_recorded_table_has_every_place_of_its_space():
    sizes = [ends["high"] + 1 for ends in recorded.SPACE.values()]
    assert recorded.table().shape == (*sizes, recorded.EPOCHS)
    assert np.isfinite(recorded.table()).all()


def test_simulated_workers_are_busy_while_there_are_trials():
    found = simulation.simulate(workers=4, trials=40, trial_seconds=100)
    assert 0.95 < found.utilization <= 1.0
    assert 0.0 < found.driver_load < 0.1


def test_one_simulated_worker_trains_all_the_time_but_the_driver_s():
    found = simulation.simulate(workers=1, trials=10, trial_seconds=100)
    assert found.utilization == pytest.approx(1 - found.driver_load, abs=0.01)


def test_decisions_are_measured_on_a_study_like_a_searched_one(ledger):
    searched = utilization.study(30, 8)
    decisions.fill(ledger, searched, 30)
    trials = ledger.trials(searched.name)
    assert {trial.state for trial in trials} == {"complete", "pruned"}
    for trial in trials:
        epochs = ledger.epochs(searched.name, trial.number)
        assert trial.value == epochs[-1].metrics["val_loss"]
    cost = decisions.cost(30)
    assert cost.first_bytes > cost.later_bytes


def test_best_values_only_get_better_and_random_draws_know_no_window():
    run = quality._run("random", 1, seed=0)
    assert run == sorted(run, reverse=True)
    assert run == quality._run("random", 16, seed=0)
    assert quality._run("tpe", 1, seed=0) != quality._run("tpe", 16, seed=0)
