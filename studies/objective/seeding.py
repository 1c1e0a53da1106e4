"""The global generators of Python, NumPy, PyTorch and Keras, set to a seed.

A library that a trial is the first to import in its worker is seeded right after its import;
otherwise its numbers would depend on which trials the worker trained before.
"""

import random
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

import numpy as np

from nets.randomness import derived_seed

_LIBRARIES: dict[str, Callable[[Any, int], Any]] = {
    "torch": lambda torch, seed: torch.manual_seed(seed),
    "keras": lambda keras, seed: keras.utils.set_random_seed(seed),
}
"""How to seed each library that has global generators of its own."""

_current = 0


def seed_all(seed: int, epoch: int) -> None:
    """Seed the global generators for an epoch of a trial; epoch 0 is what precedes the first."""
    global _current
    _current = derived_seed(seed, epoch) % 2**32  # the most that NumPy's takes
    random.seed(_current)
    np.random.seed(_current)  # noqa: NPY002 - what user code calls
    for name, seeded in _LIBRARIES.items():
        if (module := sys.modules.get(name)) is not None:
            seeded(module, _current)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the libraries as Python does, and has them seeded after their import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _LIBRARIES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Seeding(spec.loader)
        return spec


class _Seeding(Loader):
    """Loads a module, then seeds its generators."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _LIBRARIES[module.__name__](module, _current)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # what else a loader may do, such as read a file
