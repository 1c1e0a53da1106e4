"""The source code that a trial runs: its digest, and an archive from which it can run.

Digests show whether code is equal; archives keep it. A study's run has one archive for each code
that its trials were trained with; a model has one of its own, so it needs no installation of ours.
"""

import ast
import functools
import hashlib
import importlib.util
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tracking.records import UNKNOWN

OWN = ("nets", "studies", "tracking")
"""Our packages: with them a trial can be reproduced with its recorded code."""

_BESIDE = (".txt", ".toml")
"""Suffixes of the other files that our packages read."""

NOTEBOOKS = "notebook_objectives"
"""The folder beside a notebook with the modules that its objectives are written to."""

LARGEST = 32 << 20
"""Limit in bytes on archived source; a user's package may contain anything."""

LIBRARIES = ("site-packages", "dist-packages")
"""Folders that libraries are installed in."""


def digest(name: str) -> str:
    """Return the SHA-256 of a package's or module's Python source, without importing it.

    It covers each file's path relative to the package, its length and its bytes, in the order of
    the paths: moving a file or a line changes it, the place of installation does not. "unknown"
    if there is no source.
    """
    if not (files := _files_of(name)):
        return UNKNOWN
    return _digest({path: file.read_bytes() for path, file in files.items()})


def archive(digests: Mapping[str, str], *, also: Iterable[str] = ()) -> bytes | None:
    """Return a zip archive from which Python can import modules, and the packages `also`.

    `digests` are those of the modules; a module in a package brings the whole package. None where
    the source on disk does not match the digests, or is larger than `LARGEST`. Cached: repeated
    calls return the first archive, whatever happens to the files.
    """
    return _archive(tuple(sorted(digests.items())), tuple(sorted(also)))


def only(modules: Iterable[str], archive: bytes) -> bytes:
    """Return the part of an archive for some modules, as `archive` would have made it."""
    tops = {name.partition(".")[0] for name in modules}
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        paths = [
            path for path in opened.namelist() if path.partition("/")[0].removesuffix(".py") in tops
        ]
        return _zipped({path: opened.read(path) for path in paths})


def with_imported(modules: Iterable[str]) -> list[str]:
    """Return modules, their packages, and all modules beside these that they import.

    This is the user's own code, however it is divided: helpers decide a result as the module that
    imports them does. Imports are found in the source, also inside functions. Modules in a folder
    of libraries are left out; their versions are recorded.
    """
    found: set[str] = set()
    waiting = {name.partition(".")[0] for name in modules}
    while waiting:
        found.add(name := waiting.pop())
        folder = folder_of(name)
        if folder is None or folder.name in LIBRARIES:
            continue
        folders = {folder, folder.parent} if folder.name == NOTEBOOKS else {folder}
        imported = {other for file in _files_of(name).values() for other in _imported_by(file)}
        waiting |= {one for one in imported.difference(found, OWN) if folder_of(one) in folders}
    return sorted(found.union(modules))


@functools.lru_cache(maxsize=4)
def files_of(modules: tuple[str, ...]) -> frozenset[Path]:
    """Return the real paths of the Python files that an archive of modules has."""
    tops = {name.partition(".")[0] for name in modules}
    return frozenset(file.resolve() for name in tops for file in _files_of(name).values())


def key(digests: Mapping[str, str]) -> str:
    """Return a short name for the code with these digests.

    >>> key({"nets": "c" * 64})
    'cc964211d735'
    """
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()[:12]


def folder_of(name: str) -> Path | None:
    """Return the folder that contains a module or package, or None."""
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # a module that was not imported, such as __main__
        return None
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or [])
    if spec.origin and spec.has_location:  # a built-in module has none
        places.append(spec.origin)
    return Path(places[0]).absolute().parent if places else None


def file_of(name: str) -> Path | None:
    """Return the file of a module, or of a package its `__init__.py`; None where there is none."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).absolute() if spec and spec.origin and spec.has_location else None


@functools.lru_cache(maxsize=4)
def _archive(digests: tuple[tuple[str, str], ...], also: tuple[str, ...]) -> bytes | None:
    files: dict[str, Path] = {}
    for name in sorted({*(name.partition(".")[0] for name, _ in digests), *also}):
        folder = f"{name}/" if _is_package(name) else ""
        beside = _BESIDE if name in OWN else ()
        files |= {f"{folder}{path}": file for path, file in _files_of(name, beside).items()}
    if sum(file.stat().st_size for file in files.values()) > LARGEST:
        return None
    contents = {path: file.read_bytes() for path, file in files.items()}
    for name, expected in digests:
        if _digest(_within(name, contents)) != expected:
            return None
    return _zipped(contents)


def _within(name: str, contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the Python files of a module or package in an archive, as `digest` reads them."""
    folder = name.replace(".", "/")
    if (path := f"{folder}.py") in contents:
        return {path.rpartition("/")[2]: contents[path]}
    return {
        path.removeprefix(f"{folder}/"): content
        for path, content in contents.items()
        if path.startswith(f"{folder}/") and path.endswith(".py")
    }


def _files_of(name: str, beside: tuple[str, ...] = ()) -> dict[str, Path]:
    """Return the source files of a module or package, by their paths within it."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return {}
    if folders := [Path(folder) for folder in spec.submodule_search_locations or []]:
        return {
            path.relative_to(folder).as_posix(): path
            for folder in folders
            for path in folder.rglob("*")
            if path.suffix in (".py", *beside)
            and path.is_file()
            # Folders that no import can name are no source: environments, a store's models.
            and all(part.isidentifier() for part in path.relative_to(folder).parent.parts)
        }
    if spec.origin and Path(spec.origin).is_file():
        return {Path(spec.origin).name: Path(spec.origin)}
    return {}


def _imported_by(file: Path) -> set[str]:
    """Return the top-level names that a Python file imports, except from its own package."""
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError):  # it cannot be imported either
        return set()
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [
        node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level
    ]
    return {name.partition(".")[0] for name in names}


def _is_package(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.submodule_search_locations is not None


def _digest(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for path, content in sorted(contents.items()):
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _zipped(contents: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for path, content in sorted(contents.items()):
            info = zipfile.ZipInfo(path)  # dated 1980, so that equal code gives equal bytes
            info.external_attr = 0o644 << 16
            target.writestr(info, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
