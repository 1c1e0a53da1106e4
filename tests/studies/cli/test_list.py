"""`retrial list`: each study of a store in a line."""

import json
import time

import pytest
from stored_studies import START, a_definition, a_search
from terminal import Terminal

from studies.cli.main import main
from tracking.ledger import lock
from tracking.records import StudyNotes
from tracking.records.confirmation import Confirmation


@pytest.fixture
def listed(tmp_path, capsys):
    """Run the command; return its lines, or the studies by their names with --json."""

    def run(*options):
        assert main(["list", "--store", str(tmp_path), *options]) == 0
        out = capsys.readouterr().out
        return {one["study"]: one for one in json.loads(out)} if options else out.splitlines()

    return run


def search(ledger, name, states, **section):
    a_search(ledger, a_definition(name=name, **{"trials": 4, **section}), states)


def test_a_study_is_a_line(ledger, listed, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: START)
    search(ledger, "digits", ["complete", "failed", "complete", "pruned"])
    monkeypatch.setattr(time, "time", lambda: START + 8000)
    heading, line = listed()
    assert heading.split() == ["study", "state", "trials", "failed", "when", "size", "best"]
    words = line.split()
    assert words[:7] == ["digits", "complete", "4/4", "1", "2", "h", "ago"]
    assert words[-2:] == ["val_accuracy", "(max)"]


def test_the_best_is_below_in_a_narrow_terminal(ledger, tmp_path, monkeypatch):
    search(ledger, "a-study-with-a-long-name" * 2, ["complete"] * 2)
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    assert main(["list", "--store", str(tmp_path)]) == 0
    assert max(map(len, terminal.lines)) <= 90
    assert any(line.startswith("  best 0.") for line in terminal.lines)


def test_states(ledger, listed, tmp_path):
    search(ledger, "whole", ["complete"] * 4)
    search(ledger, "open", ["complete", "running"])
    search(ledger, "stopped", ["complete"])
    search(ledger, "ended", ["complete"] * 3, stop={"patience": 2})
    search(ledger, "confirmed", ["complete"] * 4)
    search(ledger, "damaged", ["complete"])
    search(ledger, "trainings", ["complete"])
    search(ledger, "searched", [])
    ledger.update_notes("ended", recorded=True)
    ledger.update_notes("trainings", trainings_of="whole")
    found = Confirmation(
        "confirmed", "val_accuracy", "maximize", 1, 1, 4, START, (), None, None
    )  # fmt: skip
    ledger.update_notes("confirmed", confirmation=found)
    assert StudyNotes(confirmation=found).confirmation is found
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET outcome = '{' WHERE study = 'damaged'")
    with lock.hold(tmp_path / "ledger.db", "searched", "searched"):
        studies = listed("--json")
    assert {name: study["state"] for name, study in studies.items()} == {
        "whole": "complete",
        "open": "interrupted",
        "stopped": "interrupted",
        "ended": "complete",
        "confirmed": "confirmed",
        "damaged": "damaged",
        "trainings": "trainings",
        "searched": "running",
    }
    assert (studies["open"]["trials"], studies["open"]["of"]) == (1, 4)
    assert studies["whole"]["best"]["trial"] in range(4)
    assert studies["whole"]["bytes"] > 0
    assert studies["damaged"]["metric"] is None
    assert any(line.split()[:3] == ["damaged", "damaged", "-"] for line in listed())


def test_a_store_without_studies(ledger, listed, tmp_path):
    assert listed() == [f"{tmp_path} has no studies"]


def test_a_folder_that_is_no_store_is_refused(tmp_path, capsys):
    assert main(["list", "--store", str(tmp_path / "none")]) == 2
    assert "has no studies, expected a store" in capsys.readouterr().err
