"""Question: is the time of an epoch linear in the number of images, and is the input fast enough?

Trains the deep_convnet (batch 128, Adam, validation off) for one epoch on 15,000, 30,000 and 60,000
images of MNIST with the project's trainer; then times the input pipeline alone over the same 60,000
images: shuffle, gather, uint8 to float32, and with augmentation shift, rotation, scale and shear.
Seconds are processor time.

    python -m benchmarks.epochs
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from benchmarks.measure import head, mnist
from nets import threads
from nets.arrays import scaled
from nets.augmentation import Augmenter
from nets.settings import Settings
from nets.trainer import Training

PLAIN = Settings(
    data="mnist", validation=0, architecture="deep_convnet", dropout=0.5, batch_size=128,
    optimizer="adam",
)  # fmt: skip
AUGMENTED = replace(PLAIN, shift=2, rotation=15, scale=0.1, shear=0.1)
COUNTS = (15_000, 30_000, 60_000)


def main() -> None:
    head(__doc__)
    data = mnist()
    if data is None:
        return
    seconds = 0.0
    with threads.use(1):
        for count in COUNTS:
            part = replace(data, images=data.images[:count], labels=data.labels[:count], path=None)
            training = Training(PLAIN, part)
            started = time.process_time()
            training.run_epoch()
            seconds = time.process_time() - started
            each = 1e3 * seconds / count
            print(f"  {count:6,} images: {seconds:6.1f} s, {each:.3f} ms per image")
        for name, settings, limit in (("plain", PLAIN, 10), ("augmented", AUGMENTED, 25)):
            share = pipeline(data, settings) / seconds
            print(f"  input pipeline, {name}: {share:.1%} of an epoch (at most {limit} %)")


def pipeline(data, settings: Settings) -> float:
    """Return the seconds of one epoch's input pipeline without training."""
    augment = Augmenter(settings, data.image_shape) if settings is AUGMENTED else None
    pixels = np.empty((settings.batch_size, *data.image_shape), np.float32)
    images, generator = np.asarray(data.images), np.random.default_rng(0)
    started = time.process_time()
    order = generator.permutation(len(images))
    for start in range(0, len(order), settings.batch_size):
        rows = order[start : start + settings.batch_size]
        batch = scaled(images[rows], data.full_scale, out=pixels[: len(rows)])
        if augment is not None:
            augment(batch, generator)
    return time.process_time() - started


if __name__ == "__main__":
    main()
