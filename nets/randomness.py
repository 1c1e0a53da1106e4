"""Every random number in a trial comes from a stream that is named after its purpose.

Separate streams keep the parts of a trial independent: adding dropout does not change the initial
weights, and augmentation does not change the order of the mini-batches.
"""

import hashlib
from typing import Literal

import numpy as np

Purpose = Literal["initialization", "shuffling", "dropout", "augmentation", "split"]


def stream(seed: int, purpose: Purpose) -> np.random.Generator:
    """Return the generator for one purpose, which depends only on the seed and the purpose.

    The purpose is hashed (SHA-256), so that adding a purpose never changes another stream.

    >>> int(stream(0, "shuffling").integers(1000)) == int(stream(0, "shuffling").integers(1000))
    True
    """
    word = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, word])))


def derived_seed(seed: int, *path: int) -> int:
    """Return a 63-bit seed that is a function of a seed and a path of numbers.

    A trial's seed is ``derived_seed(study_seed, trial_number)``. NumPy's SeedSequence hashes the
    numbers (O'Neill's hash), so the seeds of neighbouring trials are unrelated.

    >>> derived_seed(0, 1) == derived_seed(0, 1), derived_seed(0, 1) == derived_seed(0, 2)
    (True, False)
    """
    words = np.random.SeedSequence([seed, *path]).generate_state(1, np.uint64)
    return int(words[0]) >> 1
