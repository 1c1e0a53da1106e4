"""The file: a zip archive whose manifest has the length and SHA-256 of every other file.

A pack comes from anywhere. Only the files of its manifest are read, under names of the format, and
never more of them than it declares.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

from nets.errors import InputError
from tracking.records import Record, RecordDamaged, parsed
from tracking.records.pack import PackedFile
from tracking.store import names
from tracking.store.plain_values import json_text

FORMAT = "retrial-pack"
VERSION = 1
MANIFEST = "manifest.json"

_COMPRESSED = {".png", ".npz", ".jpg", ".zip", ".gz", ".onnx"}
"""Extensions of files that are compressed already."""

RUN_ID = "[0-9a-f]{32}"
MODEL_ID = f"m-{RUN_ID}"
_FILES = re.compile(
    rf"{re.escape(names.LEDGER)}|mlflow/(experiment|runs|models|registry)\.json"
    rf"|mlflow/artifacts/({RUN_ID}|{MODEL_ID})/.+"
)
"""The files of a pack."""

_MOST_BYTES = 100 << 20
_MOST_RATIO = 100
"""All files together may have `_MOST_BYTES`, and `_MOST_RATIO` times the size of the pack more."""
_MOST_JSON_BYTES = 64 << 20
_MOST_JSON_RATIO = 20
"""The same for a JSON file, which takes several times its length in memory."""


@dataclass(frozen=True)
class Manifest(Record):
    """The contents of a pack.

    `made` is a time in ISO 8601, `counts` are for display, `files` has the length in bytes and the
    SHA-256 of every file by its name.
    """

    study: str
    made: str
    retrial: str
    counts: dict[str, int]
    files: Mapping[str, PackedFile] = field(default_factory=dict)
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
        self._files: dict[str, PackedFile] = {}

    def add_json(self, name: str, value: Any) -> None:
        """Add a value as JSON."""
        self._add(name, io.BytesIO(json_text(value).encode()))

    def add_file(self, name: str, path: Path) -> None:
        """Add a file from disk."""
        with path.open("rb") as source:
            self._add(name, source)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, which lists the added files."""
        text = json.dumps(replace(manifest, files=self._files).to_json(), indent=1)
        self._zip.writestr(zipfile.ZipInfo(MANIFEST), text, zipfile.ZIP_DEFLATED)

    def _add(self, name: str, source: IO[bytes]) -> None:
        if not _is_name(name):
            problem = f"cannot pack a file named {name!r}"
            raise InputError("pack", name, "a printable name without backslash", problem=problem)
        stored = PurePosixPath(name).suffix in _COMPRESSED
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        with self._zip.open(info, "w", force_zip64=True) as target:
            digest, length = _copy(source, target)
        self._files[name] = PackedFile(length, digest)


def read_manifest(path: Path) -> Manifest:
    """Return a pack's manifest; raise InputError for a file that is not a pack."""
    with _opened(path) as archive:
        return _manifest(path, archive)


def extract(path: Path, folder: Path) -> None:
    """Extract all files of a pack into a folder; raise InputError where one is damaged."""
    with _opened(path) as archive:
        manifest = _manifest(path, archive)
        _check_sizes(path, manifest, folder)
        known, folders = set(archive.namelist()), {folder}
        for name, expected in manifest.files.items():
            if name not in known:
                raise damaged(path, f"{name} is missing")
            target = folder / PurePosixPath(name)
            if target.parent not in folders:
                target.parent.mkdir(parents=True, exist_ok=True)
                folders.add(target.parent)
            with _open_file(path, archive, name) as source, target.open("wb") as written:
                digest, length = _copy(source, written, expected.bytes)
            if length != expected.bytes:
                more = "more" if length > expected.bytes else "less"
                raise damaged(path, f"{name} has {more} than the {expected.bytes} bytes declared")
            if digest != expected.sha256:
                recorded = expected.sha256[:12]
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
    except InputError:
        raise
    except _ERRORS as error:
        raise _not_a_pack(path, error) from error


_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError,
    OverflowError, RuntimeError,  # for an archive with a password
)  # fmt: skip
"""What `zipfile` raises for a damaged archive."""


def _not_a_pack(path: Path, reason: object) -> InputError:
    problem = f"{path} is damaged or not a pack ({str(reason)[:200]})"
    return InputError("pack", path, "a file written by `retrial pack`", problem=problem)


def _open_file(path: Path, archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open a file of an archive; other methods of compression could demand any memory."""
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise damaged(path, f"{name} is neither stored nor deflated")
    return archive.open(name)


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    if MANIFEST not in archive.namelist():
        raise _not_a_pack(path, "no valid manifest")
    most = _most_json_bytes(archive.getinfo(MANIFEST).compress_size)
    with _open_file(path, archive, MANIFEST) as file:
        content = file.read(most + 1)
    try:
        values = parsed(content, MANIFEST) if len(content) <= most else None
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise RecordDamaged(MANIFEST, problem="is no manifest")
        # A later version may have other fields, so only its number is checked.
        if type(version := values.get("version")) is int and version > VERSION:
            problem = f"{path} was written by a later retrial, its version is {version}"
            raise InputError("pack", version, f"at most {VERSION}", problem=problem)
        manifest = Manifest.from_json(values)
        _check(manifest)
    except RecordDamaged as error:
        raise _not_a_pack(path, "no valid manifest") from error
    for name in manifest.files:
        if not _is_name(name):
            raise damaged(path, f"{name[:200]!r} is not a path inside a pack")
    return manifest


def _check(manifest: Manifest) -> None:
    """Raise RecordDamaged unless every value has the form that `Writer` gives it."""
    forms = [
        (manifest.study, names.STUDY_NAME),
        (manifest.made, r"[0-9TZ:.+-]{1,40}"),
        (manifest.retrial, r"[\w.+!-]{1,100}"),
        *((noun, r"[a-z]{2,20}") for noun in manifest.counts),
        *((str(count), r"[0-9]+") for count in manifest.counts.values()),
        *((str(file.bytes), r"[0-9]+") for file in manifest.files.values()),
        *((file.sha256, r"[0-9a-f]{64}") for file in manifest.files.values()),
    ]
    for value, form in forms:
        if not re.fullmatch(form, value):
            raise RecordDamaged(MANIFEST, value[:100])


def _is_name(name: str) -> bool:
    """Return whether a name is that of a file of a pack, and stays inside a folder as a path."""
    parts = name.split("/")
    return (
        _FILES.fullmatch(name) is not None
        and name.isprintable()
        and "\\" not in name
        and len(name) <= 1000
        and all(part not in ("", ".", "..") and len(part.encode()) <= 255 for part in parts)
    )


def _check_sizes(path: Path, manifest: Manifest, folder: Path) -> None:
    """Raise InputError where the declared sizes fit neither the pack nor the disk."""
    packed = path.stat().st_size
    total = sum(file.bytes for file in manifest.files.values())
    if total > _MOST_BYTES + _MOST_RATIO * packed:
        raise damaged(path, f"its {packed} bytes declare {total} bytes of files")
    for name, file in manifest.files.items():
        if (
            name.startswith("mlflow/")
            and name.count("/") == 1
            and (file.bytes > _most_json_bytes(packed))
        ):
            raise damaged(path, f"its {packed} bytes declare {file.bytes} bytes of {name}")
    if total > (free := shutil.disk_usage(folder).free):
        problem = f"{path} needs {total} bytes, the disk of the store has {free} left"
        raise InputError("pack", path, problem=problem)


def _most_json_bytes(packed: int) -> int:
    return _MOST_JSON_BYTES + _MOST_JSON_RATIO * packed


def _copy(source: IO[bytes], target: IO[bytes], most: int | None = None) -> tuple[str, int]:
    """Copy a file, or little more than `most` bytes of it; return SHA-256 and length."""
    digest, length = hashlib.sha256(), 0
    while (most is None or length <= most) and (chunk := source.read(1 << 20)):
        digest.update(chunk)
        length += len(chunk)
        target.write(chunk)
    return digest.hexdigest(), length
