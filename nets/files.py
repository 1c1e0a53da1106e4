"""Atomic file writes: a reader sees the whole file or none."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from nets.errors import InputError


def write_new(path: Path, content: bytes, command: str) -> None:
    """Write a file that must not exist yet; raises InputError, under the name of a command."""
    if path.exists():
        raise InputError(command, problem=f"{path} exists", expected="a new file")
    try:
        write_whole(path, lambda file: file.write(content))
    except OSError as error:
        raise InputError(
            command,
            problem=f"cannot write {path}: {error.strerror}",
            expected="a file in a folder this user may write to",
        ) from error


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name in its folder, then rename it: it is never partial.

    Raises OSError if it cannot be written, and whatever `write` raises; no temporary file is left.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        # mkstemp creates files that only their owner can read; a cache may be shared.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
