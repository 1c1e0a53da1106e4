"""The source code that a trial runs: its digest, and an archive that it can be run from again.

Digests tell whether code is the same; archives keep it. One lies with a study's run for each code
that its trials were trained with, and one in each model, which so needs no installation of ours.
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
"""Our packages: with them a trial can be tried again as it was."""

_BESIDE = (".txt", ".toml")
"""Endings of what our packages read beside their Python source."""

LARGEST = 32 << 20
"""Bytes of source that are kept; somebody's package may lie beside anything."""

_LIBRARIES = ("site-packages", "dist-packages")
"""Names of the folders that libraries are installed in."""

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The date of every file in an archive, so that equal code gives equal bytes."""


def digest(name: str) -> str:
    """Return the SHA-256 of a package's or module's Python source, without importing it.

    Over each file's path relative to the package, its length and its bytes, in the order of the
    paths, so that moving a file or a line changes it and where it is installed does not.
    "unknown" for what is not there.
    """
    if not (files := _files_of(name)):
        return UNKNOWN
    return _digest({path: file.read_bytes() for path, file in files.items()})


def archive(digests: Mapping[str, str], *, also: Iterable[str] = ()) -> bytes | None:
    """Return a zip archive from which Python can import modules, and packages beside them.

    `digests` are those of the modules; of a module within a package the whole package is kept. None
    where the source that is here is not what they are of, or is larger than `LARGEST`. Asked again
    for the same, it is the archive that was made at first, whatever has happened to the files.
    """
    return _archive(tuple(sorted(digests.items())), tuple(sorted(also)))


def only(modules: Iterable[str], archive: bytes) -> bytes:
    """Return of an archive what is of modules, as `archive` would have made it of them alone."""
    tops = {name.partition(".")[0] for name in modules}
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        paths = [
            path for path in opened.namelist() if path.partition("/")[0].removesuffix(".py") in tops
        ]
        return _zipped({path: opened.read(path) for path in paths})


def with_imported(modules: Iterable[str]) -> list[str]:
    """Return modules with the packages they are in, and all that is imported from beside these.

    That is a user's own code, however it is divided: helpers decide a result as the module does
    that imports them. Found in the source, where an import within a function counts too. Beside
    what is installed there are libraries, whose versions are recorded.
    """
    found: set[str] = set()
    waiting = {name.partition(".")[0] for name in modules}
    while waiting:
        found.add(name := waiting.pop())
        folder = _folder_of(name)
        if folder is None or folder.name in _LIBRARIES:
            continue
        imported = {other for file in _files_of(name).values() for other in _imported_by(file)}
        waiting |= {one for one in imported.difference(found, OWN) if _folder_of(one) == folder}
    return sorted(found.union(modules))


def key(digests: Mapping[str, str]) -> str:
    """Return a short name for the code that digests are of.

    >>> key({"nets": "c" * 64})
    'cc964211d735'
    """
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()[:12]


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
    """Return the Python files of a module or package in an archive, as `digest` takes them."""
    folder = name.replace(".", "/")
    if f"{folder}.py" in contents:
        path = f"{folder}.py"
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
            # What no import can name is no source: environments, checkpoints, a store's models.
            and all(part.isidentifier() for part in path.relative_to(folder).parent.parts)
        }
    if spec.origin and Path(spec.origin).is_file():
        return {Path(spec.origin).name: Path(spec.origin)}
    return {}


def _folder_of(name: str) -> Path | None:
    """Return the folder in which a module or package lies, or None."""
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # of what was made and not imported, such as __main__
        return None
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or [])
    if spec.origin and spec.has_location:  # what is built in has none
        places.append(spec.origin)
    return Path(places[0]).absolute().parent if places else None


def _imported_by(file: Path) -> set[str]:
    """Return the first names of what a file of Python source imports, but for its own package."""
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError):  # which is not imported either
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
            info = zipfile.ZipInfo(path, _LONG_AGO)
            info.external_attr = 0o644 << 16
            target.writestr(info, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
