"""What the ledger takes, and what it says of what it cannot take."""

import math
import sqlite3

import pytest

from tracking.ledger import Ledger
from tracking.records import Environment, EpochRecord, RecordDamaged, SamplerAttributes, TrialRecord


@pytest.fixture
def ledger(tmp_path):
    """A ledger with one open trial."""
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.add_study("a", {}, Environment())
    ledger.add_trial(TrialRecord("a", 0, "running", {}, {}, SamplerAttributes(), 0.0))
    yield ledger
    ledger.close()


def epoch(seconds=0.5, **metrics):
    return EpochRecord(1, metrics, {}, seconds, 1.0)


def test_epoch_that_is_repeated_changes_nothing_and_is_compared(ledger):
    assert ledger.add_epoch("a", 0, epoch(value=1.0))
    assert ledger.add_epoch("a", 0, epoch(seconds=0.75, value=1.0))
    assert not ledger.add_epoch("a", 0, epoch(value=2.0))
    assert ledger.epochs("a", 0) == [epoch(value=1.0)]


def test_epoch_that_a_column_does_not_take_is_no_epoch_that_was_there_before(ledger):
    """SQLite makes NULL of NaN."""
    with pytest.raises(sqlite3.IntegrityError, match=r"epoch\.seconds"):
        ledger.add_epoch("a", 0, epoch(seconds=math.nan, value=1.0))


def test_a_password_that_an_earlier_version_stored_is_removed_on_opening(tmp_path):
    path = tmp_path / "ledger.db"
    section = {"name": "old", "storage": "postgresql://me:hunter2@host/db"}
    with Ledger(path) as ledger:
        ledger.add_study("old", {"study": section}, Environment())
        ledger.add_study("odd", [{"storage": "://"}], Environment())
    with Ledger(path) as ledger:
        assert ledger.study("old").definition["study"]["storage"] == "postgresql://me@host/db"
        for file in tmp_path.iterdir():
            assert b"hunter2" not in file.read_bytes()


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE])
def test_a_ledger_that_cannot_be_opened_for_lack_of_space_is_no_wrong_request(
    code, tmp_path, monkeypatch
):
    def full(path):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr("tracking.ledger.access._to_write", full)
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        Ledger(tmp_path / "ledger.db")


@pytest.mark.parametrize(("epoch", "state"), [(2**40, 2**40), (1, "string"), (0, b""), ("x", b"")])
def test_a_checkpoint_of_wrong_types_is_damaged(ledger, epoch, state):
    with ledger.transaction() as connection:
        connection.execute("INSERT INTO checkpoint VALUES ('a', 0, ?, ?)", (epoch, state))
    with pytest.raises(RecordDamaged) as error:
        ledger.checkpoint("a", 0)
    assert str(error.value) == (
        "store: trial 0 of study 'a' is damaged in the ledger: checkpoint: got no state of an epoch"
    )


@pytest.mark.parametrize("name", ["../outside", "/outside", "a//b", "c:b", "", b"bytes"])
def test_a_trials_file_whose_name_leads_elsewhere_is_damaged(ledger, name):
    with ledger.transaction() as connection:
        connection.execute("INSERT INTO file VALUES ('a', 0, ?, x'00')", (name,))
    with pytest.raises(RecordDamaged) as error:
        ledger.files("a", 0)
    assert str(error.value) == (
        f"store: trial 0 of study 'a' is damaged in the ledger: file: got {name!r}, expected a file"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("study SET definition = '[]'", "StudyRecord.definition: got [], expected an object"),
        ("study SET notes = '[]'", "StudyNotes: got [], expected an object"),
        ("study SET notes = '{'", "notes: is no valid JSON"),
        ("study SET environment = 'null'", "Environment: got None, expected an object"),
        ("study SET created = 'today'", "StudyRecord.created: got 'today', expected a number"),
        ("trial SET outcome = 'x'", "outcome: is no valid JSON"),
        ("trial SET outcome = '[]'", "TrialOutcome: got [], expected an object"),
        (
            "trial SET state = 'asleep'",
            "TrialRecord.state: got 'asleep', expected running, complete, pruned, failed",
        ),
        ("trial SET parameters = '3'", "TrialRecord.parameters: got 3, expected an object"),
        ("trial SET attempts = 'many'", "TrialRecord.attempts: got 'many', expected an integer"),
        ("epoch SET metrics = '[1]'", "EpochRecord.metrics: got [1], expected an object"),
        (
            """epoch SET metrics = '{"loss": "low"}'""",
            "EpochRecord.metrics: got 'low', expected a number",
        ),
        ("epoch SET digests = x'ff'", "digests: is no valid JSON"),
    ],
)
def test_a_damaged_record_is_named_and_others_stay_readable(ledger, change, message):
    ledger.add_epoch("a", 0, epoch(loss=1.0))
    ledger.add_study("b", {}, Environment())
    read = change.partition(" ")[0]
    with ledger.transaction() as connection:
        which = "WHERE name = 'a'" if read == "study" else ""
        connection.execute(f"UPDATE {change} {which}")
    reading = {
        "study": lambda: ledger.study("a"),
        "trial": lambda: ledger.trials("a"),
        "epoch": lambda: ledger.epochs("a", 0),
    }
    with pytest.raises(RecordDamaged) as error:
        reading[read]()
    subject = "study 'a'" if read == "study" else "trial 0 of study 'a'"
    assert str(error.value) == f"store: {subject} is damaged in the ledger: {message}"
    assert ledger.study("b").definition == {}
    assert set(ledger.study_names()) == {"a", "b"}
