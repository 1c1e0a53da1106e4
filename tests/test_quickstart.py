"""docs/quickstart.ipynb: run it as a user does, and check what it shows."""

import json
from pathlib import Path

import pytest
from notebooks import run_notebook

NOTEBOOK = Path(__file__).parents[1] / "docs" / "quickstart.ipynb"


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
