"""The end of a record: complete, or left to the next search."""

import pytest
from searches import ShuffledEngine, a_study, search

from studies.recording import listener
from studies.recording.listener import Record
from tracking.ledger import Ledger
from tracking.records import Environment

# MLflow warns about the libraries that it uses.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload``"),
    pytest.mark.filterwarnings("ignore:.*type hint"),
]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_a_record_that_is_stopped_is_completed_by_the_next_one(
    ledger, generator, store, monkeypatch, capsys
):
    study = a_study(trials=12)
    search(study, ledger, ShuffledEngine(4, generator))
    monkeypatch.setattr("tracking.runs.recorder.WAITING", 0.01)
    monkeypatch.setattr(listener, "WAITING", 0.01)
    lines = []
    with pytest.raises(KeyboardInterrupt):
        Record(ledger.path, store, study, Environment(), figures=False).finish(
            "finished", lines.append, stopped=lambda: True
        )
    assert lines[0].endswith(" of 12 trials are in MLflow")
    done, total = ledger.recorded(study.name)
    assert done < total == 12
    left = f"retrial: not recorded yet: MLflow: it lacks {12 - done} of 12 trials\n"
    assert capsys.readouterr().err == left
    record = Record(ledger.path, store, study, Environment(), figures=False)
    record.finish("finished")
    assert (record.problems, capsys.readouterr().err) == ([], "")
    with Ledger(ledger.path) as again:
        assert again.recorded(study.name) == (12, 12)
