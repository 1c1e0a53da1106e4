"""The commands on the README's first screen, as a user types them."""

import json
import os
import re
import shlex
import signal
import sys
import urllib.request
from pathlib import Path

import pytest
from programs import Program, free_port, run_to_end
from waiting import PATIENCE

ROOT = Path(__file__).parents[1]
RETRIAL = str(Path(sys.prefix) / "bin" / "retrial")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Environment variables that select an empty store for these tests."""
    return {**os.environ, "RETRIAL_STORE": str(tmp_path_factory.mktemp("first") / "mlruns")}


def run(command, environment, **options):
    return run_to_end(command, env=environment, cwd=ROOT, **options)


def made_by(target):
    """Return the last command of a make target, for the environment of this test run."""
    # A make started by make inherits MAKE* variables, and would print the folder it works in.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = run_to_end(
        ["make", "--dry-run", f"VENV={sys.prefix}", target], cwd=ROOT, env=alone, check=True
    )
    return shlex.split(done.stdout.strip().splitlines()[-1])


def shown_in_readme():
    """Return the make targets on the README's first screen."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    block = next(block for block in blocks if "$ make" in block)
    return re.findall(r"^\$ make ([a-z-]+)", block, re.M)


def test_readme_shows_the_commands_in_the_order_tested_here():
    assert shown_in_readme() == ["search", "reproduce", "ui", "test"]


def test_search_prints_a_line_per_trial_and_the_best(environment):
    done = run(made_by("search"), environment)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(line.startswith("trial ") for line in lines) == 20
    assert any(line.startswith("digits: 20 of 20 trials, best val_accuracy 0.9") for line in lines)
    assert lines[0].startswith("digits: 20 trials, maximize val_accuracy, ")
    assert lines[-4] == "reproduce it: retrial reproduce best --study digits"
    assert [line[:28].rstrip() for line in lines[-3:]] == [
        "next: retrial show digits", "      retrial confirm digits", "      retrial ui",
    ]  # fmt: skip
    assert done.stderr == ""


def test_a_second_search_has_nothing_to_do(environment):
    done = run(made_by("search"), environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "digits: nothing to do, 20 of 20 trials are finished\n"


def test_show_prints_every_trial_as_json(environment):
    done = run([RETRIAL, "show", "digits", "--json"], environment)
    shown = json.loads(done.stdout)
    assert [trial["number"] for trial in shown["trials"]] == list(range(20))
    assert {trial["state"] for trial in shown["trials"]} <= {"complete", "pruned"}
    assert all(trial["run_id"] for trial in shown["trials"])
    best = shown["trials"][shown["best"]]
    assert best["value"] == max(t["value"] for t in shown["trials"] if t["state"] == "complete")
    assert best["epochs"][-1]["val_accuracy"] == best["value"]


def test_the_best_trial_is_reproduced_exactly(environment):
    done = run(made_by("reproduce"), environment)
    assert done.returncode == 0, done.stderr
    assert "exact: all metrics and digests of 20 epochs are equal to the last bit" in done.stdout


def test_a_pruned_trial_is_reproduced_exactly_with_json_output(environment):
    shown = json.loads(run([RETRIAL, "show", "digits", "--json"], environment).stdout)
    pruned = next(t for t in shown["trials"] if t["state"] == "pruned")
    done = run(
        [RETRIAL, "reproduce", str(pruned["number"]), "--study", "digits", "--json"], environment
    )
    assert json.loads(done.stdout) == {
        "verdict": "exact",
        "run_id": pruned["run_id"],
        "epoch": None,
        "metric": None,
        "differences": [],
    }


def test_ui_serves_its_port_and_exits_cleanly_on_ctrl_c(environment):
    port = free_port()
    ui = Program(RETRIAL, "ui", "--port", port, folder=ROOT, **environment)
    line = ui.line()
    assert f"http://127.0.0.1:{port}" in line, ui.lines
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=PATIENCE).read()
    assert b"MLflow" in page
    ui.signal(signal.SIGINT)
    code, _, errors = ui.finish()
    assert (code, errors) == (0, "")
