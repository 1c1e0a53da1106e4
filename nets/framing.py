"""How much of its frame a digit fills: images framed as in training are classified better."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

INK = 0.3
"""Pixels brighter than this fraction of an image's brightest pixel are ink."""


def fill_of(images: NDArray[Any]) -> float:
    """Return the fraction of its frame that the ink of an image spans, averaged over the images.

    The fraction is the larger of those that the ink's bounding box spans in height and in width:
    20/28 in MNIST, 1 in scikit-learn's digits. Images without ink do not count; if no image has
    ink, the result is 1.

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
