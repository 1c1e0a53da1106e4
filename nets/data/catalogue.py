"""Which data sets there are, and the one way to load each.

Two are known by their checksums; any other name is a file of one's own, see `nets.data.own`.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from nets.data import cache as caches
from nets.data import digits, mnist, own
from nets.data.dataset import Content, Dataset, content_sha256
from nets.data.download import MIRRORS, download
from nets.errors import InputError

DATASETS = {
    "digits": "8x8 grey digits, 1,437 training and 360 test images, these by other writers and "
    "harder; comes with scikit-learn",
    "mnist": "28x28 grey digits, 60,000 training and 10,000 test images; "
    f"`{mnist.FETCH_COMMAND}` downloads 11 MB",
}


def default_folder() -> Path:
    """Return the folder of the user for data that can be had again, ``.../retrial``.

    ``$XDG_CACHE_HOME`` where it is set, else the custom of the system: ``~/Library/Caches``,
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
    """Load a data set, checked, from its original files.

    Every call reads and checks the originals (0.3 s for MNIST). The first one writes the arrays
    to the cache, later ones find them there and compare their checksum; a damaged cache is
    written anew.

    Parameters
    ----------
    name
        One of `DATASETS`, or that of a file ``NAME.npz`` in the folder.
    folder
        Where the original files are, those of MNIST in it or in ``folder/mnist``; it is never
        written to. Digits need none.
    cache
        Folder for the arrays, by default ``default_folder() / "arrays"``.
    progress
        Called with a line of text before each step that takes time.

    Returns
    -------
    Dataset
        Mapped from the cache: read-only, and shared with every process that maps it.

    Raises
    ------
    InputError
        For a name that is not known, files that are missing or not the published ones, and a
        cache that cannot be written.
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
                "digits: scikit-learn's images are not the known ones: SHA-256 of their content: "
                f"expected {digits.SHA256}, received {sha256}"
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
    caches.store(path, name=name, sha256=sha256, **found._asdict())
    return caches.open_cached(path)


def fetch(
    name: str,
    folder: Path,
    mirrors: Sequence[str] = MIRRORS,
    progress: bool = True,
) -> list[Path]:
    """Download the files of a data set; the only thing here that uses the network.

    Files that are there and right are kept. Nothing is put into the folder before all of it has
    arrived and been checked.

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
        The files downloaded by this call, empty when all were there.

    Raises
    ------
    InputError
        When no mirror gives the right content of a file; names what each gave instead.
    """
    if name not in DATASETS:
        raise InputError(f"data: got {name!r}, accepted are {', '.join(map(repr, DATASETS))}")
    if name == "digits":
        return []
    return download(Path(folder), mirrors, progress)


def check_name(name: str) -> None:
    """Raise InputError for what is no name of a data set, without looking for its files."""
    if name not in DATASETS and not own.is_name(name):
        raise InputError(
            f"data.name: got {name!r}, accepted are {', '.join(DATASETS)}, or your own: the name "
            "of a file NAME.npz in the folder of the data"
        )


def are_here(names: Iterable[str], folder: Path) -> bool:
    """Tell whether the files of one's own among data sets lie in a folder."""
    return all(name in DATASETS or own.path_of(name, folder).is_file() for name in names)


def own_files(folder: Path) -> dict[str, Path]:
    """Return the files of one's own in a folder by the names of their data sets, in order."""
    names = sorted(path.stem for path in folder.glob("*.npz") if own.is_name(path.stem))
    return {name: own.path_of(name, folder) for name in names if name not in DATASETS}


def _find(name: str, folder: Path) -> Path:
    """Return the file of one's own that has a name, or raise InputError."""
    check_name(name)
    if (path := own.path_of(name, folder)).is_file():
        return path
    here = ", ".join([*DATASETS, *own_files(folder)])
    raise InputError(
        f"data.name: got {name!r}, accepted are {here}, or your own: a file {name}.npz in {folder} "
        "(another folder is named by --data or RETRIAL_DATA)"
    )
