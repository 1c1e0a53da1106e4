"""Large models: nothing has one in memory twice, and the ledger keeps no space of them."""

import json
import os
import sys
from pathlib import Path

import pytest
from curves import WEIGHTS
from drivers import OBJECTIVES_PATH, ledger_of, write_study
from programs import run_to_end
from searches import a_study, trials_with

from studies.cli.main import main
from tracking.ledger import Ledger

MEASURE = """
import sys
from pathlib import Path
from curves import peak_memory
from searches import a_study, trials_with
from tracking.ledger import Ledger

study = a_study(objective="curves:climb_with_weights", trials=5)
before = peak_memory()
trials_with(study, Path(sys.argv[1]), 1)
searched = peak_memory()
with Ledger(Path(sys.argv[1])) as ledger:
    for number in range(5):
        ledger.model(study.name, number)
    workers = [ledger.epochs(study.name, number)[-1].metrics["memory"] for number in range(5)]
print(searched - before, peak_memory() - before, workers[-1] - workers[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_driver_and_recorder_do_not_keep_models_in_memory_and_workers_let_them_go(tmp_path):
    done = run_to_end(
        [sys.executable, "-c", MEASURE, tmp_path / "ledger.db"],
        env={**os.environ, "PYTHONPATH": OBJECTIVES_PATH},
        check=True,
    )
    search, reading, worker = map(float, done.stdout.split())
    # Of five. While one arrives, `Connection.recv_bytes` may have most of it twice: in its buffer,
    # and as the result of one read, which is as long as the scheduler lets the worker get ahead.
    assert search < 3.5 * WEIGHTS
    assert reading < 3.5 * WEIGHTS
    assert worker < 3.5 * WEIGHTS  # as an array, packed, and parts of it in between


def test_a_model_that_cannot_be_stored_fails_its_trial_only(tmp_path):
    study = a_study(
        objective="curves:climb_with_weights", settings={"fault": "huge"}, trials=6,
    )  # fmt: skip
    found = trials_with(study, tmp_path / "ledger.db", 2)
    failed = [trial for trial in found if trial["settings"]["seed"] % 3 == 0]
    assert 0 < len(failed) < 6
    for trial in found:
        assert trial["state"] == ("failed" if trial in failed else "complete")
        if trial in failed:
            assert trial["outcome"].error.summary == (
                "ValueError: Model: got 8,000,001,012 bytes, expected at most 900,000,000, the "
                "limit of SQLite"
            )
    with Ledger(tmp_path / "ledger.db") as ledger:
        sizes = [ledger.model(study.name, n) and 1 for n in range(6)]
    assert sizes == [None if trial in failed else 1 for trial in found]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload``")  # SQLAlchemy's to MLflow
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred")  # MLflow's to models
def test_the_ledger_releases_the_space_of_models_that_mlflow_has(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(Path(write_study.__code__.co_filename).parent)
    path = write_study(tmp_path, trials=3, objective="climb_with_weights")
    store = tmp_path / "store"
    assert main(["search", str(path), "--store", str(store), "--jobs", "2"]) == 0
    assert (store / "ledger.db").stat().st_size < 1_000_000
    ledger = ledger_of(store)
    assert ledger.unused_bytes() == 0
    ledger.close()
    capsys.readouterr()
    assert main(["show", "curves", "--json", "--store", str(store)]) == 0
    shown = json.loads(capsys.readouterr().out)
    recorded = [trial for trial in shown["trials"] if trial["state"] == "complete"]
    weights = [p for p in (store / "artifacts").rglob("weights.npz") if p.stat().st_size > WEIGHTS]
    assert len(weights) == len(recorded) > 0
