"""Fixtures of all tests of networks."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def strict_floating_point():
    """Overflow, division by zero and invalid operations are failures, not just warnings.

    Underflow is not: a result too small for its dtype becomes zero, which is intended.
    """
    with np.errstate(all="raise", under="ignore"):
        yield
