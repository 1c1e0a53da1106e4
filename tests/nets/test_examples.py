"""The examples of the networks run and print the expected results."""

import functools
import os
import re
import sys
from pathlib import Path

import pytest
from programs import run_to_end

FOLDER = Path(__file__).parents[2] / "docs" / "examples"
NUMBER = r"[\d.,]+(?:e-\d+)?"


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """What an example prints."""
    cache = {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}

    @functools.cache
    def run(name):
        command = [sys.executable, FOLDER / name]
        return run_to_end(command, env=os.environ | cache, check=True).stdout

    return run


def rows(table, *, begin=r"\w+"):
    """The rows of a table whose first column matches, each as its numbers."""
    found = re.findall(rf"^ *{begin}(?: .*)?$", table, re.MULTILINE)
    return [[float(n.replace(",", "")) for n in re.findall(NUMBER, row)] for row in found]


def test_every_example_of_the_networks_is_tested():
    text = Path(__file__).read_text("utf-8")
    assert all(f'output("{path.name}")' in text for path in FOLDER.glob("[0-9]*.py"))


def test_a_random_network_guesses(output):
    printed = output("01_random_network.py")
    (accuracy,) = re.findall(r"([\d.]+)% of 360 images are correct; guessing gives 10%\.", printed)
    assert float(accuracy) < 30


def test_both_ways_of_differentiation_take_the_same_steps(output):
    by_differences = output("02_numerical_differentiation.py")
    assert "ms per step: 1220 passes for 610 parameters" in by_differences
    assert "ms per step: 2 passes for 610 parameters" in output("03_backpropagation.py")
    measured, calculated = (
        re.findall(r"^step .*$", printed, re.MULTILINE)
        for printed in (by_differences, output("03_backpropagation.py"))
    )
    assert len(measured) == 4
    assert calculated[:4] == measured


def test_backpropagation_goes_on_to_learn_the_digits(output):
    accuracies = re.findall(r"([\d.]+)% of 360 test images", output("03_backpropagation.py"))
    assert float(accuracies[-1]) > 85


def test_backpropagation_takes_a_fraction_of_the_time(output):
    table = rows(output("03_backpropagation.py").partition("parameters  a")[2], begin="[0-9,]+")
    assert [parameters for parameters, *_ in table] == [610, 1210, 2410, 4810]
    assert all(times_faster > 50 for *_, times_faster in table)


@pytest.mark.slow
def test_a_deep_network_learns_nothing_from_weights_that_are_too_small(output):
    table = rows(output("04_initialization.py"), begin="(?:tanh|relu)  std 0.01")
    assert len(table) == 2
    for _, first, *_, last, gradient, loss, accuracy in table:
        assert last < first / 1000
        assert gradient < 1e-6
        assert loss > 2.2
        assert accuracy < 15


@pytest.mark.slow
def test_initial_weights_of_xavier_and_he_fix_it(output):
    table = rows(output("04_initialization.py"), begin="(?:tanh|relu)  (?:Xavier|He)")
    assert len(table) == 4
    for first, *_, last, gradient, loss, accuracy in table:
        assert last > first / 10
        assert gradient > 1e-4
        assert loss < 0.2
        assert accuracy > 93


@pytest.mark.slow
def test_batch_normalization_makes_the_initial_weights_matter_less(output):
    table = rows(output("05_batch_normalization.py"), begin="[0-9.]+")
    assert [deviation for deviation, *_ in table] == [1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001]
    assert [deviation for deviation, without, _ in table if without > 50] == [0.1]
    assert all(normalized > 75 for *_, normalized in table)
    assert all(normalized > 93 for deviation, _, normalized in table if deviation < 1)


@pytest.mark.slow
def test_each_optimizer_learns_with_a_rate_of_its_own(output):
    by_rate, by_epoch = output("06_optimizers.py").split("\n\n")
    names = "(?:sgd|momentum|nesterov|adagrad|rmsprop|adam)"
    assert all(max(losses) > 10 * min(losses) for losses in rows(by_rate, begin=names))
    table = rows(by_epoch, begin=names)
    assert len(table) == 6
    assert len({rate for rate, *_ in table}) > 2
    for _, first, *_, last in table:
        assert first > 0.5
        assert last < 0.1
