"""What the tests of the search share: a study over an analytic curve, and ways to run it."""

import sys
from pathlib import Path

# Workers copy the driver's path: here they find the objectives of `curves`.
sys.path.insert(0, str(Path(__file__).parent))

import pytest

from tracking.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    """An empty ledger of the test's own."""
    ledger = Ledger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()
