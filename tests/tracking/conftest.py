"""Fixtures of the tests of tracking: a store, its ledger, and what writes and reads them."""

import shutil
import threading
import warnings
from pathlib import Path

import pytest
from store_contents import read_contents
from trial_writer import DEFINITION, ENVIRONMENT, STUDY, Trials
from waiting import PATIENCE

from tracking.ledger import Ledger
from tracking.runs.recorder import Recorder
from tracking.store import names
from tracking.store.store import open_store, prepare_mlflow


def pytest_collection_modifyitems(items):
    """Warnings are errors, except those of MLflow about the libraries that it uses."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:The ``noload``"))


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory):
    """A database with MLflow's tables, created once a session: migrations take seconds."""
    root = tmp_path_factory.mktemp("template")
    prepare_mlflow()
    with warnings.catch_warnings(action="ignore"):
        # Some of its modules warn of each other while they are imported.
        import mlflow.pyfunc  # noqa: F401
    open_store(root).close()
    return root / names.MLFLOW_DATABASE


@pytest.fixture
def root(tmp_path, migrated_database):
    """The folder of a fresh store."""
    root = tmp_path / "mlruns"
    root.mkdir()
    shutil.copyfile(migrated_database, root / names.MLFLOW_DATABASE)
    return root


@pytest.fixture
def store(root, monkeypatch):
    """An open, empty store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return open_store(root)


@pytest.fixture
def ledger(root):
    """A ledger with the study ``digits`` and no trial."""
    ledger = Ledger(root / names.LEDGER)
    ledger.add_study(STUDY, DEFINITION, ENVIRONMENT)
    yield ledger
    ledger.close()


@pytest.fixture
def trials(ledger):
    """Writes trials into the ledger."""
    return Trials(ledger)


@pytest.fixture(scope="session")
def new_study():
    """Add the study ``digits`` to a ledger, and return the writer of its trials."""

    def add(ledger):
        ledger.add_study(STUDY, DEFINITION, ENVIRONMENT)
        return Trials(ledger)

    return add


@pytest.fixture
def quick_figures(monkeypatch):
    """Replace the figures by constants, for tests of something else."""
    monkeypatch.setattr("tracking.figures.curves.curves_png", lambda *_: b"png")


@pytest.fixture
def environment():
    """An environment as `tracking.provenance.environment.capture` returns it."""
    return ENVIRONMENT


@pytest.fixture
def contents():
    """Read everything that a store has of the study."""
    return read_contents


@pytest.fixture
def until(monkeypatch):
    """Wait until a recorder has delivered something; checks after each of its attempts."""
    attempted = threading.Condition()
    attempt = Recorder._attempt

    def attempt_and_notify(self, *arguments):
        try:
            return attempt(self, *arguments)
        finally:
            with attempted:
                attempted.notify_all()

    def until(condition):
        with attempted:
            assert attempted.wait_for(condition, PATIENCE), "no delivery has the awaited effect"

    monkeypatch.setattr(Recorder, "_attempt", attempt_and_notify)
    return until
