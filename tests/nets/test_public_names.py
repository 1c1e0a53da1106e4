"""The public names of `nets`, and what importing it loads."""

import subprocess
import sys
from importlib.metadata import packages_distributions
from types import ModuleType

import nets


def test_all_contains_exactly_the_public_names():
    offered = {
        name
        for name, value in vars(nets).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(nets.__all__) - {"data"} == offered
    assert isinstance(nets.data, ModuleType)
    assert len(set(nets.__all__)) == len(nets.__all__)


def test_every_public_name_is_documented():
    assert [name for name in nets.__all__ if not getattr(nets, name).__doc__] == []


def test_importing_nets_loads_only_numpy_threadpoolctl_and_the_standard_library():
    script = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import nets\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    installed = set(packages_distributions()) - {"nets"}
    assert set(result.stdout.split()) & installed == {"numpy", "threadpoolctl"}
