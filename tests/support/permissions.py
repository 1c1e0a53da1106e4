"""Stores that cannot be written, also by root, who is otherwise exempt from permissions."""

import contextlib
import ctypes
import os
import stat

_DROP_FROM_BOUNDING_SET = 24
_EXEMPTIONS = 1, 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


def without_exemptions():
    """Respect permissions in the program that this process executes next, as a `preexec_fn`."""
    if os.geteuid() == 0:
        for capability in _EXEMPTIONS:
            ctypes.CDLL(None).prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)


@contextlib.contextmanager
def read_only(folder):
    """Make all files and folders below a folder read-only while a block runs."""
    paths = [folder, *folder.rglob("*")]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in paths]
    for path, mode in zip(paths, modes, strict=True):
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)
