"""The global generators follow from the seed, also those of a library that is imported later."""

import sys

import pytest
from programs import run_to_end

LATE = """
from studies.objective import seeding
if {first!r}: import torch
seeding.seed_all(5, 2)
import torch
print(torch.rand(3).tolist())
import importlib.util
print(importlib.util.find_spec("torch.nn") is not None, torch.__loader__ is not None)
"""


def test_a_library_that_a_trial_imports_first_is_seeded_alike():
    pytest.importorskip("torch", reason="pip install 'retrial-studies[torch]'")
    outputs = {
        run_to_end([sys.executable, "-c", LATE.format(first=first)], check=True).stdout
        for first in (True, False)
    }
    assert len(outputs) == 1
