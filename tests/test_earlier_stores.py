"""Stores that earlier versions wrote: everything in them is read, continued and reproduced.

`tests/stores/first_round.tar.xz` is from before the first release. In its store the study `tiny`
is complete, confirmed, registered and recorded in MLflow; the search of `waves` was killed, and was
not recorded. `whole.db` is the ledger of `waves` after a search without interruption,
`waves.retrial` a pack of its first trials.
"""

import contextlib
import json
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from earlier_store import EarlierStore

from studies.cli import main
from studies.definition import study_file
from tracking.ledger import Ledger
from tracking.provenance import environment
from tracking.records import (
    Environment,
    EpochRecord,
    SamplerAttributes,
    StudyNotes,
    TrialOutcome,
    differences,
)
from tracking.records.confirmation import Confirmation, Estimate, RecordedConfirmation

JSON = {
    ("study", "environment"): Environment,
    ("trial", "memory"): SamplerAttributes,
    ("trial", "outcome"): TrialOutcome,
}


@pytest.fixture
def earlier(tmp_path):
    """The archive, unpacked for one test."""
    return EarlierStore("first_round.tar.xz", tmp_path)


@pytest.fixture
def read(earlier, capsys, monkeypatch):
    """Runs a command in this process, which only reads, and returns what it prints."""
    monkeypatch.chdir(earlier.folder)
    monkeypatch.syspath_prepend(earlier.folder)  # for the objective of `waves`

    def read(*arguments, store=earlier.store):
        assert main.main([*arguments, "--store", str(store)]) == 0
        return capsys.readouterr().out

    return read


def rows(database, query):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("database", ["store/ledger.db", "whole.db"])
def test_every_record_of_a_ledger_has_the_same_bytes_when_it_is_written_again(earlier, database):
    for (table, column), kind in JSON.items():
        texts = [
            text for (text,) in rows(earlier.folder / database, f"SELECT {column} FROM {table}")
        ]
        assert texts
        for text in texts:
            record = kind.from_json(json.loads(text))
            assert record.extra == {}
            assert json.dumps(record.to_json()) == text


@pytest.mark.parametrize("database", ["store/ledger.db", "whole.db"])
def test_the_notes_of_a_study_are_the_same_when_they_are_written_again(earlier, database):
    for name, text in rows(earlier.folder / database, "SELECT name, notes FROM study"):
        notes = StudyNotes.from_json(json.loads(text))
        assert notes.extra == {}
        again, stored = notes.to_json(), json.loads(text)
        # The order of the keys is that in which a ledger's notes were set, which it keeps.
        assert again.keys() == stored.keys()
        for key, value in again.items():
            assert json.dumps(value) == json.dumps(stored[key])
        with Ledger(earlier.folder / database) as ledger:
            ledger.update_notes(name, recorded=notes.recorded, first_worker=notes.first_worker)
        assert (name, text) in rows(earlier.folder / database, "SELECT name, notes FROM study")


def test_definitions_settings_and_epochs_are_read_as_they_are_stored(earlier, monkeypatch):
    monkeypatch.syspath_prepend(earlier.folder)  # for the objective of `waves`
    path = earlier.store / "ledger.db"
    with Ledger(path) as ledger:
        for name, definition in rows(path, "SELECT name, definition FROM study"):
            stored = ledger.study(name).definition
            assert json.dumps(stored) == definition
            assert json.dumps(study_file.stored(stored).definition) == definition
        for name, number, *texts in rows(
            path, "SELECT study, number, settings, parameters FROM trial"
        ):
            trial = ledger.trial(name, number)
            assert [json.dumps(trial.settings), json.dumps(trial.parameters)] == texts
            epochs = rows(
                path,
                "SELECT number, metrics, digests, seconds, at FROM epoch"
                f" WHERE study = '{name}' AND trial = {number} ORDER BY number",
            )
            assert epochs == [
                (
                    epoch.number,
                    json.dumps(epoch.metrics),
                    json.dumps(epoch.digests),
                    epoch.seconds,
                    epoch.at,
                )
                for epoch in ledger.epochs(name, number)
            ]


def test_the_records_in_mlflow_have_the_same_values_when_they_are_written_again(earlier):
    for path in earlier.store.rglob("environment.json"):
        text = path.read_text("utf-8")
        values = json.loads(text)
        record = Environment.from_json(values)
        assert record.extra == {}
        assert json.dumps(record.to_json()) == json.dumps(values)
    for path in earlier.store.rglob("epochs.json"):
        for values in json.loads(path.read_text("utf-8")):
            epoch = EpochRecord.from_json(values)
            assert epoch.extra == {}
            assert json.dumps(epoch.to_json()) == json.dumps(values)
    (path,) = earlier.store.rglob("confirmation.json")
    stored = json.loads(path.read_text("utf-8"))
    confirmation = Confirmation.from_json(stored)
    assert confirmation.extra == {}
    assert json.dumps(confirmation.to_json()) == json.dumps(stored)


def test_the_confirmation_of_a_study_is_read(earlier):
    with Ledger(earlier.store / "ledger.db") as ledger:
        notes = ledger.notes("tiny")
    confirmation = notes.confirmation
    assert (confirmation.winner, confirmation.top, confirmation.seeds) == (0, 1, 2)
    assert confirmation.test.accuracy == Estimate(0.575, 0.5234070415587919, 0.625009249907904)
    assert notes.repetitions == {
        (one.trial, one.number): one for one in confirmation.candidates[0].repetitions
    }
    assert notes.recorded_confirmation == RecordedConfirmation(
        "db0d4c4915e94026b8d415f787ab2566", "1"
    )


def test_a_study_with_a_confirmation_is_shown(read):
    shown = read("show", "tiny")
    assert "tiny: 3 of 3 trials (3 complete)" in shown
    assert "winner: trial 0, val_accuracy 0.5514 on average over 2 fresh seeds" in shown
    assert "test: accuracy 0.5750 (207 of 360, 0.5234 to 0.6250)" in shown
    assert "model: tiny/1, tiny@champion" in shown
    known = json.loads(read("show", "tiny", "--json"))
    assert known["best"] == 0
    assert [trial["value"] for trial in known["trials"]] == [
        0.4111111111111111,
        0.1361111111111111,
        0.2361111111111111,
    ]
    assert all(trial["run_id"] and len(trial["epochs"]) == 2 for trial in known["trials"])


def test_a_study_with_open_trials_is_shown(read):
    shown = read("show", "waves")
    assert "waves: 7 of 10 trials (2 complete, 2 failed, 3 open)" in shown
    assert "trial 0 failed: ValueError: this kind is broken" in shown
    known = json.loads(read("show", "waves", "--json"))
    assert (known["best"], known["confirmation"]) == (1, None)
    assert [trial["state"] for trial in known["trials"]] == [
        "failed", "complete", "complete", "failed", "running", "running", "running"
    ]  # fmt: skip


def test_a_confirmed_study_is_not_confirmed_once_more(read):
    assert read("confirm", "tiny", "--top", "1", "--seeds", "2").startswith(
        "tiny: confirmed before with --top 1 --seeds 2; the test images are used once"
    )


KINDS = ("data", "code", "settings", "versions", "threads", "kernel")


@pytest.fixture
def is_elsewhere(earlier):
    """Whether this machine has other versions or another BLAS kernel than the archive's."""
    with Ledger(earlier.store / "ledger.db") as ledger:
        recorded = ledger.study("tiny").environment
    now = environment.capture()
    kinds = {difference.kind for difference in differences(recorded, now)}
    packages = ("optuna", "scipy")
    return bool(kinds & {"versions", "kernel"}) or any(
        recorded.versions[name] != now.versions[name] for name in packages
    )


def check_verdict(verdict, kinds, is_elsewhere):
    """Check that only some kinds of causes are named, and that here the results are equal."""
    causes = [text for text in verdict["differences"] if text.split(":")[0] in KINDS]
    assert {cause.split(":")[0] for cause in causes} <= kinds
    if not is_elsewhere:
        assert (verdict["verdict"], verdict["epoch"], verdict["metric"]) == ("exact", None, None)
        assert verdict["differences"] == causes


def trials(path):
    """Everything about the trials of `waves` but when and where they ran."""
    with Ledger(path) as ledger:
        return [
            {
                "number": trial.number,
                "state": trial.state,
                "settings": trial.settings,
                "parameters": trial.parameters,
                "sampler attributes": trial.sampler_attributes,
                "outcome": without_place(trial.outcome),
                "epochs": [
                    (epoch.number, epoch.metrics, epoch.digests)
                    for epoch in ledger.epochs("waves", trial.number)
                ],
            }
            for trial in ledger.trials("waves")
        ]


def without_place(outcome):
    """The outcome without environment and without the folders that a failure names."""
    error = outcome.error
    if error is not None:
        error = replace(error, place=error.place.rpartition("/")[2], traceback="")
    return replace(outcome, environment=None, error=error)


@pytest.mark.slow
def test_a_killed_search_continues_to_the_trials_of_one_that_was_not_killed(earlier, is_elsewhere):
    ledger = earlier.store / "ledger.db"
    before = trials(ledger)
    done = earlier.run("search", "waves.toml", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert "waves: 10 of 10 trials, " in done.stdout
    # Elsewhere, what is asked from now on may be rounded differently.
    known = len(before) if is_elsewhere else 10
    assert trials(ledger)[:known] == trials(earlier.folder / "whole.db")[:known]
    finished = [trial for trial in before if trial["state"] != "running"]
    assert [trial["number"] for trial in finished] == [0, 1, 2, 3]
    assert trials(ledger)[:4] == finished
    # What was not recorded in MLflow then, is now.
    with Ledger(ledger) as stored:
        found = stored.trials("waves")
        assert all(trial.recorded_state == trial.state for trial in found)
        assert stored.notes("waves").recorded is True
    again = earlier.run("reproduce", "1", "--study", "waves", "--json")
    assert json.loads(again.stdout)["verdict"] == "exact", again.stderr


@pytest.mark.slow
def test_a_trial_is_reproduced(earlier, is_elsewhere):
    done = earlier.run("reproduce", "best", "--study", "tiny", "--json")
    assert done.returncode in (0, 1), done.stderr
    verdict = json.loads(done.stdout)
    check_verdict(verdict, {"code", "versions", "kernel"}, is_elsewhere)


@pytest.mark.slow
def test_a_trial_is_reproduced_with_its_recorded_code(earlier, is_elsewhere):
    again = ("reproduce", "best", "--study", "tiny", "--recorded-code", "--json")
    done = earlier.run(*again)
    assert done.returncode in (0, 1), done.stderr
    verdict = json.loads(done.stdout)
    check_verdict(verdict, {"versions", "kernel"}, is_elsewhere)


@pytest.mark.slow
def test_the_champion_predicts(earlier):
    np.save(earlier.folder / "image.npy", np.zeros((8, 8), np.uint8))
    done = earlier.run("predict", "tiny", "image.npy", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["model"] == {"name": "tiny", "version": "1"}
    assert len(answer["images"]) == 1


@pytest.mark.slow
def test_a_pack_is_unpacked_into_a_fresh_store(earlier):
    fresh = earlier.folder / "fresh"
    done = earlier.run("unpack", "waves.retrial", store=fresh)
    assert (done.returncode, done.stderr) == (0, "")
    assert "waves: 3 trials, 8 epochs, 4 runs, 2 models" in done.stdout
    shown = earlier.run("show", "waves", store=fresh)
    assert "waves: 3 of 3 trials (2 complete, 1 failed)" in shown.stdout
    assert trials(fresh / "ledger.db") == trials(earlier.folder / "whole.db")[:3]
    done = earlier.run("reproduce", "best", "--study", "waves", "--json", store=fresh)
    assert json.loads(done.stdout)["verdict"] == "exact", done.stderr
