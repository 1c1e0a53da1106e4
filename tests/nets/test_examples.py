"""The examples of the networks run and print the expected results."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "examples"
EXPECTED = {
    "01_random_network.py": r"\d+\.\d% of 360 images are correct; guessing gives 10%\.",
    "02_numerical_differentiation.py": r"ms per step: 1220 passes for 610 parameters",
    "03_backpropagation.py": r"ms per step: 2 passes for 610 parameters",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    cache = {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}
    return {
        name: subprocess.run(
            [sys.executable, FOLDER / name],
            env=os.environ | cache,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in EXPECTED
    }


def test_every_example_of_the_networks_is_run():
    assert {path.name for path in FOLDER.glob("[0-9]*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_example_prints_the_expected_result(name, outputs):
    assert re.search(EXPECTED[name], outputs[name])


def test_both_ways_of_differentiation_take_the_same_steps(outputs):
    measured = re.findall(r"^step .*$", outputs["02_numerical_differentiation.py"], re.MULTILINE)
    calculated = re.findall(r"^step .*$", outputs["03_backpropagation.py"], re.MULTILINE)
    assert len(measured) == 4
    assert calculated[:4] == measured


def test_backpropagation_goes_on_to_learn_the_digits(outputs):
    accuracies = re.findall(r"([\d.]+)% of 360 test images", outputs["03_backpropagation.py"])
    assert float(accuracies[-1]) > 85
