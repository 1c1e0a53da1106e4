"""Files that define a study and search it: no main guard, and one definition for everyone."""

import os
import signal
import sys
from pathlib import Path

import pytest
from drivers import OBJECTIVES_PATH, ledger_of, wait_until_a_trial_trains
from programs import Program, run_to_end

from studies.interface import scripts

SCRIPT = """
import os
from pathlib import Path

import studies
from curves import Curve, climb

with open("read", "a") as file:
    print(__name__, file=file)

def objective(settings, data, report, resume=None):
    return climb(settings, data, report, resume)

study = studies.Study(
    objective, {"rate": studies.Float(1e-3, 1.0, log=True)}, settings=Curve,
    metric="value", direction="maximize", trials=3, window=4, fixed={"delay": DELAY},
)
"""
SEARCH = "study.search(jobs=2)\nprint(study.best)\nopen('after', 'a').write('x')\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", OBJECTIVES_PATH)
    return tmp_path


def write(text, name="tune.py", delay=0.0):
    Path(name).write_text(text.replace("DELAY", str(delay)))


def python(*arguments):
    return run_to_end([sys.executable, *arguments])


def retrial(*arguments):
    return python("-m", "studies.cli.main", *arguments)


def test_a_script_searches_without_a_main_guard_and_the_command_continues_it():
    write(SCRIPT + SEARCH)
    done = python("tune.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tune: 3 of 3 trials, best value " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("trial ")
    assert Path("after").read_text() == "x"
    read = Path("read").read_text().split()
    assert (read.count("__main__"), set(read)) == (1, {"__main__", "tune"})
    assert retrial("search", "tune.py").stdout == (
        "tune: nothing to do, 3 of 3 trials are finished\n"
    )
    more = retrial("search", "tune.py", "--trials", "4", "--jobs", "1")
    assert "tune: 4 of 4 trials, best value " in more.stdout, more.stderr
    assert "code: tune was" not in more.stderr
    assert Path("after").read_text() == "x"
    with ledger_of("mlruns") as ledger:
        assert ledger.study("tune").definition["study"]["objective"] == "tune:objective"


def test_the_store_of_the_command_line_wins_over_that_of_a_script(monkeypatch):
    write(SCRIPT.replace("metric=", "store='own', metric=") + SEARCH)
    options = ("--no-record", "--trials", "1")
    assert retrial("search", "tune.py", *options).returncode == 0
    assert retrial("search", "tune.py", *options, "--store", "given").returncode == 0
    assert sorted(os.listdir()) == ["given", "own", "read", "tune.py"]


def test_other_values_of_the_command_line_make_another_study():
    write(SCRIPT + SEARCH)
    done = retrial("search", "tune.py", "--seed", "7", "--trials", "1", "--no-record")
    assert "tune-seed7: 1 of 1 trials" in done.stdout, done.stderr
    done = retrial("train", "tune.py", "--no-record", "--set", "rate=0.5", "epochs=2")
    assert "tune-train: value " in done.stdout, done.stderr


TWO = """
small = study
large = studies.Study(
    "tune:objective", {"waves": studies.Integer(1, 9)}, settings="tune:Curve",
    metric="value", direction="maximize", trials=2, name="large",
)
"""


def test_a_study_of_several_is_chosen_by_its_name():
    write(SCRIPT + TWO + SEARCH)
    done = retrial("search", "tune.py", "--no-record")
    assert (done.returncode, done.stderr) == (
        2, "retrial: study: tune.py defines 2 studies, expected tune.py:tune or tune.py:large\n"
    )  # fmt: skip
    done = retrial("search", "tune.py:small", "--no-record")
    assert done.stderr == (
        "retrial: study: tune.py has no 'small', expected tune.py:tune or tune.py:large\n"
    )
    done = retrial("search", "tune.py:large", "--no-record")
    assert "large: 2 of 2 trials" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "tune.py defines no study, expected study = studies.Study(...) at its top"),
        ("\nx = int('a')\n", "cannot read tune.py: ValueError in line 2: invalid literal for int"),
        ("def (\n", "cannot read tune.py: SyntaxError: invalid syntax (tune.py, line 1)"),
        ("\n\nimport absent\n", "cannot read tune.py: ModuleNotFoundError in line 3: No module "),
        ("exit(3)\n", "cannot read tune.py: SystemExit in line 1: 3"),
    ],
)
def test_a_file_that_defines_no_study_is_one_sentence(text, message):
    write(text)
    done = retrial("search", "tune.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"retrial: study: {message}"), done.stderr
    assert done.stderr.count("\n") == 1
    assert os.listdir() == ["tune.py"]


def test_a_file_that_cannot_be_a_module_of_its_own_name_is_rejected():
    for name, message in [
        ("tune.v2.py", "tune.v2.py has dots in its name, expected NAME.py"),
        ("own/json.py", "worker processes would import 'json' from "),
        ("absent.py", "no such file: 'absent.py'"),
    ]:
        if name != "absent.py":
            Path(name).parent.mkdir(exist_ok=True)
            write(SCRIPT, name)
        done = retrial("search", name)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"retrial: study: {message}"), done.stderr


def test_an_objective_below_the_first_search_is_rejected_before_a_worker_misses_it():
    write(
        SCRIPT
        + "study.search(progress=False)\n"
        + "def later(settings, data, report):\n    pass\n"
        + "studies.Study(later, {'rate': studies.Float(0, 1)}, settings=Curve, name='later')\n"
    )
    done = python("tune.py")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "nets.errors.InputError: objective: later is defined in line 19 of tune.py, below line 18,"
        " up to which worker processes read the file; define it above the first search"
    )


def test_a_function_that_another_of_its_name_has_replaced_is_rejected():
    write(SCRIPT + "def objective(settings, data, report):\n    pass\n" + "study.search()\n")
    done = python("tune.py")
    assert done.stderr.splitlines()[-1] == (
        "nets.errors.InputError: objective: __main__ has another objective, which replaced this "
        "one, expected functions with different names"
    )
    assert not os.path.exists("mlruns")


def test_control_c_stops_safely_and_the_same_script_continues():
    write(SCRIPT.replace("trials=3", "trials=30") + SEARCH, delay=0.2)
    program = Program("tune.py")
    while not program.line().startswith("trial "):
        pass
    wait_until_a_trial_trains("mlruns", "tune")
    program.signal(signal.SIGINT)
    code, output, errors = program.finish()
    assert code in (1, 130, -signal.SIGINT)
    assert "stopped: the same call continues it\n" in output
    assert errors.startswith("retrial: stopping at the end of the running epochs; press Ctrl-C")
    assert errors.endswith("KeyboardInterrupt\n")
    assert not os.path.exists("after")
    done = retrial("search", "tune.py", "--trials", "4", "--no-record")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_trial_of_a_script_is_reproduced_also_with_its_recorded_code():
    write(
        SCRIPT
        + "print('read by', __name__)\n"
        + SEARCH
        + "print(study.reproduce(0).verdict, study.reproduce('best', recorded_code=True).verdict)\n"
    )
    done = python("tune.py")
    assert done.stdout.splitlines()[-1] == "exact exact", done.stderr
    command = ["reproduce", "0", "--study", "tune", "--recorded-code", "--json"]
    done = retrial(*command)
    assert done.stdout.startswith('{\n  "verdict": "exact"'), done.stdout + done.stderr


def test_the_form_of_a_script():
    assert [scripts.is_script(text) for text in ("a.py", "b/a.py:x", "a.py:", "a", "py")] == [
        True, True, True, False, False,
    ]  # fmt: skip
