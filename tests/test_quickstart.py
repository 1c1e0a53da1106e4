"""docs/quickstart.md and docs/quickstart.ipynb: run them as a user does."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from notebooks import run_notebook
from programs import run_to_end

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
PAGE = (ROOT / "docs" / "quickstart.md").read_text("utf-8")
CODE = re.findall(r"^```(?:python|toml)\n(.*?)^```", PAGE, re.M | re.S)


@pytest.mark.slow
def test_the_files_and_commands_of_the_page_work(tmp_path):
    script, study, training = CODE
    (tmp_path / "tune.py").write_text(script)
    (tmp_path / "my-study.toml").write_text(study)
    (tmp_path / "training.py").write_text(training)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = {"python": [], "retrial": ["-m", "studies.cli.main"]}
    commands = re.findall(r"^\$ (python|retrial) (.*)$", PAGE, re.M)
    printed = []
    for program, arguments in [*commands, ("python", "training.py")]:
        command = [sys.executable, *start[program], *arguments.split()]
        printed.append(run_to_end(command, cwd=tmp_path, env=environment, check=True).stdout)
    tuned, searched, shown, reproduced, confirmed, trained = printed
    assert "tune: 8 of 8 trials, best val_accuracy 0." in tuned
    assert "my-study: 12 of 12 trials, best val_accuracy 0.9" in searched
    assert "learning_rate" in shown
    assert "exact: all metrics and digests of 10 epochs" in reproduced
    assert "model: my-study/1, my-study@champion" in confirmed
    assert [line.split()[0] for line in trained.splitlines()] == ["1", "2", "3"]


@pytest.mark.slow
def test_the_notebook_goes_from_nothing_to_a_reproduced_best_trial(tmp_path):
    _, called, defined, searched, results, history, values, reproduced = (
        cells := run_notebook(tmp_path, NOTEBOOK)
    )
    assert [cell.error for cell in cells] == [None] * 8
    assert [cell.warnings for cell in cells] == [""] * 8
    assert float(called.values[0]["text/plain"].strip("np.float64()")) > 0.1
    assert defined.text == ""
    (display,) = searched.displays
    assert display["text/plain"].splitlines()[-1].startswith("10 of 10 trials, best accuracy 0.9")
    assert "reproduce it: retrial reproduce best --study quickstart" in searched.text
    assert results.text.startswith("trial ")
    assert "complete" in results.text
    assert "<table" in results.values[0]["text/html"]
    for figure in (history, values):
        shown = [data for data in (*figure.displays, *figure.values) if "image/png" in data]
        assert len(shown) == 1
    assert reproduced.text == "exact []\n"
    assert {path.name for path in tmp_path.iterdir()} == {"mlruns", "notebook_objectives"}


def test_the_notebook_shows_the_outputs_of_a_search():
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    text = json.dumps([cell["outputs"] for cell in code])
    assert "10 of 10 trials, best accuracy" in text
    assert text.count("image/png") == 2
    assert "exact []" in text
    assert "/home/" not in text
    assert "/tmp/" not in text
