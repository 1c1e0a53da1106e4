"""`retrial search --retry-failed` as a person meets it: a mistake is fixed, a driver is killed."""

import json
import shutil
from sys import executable

import pytest
from chaos import contents
from drivers import Driver, ledger_of, write_study
from programs import run_to_end

from studies.definition import study_file

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload``")  # SQLAlchemy's to MLflow

SCRIPT = """
import studies


def objective(x, trial):
    for _ in trial.epochs(2):
        trial.report(score=x / DIVISOR)


study = studies.Study(
    objective, {"x": studies.Float(0, 1)}, metric="score", direction="maximize",
    name="mine", trials=5, window=4,
)
"""


def retrial(*arguments, folder):
    return run_to_end([executable, "-m", "studies.cli.main", *arguments], cwd=folder)


def test_a_study_whose_trials_all_failed_continues_once_its_code_is_right(tmp_path):
    """No new name, and nothing deleted: the same trials, in the same runs."""
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT.replace("DIVISOR", "0"))
    failed = retrial("search", "mine.py", "--jobs", "1", folder=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.endswith(
        "fix the cause, then the same command with --retry-failed trains them again, or search "
        "under another study.name\n"
    )
    script.write_text(SCRIPT.replace("DIVISOR", "2"))
    unchanged = retrial("search", "mine.py", "--jobs", "1", folder=tmp_path)
    assert unchanged.returncode == 1
    assert "--retry-failed" in unchanged.stderr
    shown = json.loads(retrial("show", "mine", "--json", folder=tmp_path).stdout)
    runs = [trial["run_id"] for trial in shown["trials"]]

    again = retrial("search", "mine.py", "--jobs", "1", "--retry-failed", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "retrial: training trials 0 to 3 again, which had failed\n" in again.stderr
    assert "mine: 5 of 5 trials, best score " in again.stdout
    shown = json.loads(retrial("show", "mine", "--json", folder=tmp_path).stdout)
    assert [trial["state"] for trial in shown["trials"]] == ["complete"] * 5
    assert [trial["run_id"] for trial in shown["trials"][:4]] == runs
    for trial in shown["trials"][:4]:
        (failure,) = trial["earlier_failures"]
        assert failure["error"]["type"] == "ZeroDivisionError"
        assert "x / 0" in failure["error"]["traceback"]
        assert failure["code"]["mine"]
    lines = retrial("show", "mine", folder=tmp_path).stdout
    assert (
        "trial 0 was trained again after ZeroDivisionError: float division by zero; now complete"
        in lines
    )
    verdict = retrial("reproduce", "0", "--study", "mine", folder=tmp_path)
    assert "exact: " in verdict.stdout


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """The file of a study, and a store in which some of its trials have failed."""
    folder = tmp_path_factory.mktemp("failed")
    path = write_study(folder, trials=12, epochs=4, delay=0.1, fault="raise")
    assert Driver(path, folder / "store", "--jobs", "2").finish()[0] == 0
    return path, folder / "store"


def continued(failed, store, *kills):
    """Retry the failed trials in a copy of the store, with kills of the driver after seconds."""
    path, before = failed
    shutil.copytree(before, store)
    options = ["--retry-failed"]
    for seconds in kills:
        driver = Driver(path, store, "--jobs", "2", *options, checkpoints=0, CURVES_FIXED="1")
        if not options or driver.wait_for("training trials"):
            options = []  # the same command would retry what has failed again by then
        if not driver.ends_within(seconds):
            driver.kill_alone()
    code, _, errors = Driver(
        path, store, "--jobs", "2", "--trials", "16", *options, CURVES_FIXED="1"
    ).finish()
    assert code == 0, errors
    study = study_file.read(path)
    return contents(store, study)


@pytest.mark.slow
def test_a_driver_killed_while_it_retries_changes_nothing(failed, tmp_path, generator):
    expected = continued(failed, tmp_path / "undisturbed")
    ledger = ledger_of(tmp_path / "undisturbed")
    states = [(trial.state, len(trial.earlier)) for trial in ledger.trials("curves")]
    ledger.close()
    assert {state for state, _ in states} <= {"complete", "pruned"}
    assert 0 < sum(earlier for _, earlier in states) < 12
    for number in range(4):
        kills = generator.uniform(0.0, 3.0, size=number + 1).round(2)
        found = continued(failed, tmp_path / f"{number}", *kills)
        for place in expected:
            assert found[place] == expected[place], f"{place}, killed after {kills} s"
