"""The 8x8 digits that come with scikit-learn: 1,797 images that need no download.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository (1998): its test part, each pixel the number of black dots in a 4x4 block, 0 to 16.
"""

import numpy as np
from numpy.typing import NDArray

CLASSES = 10
FULL_SCALE = 16
TEST_COUNT = 360
"""There is no official test set; the last images in file order serve as one. They were written by
other people than most of the rest."""
SHA256 = "21f573b7af719085f4cb1e9a56a6e4ee4f33f7cc49746367b85feab88725b8b7"
"""Of the content, as `Dataset.sha256` describes it. Because it is known in advance, cached digits
load without importing scikit-learn (more than a second)."""


def read() -> dict[str, NDArray[np.uint8]]:
    """Return the images as arrays by the names of `Dataset`'s fields."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(np.uint8)
    return {
        "images": images[:-TEST_COUNT],
        "labels": labels[:-TEST_COUNT],
        "test_images": images[-TEST_COUNT:],
        "test_labels": labels[-TEST_COUNT:],
    }
