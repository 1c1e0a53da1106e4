"""Import a user's module, also one that searches a study when it is run as a script.

Workers, the command line and recorded code need what such a file defines, and must not run the
search in it again: reading a file ends where it first works on a study.
"""

import contextlib
import importlib
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

from nets.errors import InputError

_this_thread = threading.local()
_ended: dict[str, object] = {}
"""The modules whose reading has ended early, and the study they would have worked on."""


class _EndOfDefinitions(BaseException):
    """Ends the reading of a file, whatever Exception it catches."""

    def __init__(self, study: object) -> None:
        self.study = study


def is_reading() -> bool:
    """Return whether this thread reads a file for its definitions alone."""
    return getattr(_this_thread, "is_reading", False)


def end_of_definitions(study: object) -> None:
    """End the reading of the file that is about to work on a study; otherwise do nothing."""
    if is_reading():
        raise _EndOfDefinitions(study)


def ended_at(module: str) -> object | None:
    """Return the study at which the reading of a module has ended, or None."""
    return _ended.get(module)


def module(name: str) -> ModuleType:
    """Import a module for its definitions; raises what the module raises.

    What it prints goes to stderr: the stdout of a command may be JSON.
    """
    if name in sys.modules:
        return importlib.import_module(name)
    with _reading(), contextlib.redirect_stdout(sys.stderr):
        return importlib.import_module(name)


def load(path: str) -> Any:
    """Return what ``package.module:name`` names; raises InputError where the module lacks it."""
    place, _, name = path.partition(":")
    found = module(place)
    if not hasattr(found, name):
        hint = f"it is read up to its first search only: define {name} above it"
        raise InputError(
            problem=f"got {path!r}, but {place} has no {name}",
            hint=hint if place in _ended else "",
        )
    return getattr(found, name)


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Read modules that are imported inside for their definitions."""
    before = is_reading()
    _this_thread.is_reading = True
    if not before:
        # Just before the finder whose place it takes: built-in modules stay built in.
        sys.meta_path.insert(sys.meta_path.index(PathFinder), _FINDER)
    try:
        yield
    finally:
        _this_thread.is_reading = before
        if not before:
            sys.meta_path.remove(_FINDER)


class _Loader(SourceFileLoader):
    """Keeps what a module has defined when its reading ends early."""

    def exec_module(self, module: ModuleType) -> None:
        try:
            super().exec_module(module)
        except _EndOfDefinitions as end:
            _ended[module.__name__] = end.study


class _Finder:
    """Finds modules as Python does, and has those of files loaded by `_Loader`."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader or not is_reading():
            return None
        spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


_FINDER: Any = _Finder()
