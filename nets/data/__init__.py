"""Images with labels: where they come from, how they are verified, how processes share them.

A driver calls `load`, which reads the original files, verifies them and writes plain arrays to a
cache once. Its workers call `open_cached` with `Dataset.path` and map the same pages; they never
need scikit-learn or pooch.
"""

from nets.data.catalogue import (
    DATASETS,
    TEST_NOTES,
    are_here,
    check_name,
    default_folder,
    fetch,
    load,
    own_files,
)
from nets.data.dataset import Dataset, open_cached

__all__ = [
    "DATASETS",
    "TEST_NOTES",
    "Dataset",
    "are_here",
    "check_name",
    "default_folder",
    "fetch",
    "load",
    "open_cached",
    "own_files",
]
