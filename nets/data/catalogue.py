"""Which data sets there are, and how each is loaded.

Two are built in and verified by their checksums; any other name is a user's file, see
`nets.data.own`.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from nets.data import cache as caches
from nets.data import digits, mnist, own
from nets.data.dataset import Content, Dataset, content_sha256, open_cached
from nets.data.download import MIRRORS, download
from nets.errors import InputError, did_you_mean, one_of

DATASETS = {
    "digits": "8x8 grey digits, 1,437 training and 360 test images; comes with scikit-learn",
    "mnist": "28x28 grey digits, 60,000 training and 10,000 test images; "
    f"`{mnist.FETCH_COMMAND}` downloads 11 MB",
}

TEST_NOTES = {
    "digits": "other people wrote most of the test digits, so accuracy on them is usually lower "
    "than on the validation digits, whose writers also wrote training digits",
}
"""How the test images of a data set differ from its training images, where that is known."""


def default_folder() -> Path:
    """Return the user's cache folder, ``.../retrial``.

    ``$XDG_CACHE_HOME`` if it is set, else the system's default: ``~/Library/Caches``,
    ``%LOCALAPPDATA%`` or ``~/.cache``.
    """
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "retrial"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "retrial"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "retrial"
    return Path.home() / ".cache" / "retrial"


def load(
    name: str,
    folder: Path,
    cache: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Dataset:
    """Load a data set from its original files and verify it.

    Every call reads and verifies the originals (0.3 s for MNIST). The first call writes the arrays
    to the cache, later ones verify the checksum of the cached arrays; a damaged cache is replaced.

    Parameters
    ----------
    name
        One of `DATASETS`, or the name of a file ``NAME.npz`` in the folder.
    folder
        Folder of the original files; MNIST may also be in ``folder/mnist``. It is never written to.
        The digits need no files.
    cache
        Folder for the arrays, by default ``default_folder() / "arrays"``.
    progress
        Called with one line of text before each slow step.

    Returns
    -------
    Dataset
        Mapped from the cache: read-only, and shared with every process that maps it.

    Raises
    ------
    InputError
        For an unknown name, for files that are missing or not the published ones, and for a cache
        that cannot be written.
    """
    say = progress or (lambda line: None)
    cache = Path(cache) if cache is not None else default_folder() / "arrays"
    if name == "digits":
        path = caches.folder_of(name, digits.SHA256, cache)
        if dataset := caches.open_verified(path, digits.SHA256):
            return dataset
        say("reading the digits of scikit-learn")
        found = Content(digits.read(), digits.CLASSES, digits.FULL_SCALE)
        sha256 = content_sha256(found.arrays)
        if sha256 != digits.SHA256:
            raise InputError(
                "digits", sha256, f"scikit-learn's images with SHA-256 {digits.SHA256}"
            )
    else:
        if name == "mnist":
            found = Content(mnist.read(Path(folder), say), mnist.CLASSES, mnist.FULL_SCALE)
        else:
            found = own.read(_find(name, Path(folder)))
        content = content_sha256(found.arrays)
        sha256 = own.sha256_of(content, found.full_scale)
        path = caches.folder_of(name, sha256, cache)
        dataset = caches.open_verified(path, content)
        if dataset and (dataset.classes, dataset.label_names) == (found.classes, found.label_names):
            return dataset
    say(f"writing {path}")
    caches.store(path, found, name=name, sha256=sha256)
    return open_cached(path)


def fetch(
    name: str,
    folder: Path,
    mirrors: Sequence[str] = MIRRORS,
    progress: bool = True,
) -> list[Path]:
    """Download the files of a data set; the only function here that uses the network.

    Existing files with the right content are kept. New files appear in the folder only after all of
    them have been downloaded and verified.

    Parameters
    ----------
    name
        One of `DATASETS`; digits need no download.
    folder
        The files go to ``folder/NAME/``.
    mirrors
        Base addresses, tried in this order for each file.
    progress
        Whether to draw a progress bar on standard error.

    Returns
    -------
    list[Path]
        The files downloaded by this call; empty if all existed.

    Raises
    ------
    InputError
        If no mirror returns the right content of a file; the message says what each returned.
    """
    if name not in DATASETS:
        raise InputError("data", name, one_of(DATASETS), did_you_mean(name, DATASETS))
    if name == "digits":
        return []
    return download(Path(folder), mirrors, progress)


def check_name(name: str) -> None:
    """Raise InputError unless this may be the name of a data set; no file is read."""
    if name not in DATASETS and not own.is_name(name):
        raise InputError(
            "data.name",
            name,
            f"{', '.join(DATASETS)} or the name of a file NAME.npz in the data folder",
        )


def are_here(names: Iterable[str], folder: Path) -> bool:
    """Whether a folder has the files of those data sets that are users' files."""
    return all(name in DATASETS or own.path_of(name, folder).is_file() for name in names)


def own_files(folder: Path) -> dict[str, Path]:
    """Return the users' files in a folder by the names of their data sets, sorted."""
    names = sorted(path.stem for path in folder.glob("*.npz") if own.is_name(path.stem))
    return {name: own.path_of(name, folder) for name in names if name not in DATASETS}


def _find(name: str, folder: Path) -> Path:
    """Return the user's file of this name, or raise InputError."""
    check_name(name)
    if (path := own.path_of(name, folder)).is_file():
        return path
    known = [*DATASETS, *own_files(folder)]
    raise InputError(
        "data.name",
        name,
        f"{', '.join(known)} or a file {name}.npz in {folder}",
        did_you_mean(name, known) or "set the folder with --data or RETRIAL_DATA",
    )
