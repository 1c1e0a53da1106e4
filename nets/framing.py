"""How digits stand in their frames, which decides much of what a network makes of other images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

INK = 0.3
"""Of an image's brightest pixel: what is brighter than this part of it is ink."""


def fill_of(images: NDArray[Any]) -> float:
    """Return which part of its frame the ink of an image takes, on average.

    Of the ink's bounding box, height and width, it is the one that takes the larger part: 20/28 in
    MNIST, the whole in the digits of scikit-learn. Images without ink do not count; none with any
    gives 1.

    Parameters
    ----------
    images
        ``(n, height, width, channels)``, light on black.

    >>> cross = np.zeros((1, 8, 8, 1))
    >>> cross[0, 2:6, 3] = cross[0, 3, 2:5] = 1
    >>> fill_of(cross)
    0.5
    """
    shares = []
    for image in images.max(axis=-1):
        ink = np.argwhere(image > INK * image.max())
        if len(ink):
            extent = np.ptp(ink, axis=0) + 1
            shares.append(float((extent / image.shape).max()))
    return float(np.mean(shares)) if shares else 1.0
