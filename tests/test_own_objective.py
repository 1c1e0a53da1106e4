"""docs/own-objective.md: run the examples exactly as the page shows them."""

import importlib.util
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from programs import run_to_end

from nets.state import pack, unpack

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "own-objective.md").read_text("utf-8")
FILES = re.findall(r"^```(?:python|toml)\n(# (\S+\.(?:py|toml)).*?)^```", PAGE, re.M | re.S)
COMMANDS = re.findall(r"^\$ (python|retrial) (.*)$", PAGE, re.M)
NAMES = ["svc.py", "perceptron.py", "valley.py", "valley.toml"]


@pytest.fixture
def folder(tmp_path):
    """A folder with the files of the page."""
    assert [name for _, name in FILES] == NAMES
    for text, name in FILES:
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def valley(folder):
    """The page's module."""
    spec = importlib.util.spec_from_file_location("valley", folder / "valley.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["valley"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["valley"]


def retrial(*arguments, folder):
    """Run the command as its entry point does: without the current folder on sys.path."""
    start = "import sys; from studies.cli.main import main; sys.exit(main())"
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return run_to_end(
        [sys.executable, "-P", "-c", start, *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def test_the_example_resumes_bit_identically_from_any_epoch(valley):
    settings = valley.Settings(epochs=5, seed=3)
    whole, states = [], []

    def report(epoch):
        whole.append(dict(epoch.metrics))
        states.append(pack(epoch.state()))

    assert valley.objective(settings, None, report).epoch == 5
    for number, state in enumerate(states, start=1):
        rest = []
        valley.objective(settings, None, lambda e, to=rest: to.append(e.metrics), unpack(state))
        assert rest == whole[number:]
    assert np.isfinite([metrics["height_error"] for metrics in whole]).all()


def test_the_study_can_be_searched_from_another_folder(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    study = str(folder / "valley.toml")
    done = retrial("search", study, "--no-record", "--store", "store", folder=elsewhere)
    assert done.returncode == 0, done.stderr
    assert "valley: 12 of 12 trials, best height_error" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["svc", "perceptron", "valley"])
def test_the_commands_of_the_page_work(name, folder):
    if name == "perceptron":
        pytest.importorskip("skops", reason="needs skops: pip install 'retrial-studies[sklearn]'")
    commands = [command for command in COMMANDS if name in command[1]]
    outputs = []
    for program, arguments in commands:
        if program == "python":
            done = run_to_end([sys.executable, arguments], cwd=folder)
        else:
            done = retrial(*arguments.split(), folder=folder)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    if name == "perceptron":
        assert "test: accuracy 0." in outputs[-1]
        assert 'use it: studies.load_model("perceptron@champion")' in outputs[-1]
    else:
        assert "exact: all metrics and digests" in outputs[-1]


def test_every_command_of_the_page_belongs_to_a_file():
    assert [command for _, command in COMMANDS] == [
        "svc.py", "search svc.py --trials 6", "reproduce best --study svc", "perceptron.py",
        "confirm perceptron --top 2 --seeds 2", "search valley.toml",
        "reproduce best --study valley",
    ]  # fmt: skip


@pytest.mark.slow
def test_an_unpacked_trial_is_reproduced_with_the_recorded_code_where_its_module_is_missing(
    folder, tmp_path_factory
):
    for line in ("search valley.toml --trials 2", "pack valley valley.pack"):
        done = retrial(*line.split(), folder=folder)
        assert done.returncode == 0, done.stderr
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = retrial("unpack", str(folder / "valley.pack"), folder=elsewhere)
    assert done.returncode == 0, done.stderr
    command = ["reproduce", "best", "--study", "valley"]
    without = retrial(*command, folder=elsewhere)
    assert without.returncode == 2
    assert "cannot import 'valley:Settings': No module named 'valley'" in without.stderr
    assert "; put valley.py beside the study file or in the current folder" in without.stderr
    assert f"; or run `retrial {' '.join(command)} --recorded-code`\n" in without.stderr
    done = retrial(*command, "--recorded-code", folder=elsewhere)
    assert done.returncode == 0, done.stderr
    assert "exact: all metrics and digests of 8 epochs" in done.stdout
    # A module of the same name in the current folder does not replace the recorded one.
    (elsewhere / "valley.py").write_text("raise SystemExit('another valley')\n")
    assert retrial(*command, "--recorded-code", folder=elsewhere).returncode == 0


@pytest.mark.slow
def test_helper_modules_beside_an_objective_are_recorded(folder):
    valley = folder / "valley.py"
    valley.write_text(valley.read_text().replace("import numpy", "import steepness\nimport numpy"))
    valley.write_text(valley.read_text().replace("[0.1, 1.0]", "[steepness.LEAST, 1.0]"))
    (folder / "steepness.py").write_text("LEAST = 0.1\n")
    done = retrial("search", "valley.toml", "--trials", "1", folder=folder)
    assert done.returncode == 0, done.stderr
    (folder / "steepness.py").write_text("LEAST = 0.2\n")
    command = ["reproduce", "0", "--study", "valley"]
    changed = retrial(*command, folder=folder)
    assert (changed.returncode, "code: steepness was " in changed.stdout) == (1, True)
    done = retrial(*command, "--recorded-code", folder=folder)
    assert "exact: all metrics and digests of 8 epochs" in done.stdout, done.stderr
