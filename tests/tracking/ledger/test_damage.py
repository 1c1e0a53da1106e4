"""A damaged ledger is named as such, with what can be saved of it."""

import sqlite3

import numpy as np
import pytest

from studies.cli.main import main
from tracking.ledger import Ledger, damage
from tracking.records import Environment, EpochRecord, TrialRecord
from tracking.records import SamplerAttributes as Attributes
from tracking.store.errors import StoreUnavailable


def fill(ledger, study, epochs):
    ledger.add_study(study, {"study": {"name": study}}, Environment())
    ledger.add_trial(TrialRecord(study, 0, "running", {}, {}, Attributes(), 1.0))
    for number in range(1, epochs + 1):
        ledger.add_epoch(study, 0, EpochRecord(number, {"loss": 1.0}, {"weights": "f" * 64}, 1.0))


@pytest.fixture
def path(tmp_path):
    """A ledger with a small study, and a large one whose last pages are overwritten."""
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        fill(ledger, "small", 1)
        fill(ledger, "large", 500)
        ledger.vacuum()
    return path


def overwrite(path, first, last):
    """Overwrite pages of a database with noise."""
    content = bytearray(path.read_bytes())
    noise = np.random.default_rng(0).bytes((last - first) * 4096)
    content[first * 4096 : last * 4096] = noise
    path.write_bytes(content)


def pages_of(path, table):
    """Return the pages that only this table has; needs SQLite with the table dbstat."""
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT pageno FROM dbstat WHERE name = ?", (table,)).fetchall()
    return [page - 1 for (page,) in rows]


def test_an_intact_ledger_passes(path):
    with Ledger(path) as ledger:
        damage.check(ledger)


def test_the_studies_that_can_be_saved_are_named(path):
    pages = pages_of(path, "epoch")
    middle = pages[len(pages) // 2]  # the rows are in the order of the studies' names
    overwrite(path, middle, middle + 1)
    with (
        Ledger(path) as ledger,
        pytest.raises(StoreUnavailable, match=r"ledger\.db is damaged: .*another one") as error,
    ):
        damage.check(ledger)
    text = str(error.value)
    assert text.endswith(
        "keep a copy of the store and search in another one; `retrial pack` saves small; of large, "
        "MLflow has what was recorded (`retrial reproduce`)"
    )
    assert text.count("\n") == 0


def test_gc_does_not_call_a_damaged_store_clean(path, capsys):
    pages = pages_of(path, "epoch")
    overwrite(path, pages[-1], pages[-1] + 1)
    assert main(["gc", "--yes", "--store", str(path.parent)]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert "is damaged" in output.err


def test_a_command_that_meets_damage_does_not_say_that_it_can_continue(path, capsys, monkeypatch):
    def read(*_):
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    monkeypatch.setattr("studies.cli.show.run", read)
    assert main(["show", "small", "--store", str(path.parent)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"retrial: store: {path} is damaged: database disk image is malformed")
    assert "continues" not in error
    assert "`retrial pack` saves" in error
