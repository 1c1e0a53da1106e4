"""Fetching MNIST from public mirrors: the only module that talks to the network."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nets.data.idx import read_content
from nets.data.mnist import FILES, File, candidates, checked_content
from nets.errors import InputError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TIMEOUT = 30.0
"""Seconds without a byte after which a mirror counts as silent."""


class MirrorError(Exception):
    """What one mirror gave instead of the file."""


def download(folder: Path, mirrors: Sequence[str], progress: bool) -> list[Path]:
    """Download what is missing of MNIST to ``folder/mnist``; see `nets.data.fetch`.

    The files arrive in a temporary folder beside their place, are checked there and renamed
    together at the end; whatever goes wrong, that folder is all there is to remove.
    """
    missing = [file for file in FILES.values() if not _is_right(file, folder)]
    if not missing:
        return []
    target = folder / "mnist"
    made = [place for place in (target, *target.parents) if not place.exists()]
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target) as beside:
            arrived = [_from_first_right(file, mirrors, Path(beside), progress) for file in missing]
            return [path.replace(target / path.name) for path in arrived]
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error}") from None
    finally:
        for place in made:
            if place.exists() and not os.listdir(place):
                place.rmdir()


def _is_right(file: File, folder: Path) -> bool:
    """Whether the copy of a file that `load` would read is the published one."""
    path = next((path for path in candidates(file.name, folder) if path.is_file()), None)
    if path is None:
        return False
    try:
        checked_content(path, file)
    except InputError:
        return False
    return True


def _from_first_right(file: File, mirrors: Sequence[str], folder: Path, progress: bool) -> Path:
    received = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file.name}.gz"
        try:
            return _from(url, file, folder, progress)
        except MirrorError as error:
            received.append(f"{error} from {url}")
    raise InputError(
        f"{file.name}.gz could not be fetched: expected content with SHA-256 {file.sha256}.\n"
        f"Received {'; '.join(received) or 'nothing: no mirrors were given'}"
    )


def _from(url: str, file: File, folder: Path, progress: bool) -> Path:
    """Download one file from one mirror and check it."""
    # Imported here, for loading does without: together they take a third of a second.
    import pooch
    from tqdm import tqdm

    # pooch tells standard error what we say ourselves.
    pooch.get_logger().setLevel("WARNING")
    path = folder / f"{file.name}.gz"
    # The total is replaced once the length of the answer is known; without one a bar refuses to be
    # tested for truth, which pooch does.
    with tqdm(desc=path.name, total=1, unit="B", unit_scale=True, disable=not progress) as bar:
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=TIMEOUT)
        try:
            # No checksum for pooch: mirrors compress differently, so the content is checked below.
            pooch.retrieve(
                url, known_hash=None, fname=path.name, path=folder, downloader=downloader
            )
        except OSError as error:  # all errors of requests are
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
    """Return what an error began with: requests wraps 'connection refused' three times."""
    while error.__context__ is not None:
        error = error.__context__
    return error
