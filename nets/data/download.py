"""Download MNIST from public mirrors: the only module that uses the network."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nets.data.idx import read_content
from nets.data.mnist import FILES, File, checked_content, find
from nets.errors import InputError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TIMEOUT = 30.0
"""Seconds without a byte after which a mirror counts as unreachable."""


class MirrorError(Exception):
    """What one mirror returned instead of the file."""


def download(folder: Path, mirrors: Sequence[str], progress: bool) -> list[Path]:
    """Download the missing files of MNIST to ``folder/mnist``; see `nets.data.fetch`.

    The files are downloaded to a temporary folder inside ``folder/mnist``, verified there and moved
    together at the end; after any error only that folder has to be removed.
    """
    missing = [file for file in FILES.values() if not _is_valid(file, folder)]
    if not missing:
        return []
    target = folder / "mnist"
    made = [place for place in (target, *target.parents) if not place.exists()]
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target) as beside:
            arrived = [_from_first_valid(file, mirrors, Path(beside), progress) for file in missing]
            return [path.replace(target / path.name) for path in arrived]
    except OSError as error:
        raise InputError(problem=f"cannot write to {target}: {error}") from None
    finally:
        for place in made:
            if place.exists() and not os.listdir(place):
                place.rmdir()


def _is_valid(file: File, folder: Path) -> bool:
    """Whether the copy of a file that `load` would read has the published content."""
    path = find(file.name, folder)
    if path is None:
        return False
    try:
        checked_content(path, file)
    except InputError:
        return False
    return True


def _from_first_valid(file: File, mirrors: Sequence[str], folder: Path, progress: bool) -> Path:
    received = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file.name}.gz"
        try:
            return _from(url, file, folder, progress)
        except MirrorError as error:
            received.append(f"{error} from {url}")
    raise InputError(
        f"{file.name}.gz",
        problem=f"cannot be fetched: got {'; '.join(received) or 'no mirrors'}",
        expected=f"content with SHA-256 {file.sha256}",
    )


def _from(url: str, file: File, folder: Path, progress: bool) -> Path:
    """Download one file from one mirror and check it."""
    # Imported here, because loading does not need them: together they take a third of a second.
    import pooch
    from tqdm import tqdm

    # pooch would print to stderr what our own messages say.
    pooch.get_logger().setLevel("WARNING")
    path = folder / f"{file.name}.gz"
    # The total is replaced once the length of the response is known. Without a total, bool(bar)
    # raises an error, and pooch calls it.
    with tqdm(desc=path.name, total=1, unit="B", unit_scale=True, disable=not progress) as bar:
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=TIMEOUT)
        try:
            # No checksum for pooch: mirrors compress differently, so the content is checked below.
            pooch.retrieve(
                url, known_hash=None, fname=path.name, path=folder, downloader=downloader
            )
        except OSError as error:  # as all errors of requests are
            raise MirrorError(f"an error ({_root(error)})") from error
    try:
        received = hashlib.sha256(read_content(path)).hexdigest()
    except InputError:
        received = f"{hashlib.sha256(path.read_bytes()).hexdigest()} (truncated or damaged gzip)"
    if received != file.sha256:
        path.unlink()
        raise MirrorError(f"SHA-256 {received}")
    return path


def _root(error: BaseException) -> BaseException:
    """Return the first error of a chain: requests wraps 'connection refused' three times."""
    while error.__context__ is not None:
        error = error.__context__
    return error
