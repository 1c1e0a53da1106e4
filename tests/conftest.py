"""Signals, limits and fixtures of all tests."""

# Signals and variables come before imports.
# ruff: noqa: E402

import os
import sys
from pathlib import Path

# Helpers of all tests. Not this folder itself: its `nets` would hide the package.
sys.path.insert(0, str(Path(__file__).parent / "support"))

collect_ignore = ["support/without_linux"]
"""Its import changes the process; only processes that tests start have it in their path."""

import default_signals

default_signals.restore_defaults()

# Before anything imports NumPy or MLflow: float32 bits depend on the number of BLAS threads, and
# no test sends telemetry.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import tempfile
import zlib
from collections import Counter

import hypothesis
import numpy as np
import pytest
from postgresql import postgresql as postgresql
from programs import killed_afterwards

hypothesis.settings.register_profile(
    "same",
    # Examples, like the numbers of `generator`, are the same unless a seed is given.
    derandomize="RETRIAL_TEST_SEED" not in os.environ,
    # No example has a time limit: machines are shared.
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        # Examples only read what fixtures provide.
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("same")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Start with the files of slow tests: otherwise one process is busy with them at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])  # stable: a file's tests keep their order


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory):
    """The folder of temporary files: pytest removes those that killed processes leave."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(scope="session", autouse=True)
def programs_of_the_session():
    """No program that a fixture has started outlives the tests."""
    with killed_afterwards():
        yield


@pytest.fixture(autouse=True)
def programs_of_the_test():
    """No program that a test has started outlives it."""
    with killed_afterwards():
        yield


@pytest.fixture
def generator(request):
    """A generator with a seed for each test; RETRIAL_TEST_SEED repeats a failure or changes it."""
    seed = int(os.environ.get("RETRIAL_TEST_SEED", zlib.crc32(request.node.nodeid.encode())))
    print(f"RETRIAL_TEST_SEED={seed}")  # pytest prints it when the test fails
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def mnist_folder():
    """The data folder that holds the real MNIST files."""
    folder = os.environ.get("RETRIAL_DATA")
    if folder is None:
        pytest.skip("needs the real MNIST: set RETRIAL_DATA to the folder that has it")
    if not any(Path(folder).glob("mnist/train-images-idx3-ubyte*")):
        pytest.skip(f"needs the real MNIST, which RETRIAL_DATA={folder} does not have")
    return Path(folder)
