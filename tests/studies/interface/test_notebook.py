"""Objectives of notebooks, in a kernel: searched, interrupted, continued, reproduced, refused."""

import os
import re
import sys

import pytest
from notebooks import INTERRUPT, ROOT, run_cells
from programs import run_to_end

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
# Imported before the search: two threads that import the same packages at once may fail.
HAS_EPOCHS = """
from tracking.ledger import Ledger
import studies.search.procedure

def has_epochs():
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


REFUSED = [
    (
        "table = {'a': 1}\ndef change(): table['a'] = 2\ndef f1(x): return table['a']\nchange()",
        "f1 uses table, whose value its cells do not explain",
    ),
    (
        "x0 = np.zeros(3)\ndef fill(array): array.fill(1)\ndef f2(x): return x0.sum()\nfill(x0)",
        "f2 uses x0, whose value its cells do not explain",
    ),
    (
        "import pandas\nframe = pandas.DataFrame({'a': [1.0]})\ndef f3(x): return frame.a.sum()\n"
        "def set_first(frame): frame.loc[0, 'a'] = 2\nset_first(frame)",
        "f3 uses frame, whose value its cells do not explain",
    ),
    (
        "def bind():\n    global bound\n    bound = 1\nbind()\ndef f4(x): return bound",
        "f4 uses bound, which no cell defines",
    ),
    ("def f5(x): return _oh", "f5 uses _oh, which no cell defines"),
    (
        "files = !ls\ndef f6(x): return len(files)",
        "f6 uses get_ipython(), which only notebooks have",
    ),
    (
        "from pathlib import Path\nPath('once').write_text('1')\nonce = open('once').read()\n"
        "def unlink(): Path('once').unlink()\nunlink()\ndef f7(x): return once",
        "the cells that f7 depends on do not run by themselves: FileNotFoundError in "
        "`once = open('once').read()`: ",
    ),
    ("f8 = lambda x: x", "got <lambda>, a lambda, expected a function"),
]


@pytest.mark.slow
def test_what_the_cells_do_not_explain_is_refused_and_nothing_is_left(tmp_path):
    def study(number):
        space = '{"x": studies.Float(0, 1)}'
        return f'studies.Study(f{number}, {space}, metric="loss", name="n", trials=2)'

    cells = [[cell, study(number)] for number, (cell, _) in enumerate(REFUSED, 1)]
    fixed = "%%writefile objective.py\ndef f9(x):\n    return x"
    shown = run_cells(
        tmp_path, BEGIN, *(one for pair in cells for one in pair),
        "x0 = np.ones(3)", f"{study(2)}.search(progress=False);",
        fixed, f"from objective import f9\n{study(9)}.name",
        f"%%writefile tune.py\nimport studies\ndef f10(x): return x\n{study(10)}.name",
        "%run tune.py", "%run tune.py",
    )  # fmt: skip
    refused = shown[2 : 2 + 2 * len(REFUSED) : 2]
    for cell, (_, message) in zip(refused, REFUSED, strict=True):
        assert cell.error is not None
        assert f"InputError: objective: {message}" in cell.error
        assert ("%%writefile objective.py" in cell.error) == ("lambda" not in message)
    assert [cell.error for cell in shown[-7:]] == [None] * 7
    (file,) = (tmp_path / "notebook_objectives").glob("*.py")
    assert file.name.startswith("f2_")
    assert file.read_text() == (
        "import numpy as np\n\ndef f2(x): return x0.sum()\n\nx0 = np.ones(3)\n"
    )


@pytest.mark.slow
def test_a_notebook_run_again_continues_with_its_helpers_its_test_and_on_the_command_line(tmp_path):
    (tmp_path / "helper.py").write_text("FACTOR = 2\n")
    cells = [
        BEGIN,
        "import helper\nhere = 3",
        "def objective(x): return helper.FACTOR * x * here",
        "def test(model): return here",
        'study = studies.Study(objective, {"x": studies.Float(0, 1)}, metric="loss", trials={},\n'
        "    test=test, sampler='random')",
        "study.search(jobs=1)\nprint(study.name, study.best.value)",
    ]
    *first, define, search = cells
    one = run_cells(tmp_path, *first, define.replace("trials={}", "trials=2"), search)[-1]
    assert one.error is None
    # In another order, in another kernel.
    two = run_cells(
        tmp_path, *first, "here = 3", define.replace("trials={}", "trials=3"), search,
        "print(study.tables['study']['test'])\nhere = 4", "study.search(trials=4)",
    )  # fmt: skip
    *_, more, test, changed = two
    assert more.text.splitlines()[-1].split()[0] == one.text.splitlines()[-1].split()[0]
    name = more.text.split()[-2]
    assert re.fullmatch("objective_[0-9a-f]{8}", name)
    assert test.text.startswith("test_")
    assert changed.error == (
        "InputError: objective: the notebook has changed what it depends on; "
        "run the cell that defines the study again"
    )
    (tmp_path / "helper.py").write_text("FACTOR = 3\n")
    start = [sys.executable, "-m", "studies.cli.main", "reproduce", "best", "--study", name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    changed = run_to_end(start, cwd=tmp_path, env=environment)
    assert "code: helper was " in changed.stdout, changed.stderr
    recorded = run_to_end([*start, "--recorded-code"], cwd=tmp_path, env=environment)
    assert "exact: all metrics" in recorded.stdout, recorded.stderr
