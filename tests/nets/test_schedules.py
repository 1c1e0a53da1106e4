"""Schedules: their ends, their middles, and over a whole training."""

import math

import pytest

from nets.schedules import cosine, learning_rate, one_cycle, staircase, warm_up
from nets.settings import Settings


def rates(epochs=10, steps_per_epoch=5, **settings):
    chosen = Settings(learning_rate=0.2, epochs=epochs, **settings)
    return [
        learning_rate(chosen, step, steps_per_epoch) for step in range(epochs * steps_per_epoch)
    ]


def test_constant_does_not_change():
    assert set(rates()) == {0.2}


def test_step_falls_every_few_epochs():
    received = rates(schedule="step", step_epochs=4, step_factor=0.5)
    assert received == pytest.approx([0.2] * 20 + [0.1] * 20 + [0.05] * 10)


def test_cosine_falls_from_the_whole_learning_rate_to_almost_nothing():
    received = rates(schedule="cosine")
    assert received[0] == 0.2
    assert received[25] == pytest.approx(0.1)
    assert received[-1] == pytest.approx(0.2 * (1 + math.cos(math.pi * 49 / 50)) / 2)
    assert received == sorted(received, reverse=True)


def test_one_cycle_rises_to_the_learning_rate_and_falls_further_than_it_began():
    received = rates(schedule="one_cycle")
    assert received[0] == pytest.approx(0.2 / 25)
    assert max(received) == received[14] == pytest.approx(0.2)
    assert received[-1] == pytest.approx(0.2 / 250_000)
    assert received[:15] == sorted(received[:15])
    assert received[14:] == sorted(received[14:], reverse=True)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
def test_one_cycle_of_a_few_steps_stays_within_its_range(steps):
    received = [one_cycle(step, steps) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in received)


def test_warm_up_rises_in_a_straight_line():
    received = rates(warmup=0.2)
    assert received[:10] == pytest.approx([0.02 * (step + 1) for step in range(10)])
    assert set(received[10:]) == {0.2}


def test_warm_up_multiplies_the_schedule():
    both, schedule = rates(schedule="cosine", warmup=0.1), rates(schedule="cosine")
    assert both[2] == pytest.approx(schedule[2] * 3 / 5)
    assert both[5:] == schedule[5:]


def test_the_functions_can_be_called_directly():
    assert (staircase(7, 3, 0.1), cosine(0, 9), warm_up(9, 3)) == (pytest.approx(0.01), 1, 1)
