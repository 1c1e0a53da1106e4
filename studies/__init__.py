"""Search studies, in Python: define, search, read, reproduce and confirm them.

The names are imported when they are used, so ``import studies`` and ``retrial --help`` are fast.

>>> import studies
>>> studies.Float(0.1, 1)
Float(low=0.1, high=1, log=False, step=None, when=None)
"""

import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nets.errors import InputError as InputError
    from nets.errors import ModuleMissing as ModuleMissing
    from nets.outcome import Epoch as Epoch
    from nets.outcome import Model as Model
    from nets.outcome import Outcome as Outcome
    from nets.outcome import State as State
    from studies.interface import pruners as pruners
    from studies.interface import samplers as samplers
    from studies.interface.opening import load_model as load_model
    from studies.interface.opening import names as names
    from studies.interface.opening import open as open
    from studies.interface.opening import read as read
    from studies.interface.results import EpochResult as EpochResult
    from studies.interface.results import TrialResult as TrialResult
    from studies.interface.spaces import Choice as Choice
    from studies.interface.spaces import Float as Float
    from studies.interface.spaces import Integer as Integer
    from studies.interface.study import SearchFailed as SearchFailed
    from studies.interface.study import Study as Study
    from studies.objective.estimators import ModelRefused as ModelRefused
    from studies.objective.trial import Pruned as Pruned
    from studies.objective.trial import Trial as Trial

_PLACES = {
    "Choice": "studies.interface.spaces",
    "Epoch": "nets.outcome",
    "EpochResult": "studies.interface.results",
    "Float": "studies.interface.spaces",
    "InputError": "nets.errors",
    "Integer": "studies.interface.spaces",
    "Model": "nets.outcome",
    "ModelRefused": "studies.objective.estimators",
    "ModuleMissing": "nets.errors",
    "Outcome": "nets.outcome",
    "Pruned": "studies.objective.trial",
    "SearchFailed": "studies.interface.study",
    "State": "nets.outcome",
    "Study": "studies.interface.study",
    "Trial": "studies.objective.trial",
    "TrialResult": "studies.interface.results",
    "load_model": "studies.interface.opening",
    "names": "studies.interface.opening",
    "open": "studies.interface.opening",
    "pruners": "studies.interface.pruners",
    "read": "studies.interface.opening",
    "samplers": "studies.interface.samplers",
}
"""The module of each name; a test compares them with the imports above."""

__all__ = sorted(_PLACES)


NATIVE_WINDOWS = (
    "retrial does not run on native Windows: use WSL "
    "(https://learn.microsoft.com/windows/wsl/install), Linux or macOS"
)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if sys.platform == "win32":
        raise ImportError(NATIVE_WINDOWS)
    if "IPython" in sys.modules:
        # Optuna and MLflow import it, and it warns of missing widgets, which nothing needs.
        with warnings.catch_warnings(action="ignore"):
            import_module("tqdm.auto")
    module = import_module(_PLACES[name])
    value = module if _PLACES[name].endswith(f".{name}") else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
