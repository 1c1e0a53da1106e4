"""docs/examples: each library's example is searched and reproduced, and no longer than Optuna's."""

import ast
import importlib.util
import os
import re
import sys
from pathlib import Path

import pytest
from programs import run_to_end

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "examples"
NEEDED = {
    "boosting": "lightgbm",
    "cnn": "torch",
    "keras_mlp": "keras",
    "mlp": "torch",
    "sgd": "skops",
    "svc": "sklearn",
    "valley": "numpy",
    "xgb": "xgboost",
}
"""The library of each example."""
EXTRAS = {
    "lightgbm": "retrial-studies[lightgbm]", "skops": "retrial-studies[sklearn]",
    "torch": "retrial-studies[torch]", "xgboost": "retrial-studies[xgboost]",
    "keras": "retrial-studies[torch] keras",
}  # fmt: skip
ONE_TRIAL = """
import runpy, sys
from optuna.study import Study

optimize = Study.optimize
Study.optimize = lambda study, objective, n_trials: optimize(study, objective, n_trials=1)
runpy.run_path(sys.argv[1])
"""


def name_of(path):
    return path.relative_to(FOLDER).with_suffix("").as_posix()


def needs(name):
    """Skip a test where the library of an example is missing."""
    library = NEEDED[name]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library}: pip install {EXTRAS[library]}")


def run(*arguments, folder):
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = run_to_end(
        [sys.executable, *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def retrial(*arguments):
    return run("-m", "studies.cli.main", *arguments, folder=FOLDER)


def lines_of_code(path):
    """Count the lines of a file that are neither empty nor a comment nor its docstring."""
    text = path.read_text("utf-8")
    docstring = ast.parse(text).body[0]
    rest = text.splitlines()[docstring.end_lineno :]
    return sum(1 for line in rest if line.strip() and not line.strip().startswith("#"))


def test_every_example_is_run_and_has_its_equivalent():
    examples = {name_of(path) for path in FOLDER.glob("[a-z]*.py")}
    assert examples == set(NEEDED)
    assert {path.stem for path in (FOLDER / "optuna").glob("*.py")} == examples


@pytest.mark.parametrize("name", NEEDED)
def test_an_example_is_never_longer_than_with_optuna_alone(name):
    ours, theirs = FOLDER / f"{name}.py", FOLDER / "optuna" / f"{name}.py"
    assert lines_of_code(ours) <= lines_of_code(theirs)


def test_the_first_screen_of_the_readme_has_an_example():
    (text,) = re.findall(
        r"^```python\n# svc\.py.*?\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S
    )
    example = (FOLDER / "svc.py").read_text("utf-8")
    shown, whole = ({ast.dump(node) for node in ast.parse(t).body} for t in (text, example))
    assert len(whole - shown) == 2  # its docstring, and that it prints the best trial
    assert shown < whole


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDED)
def test_an_example_is_searched_and_its_best_trial_reproduced(name, tmp_path):
    needs(name)
    options = ["--store", tmp_path / "store"]
    found = retrial("search", f"{name}.py", "--trials", "2", "--jobs", "2", *options)
    assert f"{name}: 2 of 2 trials, best " in found
    found = retrial("reproduce", "best", "--study", name, *options)
    assert "exact: all metrics and digests of " in found


@pytest.mark.slow
def test_an_example_is_a_script(tmp_path):
    found = run(FOLDER / "svc.py", folder=tmp_path)
    assert "svc: 10 of 10 trials, best accuracy 0.9" in found
    assert found.splitlines()[-1].startswith("trial ")


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDED)
def test_the_equivalent_with_optuna_works(name, tmp_path):
    needs(name)
    found = run("-c", ONE_TRIAL, FOLDER / "optuna" / f"{name}.py", folder=tmp_path)
    assert "FrozenTrial(number=0, state=<TrialState.COMPLETE" in found
