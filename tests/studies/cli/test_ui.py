"""The pages of `retrial ui` in a real browser."""

import re
import signal

import pytest
from drivers import OBJECTIVES_PATH, ledger_of, write_study
from programs import Program
from waiting import until

from benchmarks import browser
from studies.cli.main import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not browser.is_here(), reason=browser.NO_BROWSER),
    pytest.mark.filterwarnings("ignore"),  # of SQLAlchemy and MLflow, while models are logged
]

LEFT_EDGE = """
const heads = [...document.querySelectorAll('[role=columnheader]')]
const found = heads.find(head => head.innerText.trim() === arguments[0])
return found ? found.getBoundingClientRect().left : null
"""
"""The texts of a page are in another order than its columns."""

COLOR_OF_MARK = """
const names = [...document.querySelectorAll('[role=row] a')]
const name = names.find(link => link.innerText.trim() === arguments[0])
const cell = name.closest('[role=gridcell]')
const mark = [...cell.querySelectorAll('*')].find(
    part => getComputedStyle(part).borderRadius !== '0px'
        && getComputedStyle(part).backgroundColor !== 'rgba(0, 0, 0, 0)')
return getComputedStyle(mark).backgroundColor
"""
"""Of the mark in the table beside the name of a run."""

IMAGES = """
const images = [...document.querySelectorAll('img')].filter(i => i.src.includes('figures/'))
return images.map(image => [new URL(image.src).searchParams.get('path'), image.naturalWidth > 500])
"""
"""Of the figures on the page of a study's run: their paths, and whether they were loaded."""


def test_one_click_on_a_study_shows_its_trials_best_first(tmp_path, monkeypatch):
    store = tmp_path / "store"
    study = write_study(tmp_path, trials=8)
    monkeypatch.syspath_prepend(OBJECTIVES_PATH)
    monkeypatch.setenv("PYTHONPATH", OBJECTIVES_PATH)
    assert main(["search", str(study), "--jobs", "1", "--store", str(store)]) == 0
    command = ["-m", "studies.cli.main", "ui", "--port", "0", "--store", str(store)]
    server = Program(*command, folder=tmp_path)
    try:
        page = next(word for word in server.line().split() if word.startswith("http"))
        with browser.opened() as chromium:
            chromium.seconds_until(page, "curves")
            chromium.click("curves")
            shown = chromium.wait_for("trial 0007")
            assert "Ask questions about your experiments" not in shown
            numbers = [int(number) for number in re.findall(r"trial (\d{4})", shown)]
            with ledger_of(store) as ledger:
                trials = {trial.number: trial for trial in ledger.trials("curves")}
            assert numbers[:8] == sorted(trials, key=lambda n: trials[n].value, reverse=True)
            pruned = {number for number, trial in trials.items() if trial.state == "pruned"}
            grey = {
                number
                for number in trials
                if chromium._run(COLOR_OF_MARK, f"trial {number:04d}") == "rgb(169, 173, 181)"
            }
            assert 0 < len(pruned) < 8
            assert grey == pruned
            heads = ["retrial.state", "value", "epochs", "seconds"]
            places = [chromium._run(LEFT_EDGE, head) for head in heads]
            assert None not in places
            assert places == sorted(places)
            # The same from MLflow's own list of experiments.
            address = page.removesuffix("/studies")
            chromium.seconds_until(f"{address}/#/experiments", "curves")
            chromium.click("curves")
            assert "Hyperparameter search: maximize value" in chromium.wait_for("study curves")
            chromium.click("study curves")
            chromium.wait_for("Reproduce the best trial")
            drawn = sorted(f"figures/{path.name}" for path in store.rglob("figures/*.png"))
            until(lambda: sorted(chromium._run(IMAGES)) == [[path, True] for path in drawn])
            assert "figures/optimization_history.png" in drawn
    finally:
        server.signal(signal.SIGTERM)
        server.finish()
