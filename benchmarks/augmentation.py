"""Question: what does augmentation cost, compared with the training step that it feeds?

Prints the median milliseconds for one mini-batch of 128 images of 28x28, on one core, for the
affine part and for everything, and for a control that uses none of our code: a matrix product of
0.5 GFLOP; a training step of the deep_convnet costs about ten of them. The error is that of a
rotation by 90 degrees, compared with `numpy.rot90`.

    python benchmarks/augmentation.py
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import statistics
import time
from dataclasses import replace

import numpy as np

from nets.augmentation import Augmenter, Distortion
from nets.settings import Settings

SHAPE = (28, 28, 1)
AFFINE = Settings(shift=2, rotation=15, scale=0.1, shear=0.1)


def milliseconds(function, repeats=200):
    """Return the median time of one call."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def main():
    generator = np.random.default_rng(0)
    images = generator.random((128, *SHAPE), dtype=np.float32)
    out = np.empty_like(images)
    a, b, c = (generator.random((630, 630), dtype=np.float32) for _ in range(3))
    print(f"control: matrix product   {milliseconds(lambda: np.matmul(a, b, out=c)):7.2f} ms")
    for name, strengths in [("affine", AFFINE), ("everything", replace(AFFINE, elastic=1.0))]:
        augmenter = Augmenter(strengths, SHAPE)
        taken = milliseconds(lambda augmenter=augmenter: augmenter(images, generator, out))
        print(f"{name:<25} {taken:7.2f} ms for 128 images")
    quarter = replace(Distortion.none(128), rotation=np.full(128, 90.0))
    turned = Augmenter(AFFINE, SHAPE).distort(images, quarter)
    error = np.abs(turned - np.rot90(images, axes=(1, 2))).max()
    print(f"error of a 90° rotation   {error:.1e}")


if __name__ == "__main__":
    main()
