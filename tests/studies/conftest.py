"""The ledger of a test, and which samplers can be tested here."""

import importlib.util

import pytest

from tracking.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    """An empty ledger."""
    ledger = Ledger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def pytest_collection_modifyitems(items):
    """Skip what builds the Gaussian process where PyTorch, an optional package, is missing."""
    if importlib.util.find_spec("torch") is not None:
        return
    skip = pytest.mark.skip(reason="the sampler gp needs PyTorch (dependency group torch)")
    for item in items:
        callspec = getattr(item, "callspec", None)
        about_refusal = "missing_package" in item.name
        if callspec is not None and "gp" in callspec.id.split("-") and not about_refusal:
            item.add_marker(skip)
