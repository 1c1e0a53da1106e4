"""The two kinds of arrays that networks compute with: float32 and float64."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]
Shape: TypeAlias = tuple[int, ...]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def check_floats(subject: str, x: Any) -> None:
    """Raise a TypeError that names the subject unless x is an array of float32 or float64.

    >>> check_floats("affine1: the input", np.arange(3))
    Traceback (most recent call last):
    TypeError: affine1: the input must be an array of float32 or float64, got int64
    """
    if not isinstance(x, np.ndarray | np.generic) or x.dtype not in FLOATS:
        received = getattr(x, "dtype", type(x).__name__)
        raise TypeError(f"{subject} must be an array of float32 or float64, got {received}")


def scaled(images: NDArray[Any], full_scale: int, out: Array | None = None) -> Array:
    """Return pixels of 0..full_scale as float32 in [0, 1], written to ``out`` if it is given.

    >>> scaled(np.array([0, 51, 255], np.uint8), 255)
    array([0. , 0.2, 1. ], dtype=float32)
    """
    fractions: Array = np.divide(images, np.float32(full_scale), out=out, dtype=np.float32)
    return fractions
