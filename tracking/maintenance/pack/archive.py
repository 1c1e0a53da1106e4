"""The file: a zip archive whose manifest has the length and SHA-256 of every other file."""

import contextlib
import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from nets.errors import InputError
from tracking.records import JsonObject
from tracking.store.plain_values import json_text

FORMAT = "retrial-pack"
VERSION = 1
MANIFEST = "manifest.json"

_COMPRESSED = {".png", ".npz", ".jpg", ".zip", ".gz", ".onnx"}
"""Extensions of files that are compressed already."""


@dataclass(frozen=True)
class Manifest:
    """The contents of a pack.

    `made` is a time in ISO 8601, `counts` are for display, `files` has the length in bytes and the
    SHA-256 of every file by its name.
    """

    study: str
    made: str
    retrial: str
    counts: dict[str, int]
    files: dict[str, JsonObject] = field(default_factory=dict)
    format: str = FORMAT
    version: int = VERSION


@contextlib.contextmanager
def writing(path: Path) -> Iterator["Writer"]:
    """Write a pack to a temporary file in the same folder and rename it when it is complete.

    An exception within the context leaves no file. Raises InputError when the file exists or
    cannot be written.
    """
    if path.exists():
        problem, hint = f"file exists: {path}", "choose the name of a new file"
        raise InputError("pack", path, problem=problem, hint=hint)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        archive = zipfile.ZipFile(beside, "w")
    except OSError as error:
        problem = f"cannot write {path} ({error.strerror})"
        expected = "a file in a folder that this user can write to"
        raise InputError("pack", path, expected, problem=problem) from error
    try:
        with archive:
            yield Writer(archive)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


class Writer:
    """Adds files to the archive of a new pack, and their digests to its manifest."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._zip = archive
        self._files: dict[str, JsonObject] = {}

    def add_json(self, name: str, value: Any) -> None:
        """Add a value as JSON."""
        self._add(name, io.BytesIO(json_text(value).encode()))

    def add_file(self, name: str, path: Path) -> None:
        """Add a file from disk."""
        with path.open("rb") as source:
            self._add(name, source)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, which lists the added files."""
        text = json.dumps({**asdict(manifest), "files": self._files}, indent=1)
        self._zip.writestr(zipfile.ZipInfo(MANIFEST), text, zipfile.ZIP_DEFLATED)

    def _add(self, name: str, source: IO[bytes]) -> None:
        stored = PurePosixPath(name).suffix in _COMPRESSED
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        with self._zip.open(info, "w", force_zip64=True) as target:
            digest, length = _copy(source, target)
        self._files[name] = {"bytes": length, "sha256": digest}


def read_manifest(path: Path) -> Manifest:
    """Return a pack's manifest; raise InputError for a file that is not a pack."""
    with _opened(path) as archive:
        return _manifest(path, archive)


def extract(path: Path, folder: Path) -> None:
    """Extract all files of a pack into a folder; raise InputError where one is damaged."""
    with _opened(path) as archive:
        manifest = _manifest(path, archive)
        missing = sorted(manifest.files.keys() - set(archive.namelist()))
        if missing:
            raise damaged(path, f"{missing[0]} is missing")
        for name, expected in manifest.files.items():
            target = folder / _safe(path, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, target.open("wb") as written:
                digest, length = _copy(source, written)
            if (digest, length) != (expected["sha256"], expected["bytes"]):
                recorded = expected["sha256"][:12]
                reason = f"{name} has the SHA-256 {digest[:12]}, the manifest says {recorded}"
                raise damaged(path, reason)


def damaged(path: Path, reason: str) -> InputError:
    """Return the error for a damaged pack."""
    return InputError("pack", path, problem=f"{path} is damaged: {reason}")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive for reading; errors about a damaged archive become InputError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise InputError("pack", path, problem=f"no such file: {str(path)!r}") from error
    except OSError as error:
        problem = f"cannot read {path} ({error.strerror or error})"
        raise InputError("pack", path, problem=problem) from error
    # RuntimeError is raised for an archive with a password.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _not_a_pack(path, error) from error


def _not_a_pack(path: Path, reason: object) -> InputError:
    problem = f"{path} is damaged or not a pack ({reason})"
    return InputError("pack", path, "a file written by `retrial pack`", problem=problem)


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    try:
        values: JsonObject = json.loads(archive.read(MANIFEST))
        if values["format"] != FORMAT:
            raise KeyError(FORMAT)
        version = int(values["version"])
        # A later version may have other fields, so only its number is checked.
        if version <= VERSION:
            manifest = Manifest(**{key: values[key] for key in Manifest.__dataclass_fields__})
            _check(manifest)
    except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise _not_a_pack(path, "no valid manifest") from error
    if version > VERSION:
        problem = f"{path} was written by a later retrial, its version is {version}"
        raise InputError("pack", version, f"at most {VERSION}", problem=problem)
    return manifest


def _check(manifest: Manifest) -> None:
    """Raise TypeError, KeyError or AttributeError unless every value has the right type."""
    expected: list[tuple[Any, type]] = [
        *((text, str) for text in (manifest.study, manifest.made, manifest.retrial)),
        *((count, int) for count in manifest.counts.values()),
        *((entry["bytes"], int) for entry in manifest.files.values()),
        *((entry["sha256"], str) for entry in manifest.files.values()),
    ]
    for value, kind in expected:
        if not isinstance(value, kind):
            raise TypeError(f"got {value!r}, expected {kind.__name__}")


def _safe(path: Path, name: str) -> PurePosixPath:
    """Return a file's path relative to the folder; raise InputError for one outside of it."""
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\\" in name or not place.parts:
        raise damaged(path, f"{name!r} is not a path inside a pack")
    return place


def _copy(source: IO[bytes], target: IO[bytes]) -> tuple[str, int]:
    """Copy a file; return SHA-256 and length of its content."""
    digest, length = hashlib.sha256(), 0
    while chunk := source.read(1 << 20):
        digest.update(chunk)
        length += len(chunk)
        target.write(chunk)
    return digest.hexdigest(), length
