"""Objectives of notebooks, in a kernel: searched, interrupted, continued, reproduced, refused."""

import pytest
from notebooks import INTERRUPT, run_cells

BEGIN = "%matplotlib inline\nimport time\nimport numpy as np\nimport studies"
DATA = "%%time\nrows = [1.0, 2.0]\nscale = np.array([3.0])"
CHANGES = "rows.append(4.0)\nscale *= 2"
SEARCH = """
def slow(trial, x, epochs=40):
    for epoch in trial.epochs(epochs):
        time.sleep(0.05)
        trial.report(loss=(x - 0.3) ** 2 + epoch * sum(rows) * scale[0])

study = studies.Study(
    slow, {"x": studies.Float(0, 1)}, name="slow", metric="loss", trials=4, sampler="random"
)
study.search(jobs=2);
"""
HAS_EPOCHS = """
def has_epochs():
    from tracking.ledger import Ledger
    if not _Path("mlruns/ledger.db").is_file():
        return False
    with Ledger(_Path("mlruns/ledger.db"), create=False) as ledger:
        return "slow" in ledger.study_names() and any(
            len(ledger.epochs("slow", trial.number)) > 3 for trial in ledger.trials("slow")
        )
"""
FRAME = "studies.open({!r}).frame(epochs=True).loss"


@pytest.mark.slow
def test_an_interrupted_search_continues_when_the_cell_runs_again(tmp_path):
    *_, stopped, whole, again, reproduced, undisturbed, equal = run_cells(
        tmp_path, BEGIN, DATA, CHANGES, INTERRUPT, HAS_EPOCHS,
        f"interrupt_when(has_epochs)\n{SEARCH}", SEARCH, SEARCH,
        "print(study.reproduce().verdict, study.reproduce(recorded_code=True).verdict)",
        SEARCH.replace('name="slow"', 'name="undisturbed"'),
        f"{FRAME.format('slow')}.equals({FRAME.format('undisturbed')})",
    )  # fmt: skip
    assert stopped.error == "KeyboardInterrupt: "
    assert "stopped: the same call continues it" in stopped.text
    assert whole.error is None
    assert "slow: 4 of 4 trials, best loss" in whole.text
    (display,) = whole.displays
    *lines, summary = display["text/plain"].splitlines()
    assert sorted(int(line.split()[1]) for line in lines) == [0, 1, 2, 3]
    assert all("40 epochs" in line and "  x 0." in line for line in lines)
    assert summary.startswith("4 of 4 trials, best loss ")
    assert again.text == "slow: nothing to do, 4 of 4 trials are finished\n"
    assert reproduced.text == "exact exact\n", reproduced.warnings
    assert undisturbed.error is None
    assert equal.values[0]["text/plain"] == "True"
    (file,) = (tmp_path / "notebook_objectives").iterdir()
    assert file.read_text().startswith(
        "import time\n\nimport numpy as np\n\nrows = [1.0, 2.0]\n\nscale = np.array([3.0])\n\n"
        "rows.append(4.0)\n\nscale *= 2\n\ndef slow("
    )
