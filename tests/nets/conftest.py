"""What all tests of networks share."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def strict_floating_point():
    """Overflow, division by zero and invalid operations are failures, not warnings to overlook.

    Underflow is not: a result too small for its dtype becomes zero, and is meant to.
    """
    with np.errstate(all="raise", under="ignore"):
        yield
