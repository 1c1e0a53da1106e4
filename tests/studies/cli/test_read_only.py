"""Results without the code that produced them: in any folder, read-only, while a search runs."""

import re
import sqlite3
import sys
import urllib.request

import pytest
from drivers import ledger_of
from permissions import read_only, without_exemptions
from programs import Program, run_to_end
from stored_studies import a_definition, a_search
from waiting import PATIENCE

from studies.cli.main import main
from tracking.ledger import Ledger, lock
from tracking.store import names

VALLEY = """
import time
from dataclasses import dataclass

from nets.outcome import Epoch, Outcome


@dataclass(frozen=True, kw_only=True)
class Settings:
    x: float = 0.0
    pause: float = 0.0
    epochs: int = 2
    seed: int = 0


def objective(settings, data, report, resume=None):
    for number in range(1, settings.epochs + 1):
        time.sleep(settings.pause)
        report(Epoch(number, {"loss": abs(settings.x) + 1 / number}, 0.1))
    return Outcome(epoch=settings.epochs)
"""
VALLEY_STUDY = """
[study]
objective = "valley:objective"
settings = "valley:Settings"
metric = "loss"
trials = 3
[space]
x = { low = -1.0, high = 1.0 }
"""
PLAIN = """
import studies


def objective(x):
    return abs(x)


study = studies.Study(
    objective, {"x": studies.Float(-1, 1)}, name="plain", metric="loss", trials=3
)
study.search(jobs=1)
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a study in each form of an objective of one's own, searched into a store."""
    if sys.platform == "win32":
        pytest.skip("needs permissions of POSIX")
    folder = tmp_path_factory.mktemp("work")
    (folder / "valley.py").write_text(VALLEY)
    (folder / "valley.toml").write_text(VALLEY_STUDY)
    (folder / "tune.py").write_text(PLAIN)
    for study in ("valley.toml", "tune.py"):
        retrial("search", study, "--store", "store", "--jobs", "1", folder=folder)
    return folder


def retrial(*arguments, folder, code=0):
    """Run a command that may ignore no permission; return what it prints, in one string."""
    done = run_to_end(
        [sys.executable, "-m", "studies.cli.main", *arguments],
        cwd=folder, preexec_fn=without_exemptions,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def store(tmp_path):
    """A store with a study that looks searched."""
    ledger = ledger_of(tmp_path / "store")
    a_search(ledger, a_definition(), ["complete"] * 3)
    ledger.close()
    return tmp_path / "store"


def test_a_ledger_that_cannot_be_written_is_read(store, tmp_path):
    with read_only(store):
        assert "digits: 3 of 20 trials" in retrial("show", "digits", "--store", store, folder=".")
        assert "interrupted" in retrial("list", "--store", store, folder=".")
        said = retrial("delete", "digits", "--yes", "--store", store, folder=".", code=2)
    assert said == (
        f"retrial: store: cannot write {store}/ledger.db (Permission denied), "
        "expected a folder that this user can write to\n"
    )


def test_a_ledger_that_is_being_written_is_read(store):
    """Its last commits are in the write-ahead log, which is not merged without writing."""
    with sqlite3.connect(store / names.LEDGER) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("DELETE FROM trial WHERE number = 2")
        connection.commit()
        with read_only(store):
            said = retrial("show", "digits", "--store", store, folder=".")
    connection.close()
    assert said.startswith("digits: 2 of 20 trials")


def test_an_older_ledger_that_cannot_be_written_is_read(store):
    connection = sqlite3.connect(store / names.LEDGER)
    connection.executescript("DROP TABLE file; DROP TABLE model_file; PRAGMA user_version=2")
    connection.close()
    with read_only(store):
        code = (
            "import sys; from pathlib import Path; from tracking.ledger import Ledger; "
            "print(Ledger(Path(sys.argv[1])).files('digits', 0))"
        )
        command = [sys.executable, "-c", code, store / names.LEDGER]
        done = run_to_end(command, preexec_fn=without_exemptions, check=True)
    assert done.stdout == "{}\n"


@pytest.mark.slow
@pytest.mark.parametrize("study", ["valley", "plain"])
def test_results_are_read_in_another_folder_from_a_store_that_cannot_be_written(
    study, work, tmp_path
):
    there = ["--store", str(work / "store")]
    with read_only(work / "store"):
        before = sorted(path.name for path in (work / "store").iterdir())
        assert f"{study}: 3 of 3 trials" in retrial("show", study, *there, folder=tmp_path)
        retrial("replay", study, "--pruner", "median", *there, folder=tmp_path)
        assert f"{study}  " in retrial("list", *there, folder=tmp_path)
        assert "best loss" in retrial("compare", "valley", "plain", *there, folder=tmp_path)
        retrial("pack", study, "a.pack", *there, folder=tmp_path)
        none = retrial("predict", study, "x.png", *there, folder=tmp_path, code=2)
        assert f"no registered model {study!r}" in none
        no_model = retrial(
            "export", "best", "a.onnx", "--study", study, *there, folder=tmp_path, code=2
        )
        assert "has no model" in no_model
        again = ["reproduce", "best", "--study", study, *there]
        missing = retrial(*again, folder=tmp_path, code=2)
        file = "valley.py" if study == "valley" else "tune.py"
        assert f"; put {file} beside the study file" in missing
        assert "--recorded-code" in missing
        said = retrial(*again, "--recorded-code", folder=tmp_path)
        assert "exact: all metrics" in said
        assert "so the verdict is not recorded there" in said
        assert sorted(path.name for path in (work / "store").iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pack"]
    retrial("unpack", "a.pack", "--store", "other", folder=tmp_path)
    assert f"{study}: 3 of 3" in retrial("show", study, "--store", "other", folder=tmp_path)


@pytest.mark.slow
def test_the_ui_shows_a_store_that_cannot_be_written(work):
    with read_only(work / "store"):
        program = Program(
            "-m", "studies.cli.main", "ui", "--port", "0", "--store", work / "store",
            preexec_fn=without_exemptions,
        )  # fmt: skip
        program.wait_for("ui: cannot write .*, so MLflow shows a copy of its database")
        program.wait_for("studies and trials in MLflow: http://127.0.0.1:")
        (address,) = re.findall("http://[^ ]*/studies", "".join(program.lines))
        with urllib.request.urlopen(address, timeout=PATIENCE) as page:
            assert ">valley</a>" in page.read().decode()
        program.kill()


@pytest.mark.slow
def test_a_study_is_packed_while_it_is_searched(work, tmp_path):
    """The pack has what had finished, and the study goes on from there to the same trials."""
    slow = VALLEY_STUDY.replace("trials = 3", "trials = 6\n[settings]\npause = 2.0")
    (work / "slow.toml").write_text(slow)
    store = tmp_path / "store"
    search = Program(
        "-m", "studies.cli.main", "search", "slow.toml", "--jobs", "1", "--store", store,
        folder=work,
    )  # fmt: skip
    search.wait_for("^trial    1 ")
    said = retrial("pack", "slow", "slow.pack", "--store", store, folder=tmp_path)
    assert "slow is being searched: the pack has it as it was" in said
    assert retrial("list", "--store", store, folder=tmp_path).split()[6:8] == ["slow", "running"]
    retrial("unpack", "slow.pack", "--store", "other", folder=tmp_path)
    retrial("search", "slow", "--jobs", "2", "--store", tmp_path / "other", folder=work)
    assert search.wait() == 0
    trials = [_trials(place) for place in (store, tmp_path / "other")]
    assert trials[0] == trials[1]
    assert len(trials[0]) == 6


def _trials(store):
    with Ledger(store / names.LEDGER) as ledger:
        assert ledger.trials("slow", unrecorded=True) == []
        return [(trial.parameters, trial.value, trial.state) for trial in ledger.trials("slow")]


def test_a_study_that_is_searched_is_read(store, capsys):
    with lock.hold(store / names.LEDGER, "digits", "searched"):
        assert main(["show", "digits", "--store", str(store)]) == 0
        assert main(["list", "--store", str(store)]) == 0
    assert "running" in capsys.readouterr().out
