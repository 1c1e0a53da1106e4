"""The files that this process has imported from elsewhere.

Elsewhere is neither Python nor an installed library nor the recorded code: another folder on
Python's path, or a file that was loaded by its path with `importlib`. Such a helper decides a
result as the objective does, and its digest shows that it has changed.
"""

import contextlib
import hashlib
import os
import sys
import sysconfig
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import Any

from tracking.provenance import source_code
from tracking.store import names

MOST_FILES = 500
"""Number of files that are recorded; further ones, in the order of their names, are left out."""

_PYTHON = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})

_NOT_ELSEWHERE = (*source_code.OWN, "__main__", "__mp_main__")
"""Our packages, which are in the recorded code, and the program, which the command decides."""

_found: dict[Path, tuple[str, str]] = {}
"""Name and SHA-256 of each file that was imported from elsewhere."""
_changes = 0
"""How often that has changed."""
_seen: set[str] = set()
"""Origins of loaded modules that have been looked at."""


def watch() -> None:
    """From now on, read the digest of a source file when it is imported.

    Python loads every source file through this class, also one that is never in `sys.modules`. An
    audit hook would also see files that are executed as text, but makes each call of `id` ten times
    as slow.
    """
    stats = SourceFileLoader.path_stats
    if stats.__module__ == __name__:
        return

    def path_stats(self: SourceFileLoader, path: Any) -> Any:  # just before the file is read
        with contextlib.suppress(Exception):
            _note(self.name, os.fspath(path))
        return stats(self, path)

    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign]


def files(recorded: tuple[str, ...]) -> dict[str, str]:
    """Return the SHA-256 of each file that was imported from elsewhere, by its name.

    `recorded` are the modules of the recorded code. The name has as many folders as the module's
    name has packages, wherever it lies: `helper.py`, `package/module.py`. Files of equal names have
    a digest together. Modules loaded before `watch` have the digest of their file as it is now.
    """
    return _files(recorded, len(sys.modules), _changes)


@lru_cache(maxsize=1)
def _files(recorded: tuple[str, ...], modules: int, changes: int) -> dict[str, str]:
    """Return the files; called again only after an import."""
    for module in list(sys.modules.values()):
        with contextlib.suppress(Exception):  # anything may be in there
            spec = module.__spec__
            if isinstance(spec, ModuleSpec) and spec.has_location and spec.origin not in _seen:
                _seen.add(str(spec.origin))
                _note(spec.name, str(spec.origin), is_new=False)
    own = source_code.files_of(recorded)
    digests: dict[str, set[str]] = {}
    for file, (name, digest) in list(_found.items()):
        if file not in own:
            digests.setdefault(name, set()).add(digest)
    return {name: _together(digests[name]) for name in sorted(digests)[:MOST_FILES]}


def _note(module: str, path: str, *, is_new: bool = True) -> None:
    """Note a file with its digest as it is now; one that is not new keeps the digest it has."""
    global _changes
    if module.partition(".")[0] in _NOT_ELSEWHERE:
        return
    folder, name = os.path.split(os.path.abspath(path))
    depth = module.count(".") + name.startswith("__init__.")
    if f"{folder}{os.sep}".startswith(_PYTHON) or _is_library(folder, depth):
        return
    place = Path(folder, name)
    file = place.resolve()
    if is_new or file not in _found:
        shown = names.plain(place.relative_to(_root(folder, depth)).as_posix())
        found = (shown, hashlib.sha256(file.read_bytes()).hexdigest())
        _changes += _found.get(file) != found
        _found[file] = found


@cache
def _is_library(folder: str, depth: int) -> bool:
    """Return whether packages are installed there, in any of the ways that pip has."""
    if not {*source_code.LIBRARIES}.isdisjoint(Path(folder).parts):
        return True
    return any(_root(folder, depth).glob("*.dist-info"))


def _root(folder: str, depth: int) -> Path:
    """Return the folder in which a module's package lies; `depth` is the number of packages."""
    path = Path(folder)
    return (path, *path.parents)[min(depth, len(path.parents))]


def _together(digests: set[str]) -> str:
    """Return the digest of files: that of the one there is, or of all."""
    if len(digests) == 1:
        return next(iter(digests))
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
