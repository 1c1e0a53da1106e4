"""The pages of `retrial ui` in a real browser."""

import re
import signal

import pytest
from drivers import OBJECTIVES_PATH, ledger_of, write_study
from programs import Program

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


def test_one_click_on_a_study_shows_its_trials_best_first(tmp_path, monkeypatch):
    store = tmp_path / "store"
    study = write_study(tmp_path, trials=4)
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
            shown = chromium.wait_for("trial 0003")
            assert "Ask questions about your experiments" not in shown
            numbers = [int(number) for number in re.findall(r"trial (\d{4})", shown)]
            with ledger_of(store) as ledger:
                values = {trial.number: trial.value for trial in ledger.trials("curves")}
            best = [n for n in sorted(values, key=values.get, reverse=True)]
            assert numbers[:4] == best
            heads = ["retrial.state", "value", "epochs", "seconds"]
            places = [chromium._run(LEFT_EDGE, head) for head in heads]
            assert None not in places
            assert places == sorted(places)
            # The same from MLflow's own list of experiments.
            address = page.removesuffix("/studies")
            chromium.seconds_until(f"{address}/#/experiments", "curves")
            chromium.click("curves")
            assert "Hyperparameter search: maximize value" in chromium.wait_for("study curves")
    finally:
        server.signal(signal.SIGTERM)
        server.finish()
