"""Question: how many seconds from random weights to 99.2 % on the MNIST test images, on one core?

The deep_convnet with AdamW (weight decay 0.01) and a one-cycle learning rate up to 0.003, three
epochs of mini-batches of 128, dropout 0.5, no augmentation; the same recipe in PyTorch, from the
same initial weights. Test accuracy is measured after each epoch. The seconds are processor time of
training alone, so that other processes on the machine do not count.

    python -m benchmarks.accuracy [--epochs N] [--no-torch]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.measure import head, mnist, torch
from benchmarks.twins import Twin, network
from nets import threads
from nets.evaluation import evaluate
from nets.settings import Settings
from nets.trainer import Training

TARGET = 0.992


def recipe(epochs: int) -> Settings:
    """Return the settings, for us and for PyTorch."""
    return Settings(
        data="mnist", validation=0, architecture="deep_convnet", dropout=0.5, batch_size=128,
        optimizer="adamw", weight_decay=0.01, learning_rate=3e-3, schedule="one_cycle",
        epochs=epochs,
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--no-torch", action="store_true", help="our side only")
    options = parser.parse_args(arguments)
    head(__doc__)
    data = mnist()
    if data is None:
        return
    settings = recipe(options.epochs)
    with threads.use(1):
        report("ours", ours(settings, data))
    if torch is not None and not options.no_torch:
        report("PyTorch", theirs(settings, data))


def report(name: str, epochs) -> None:
    """Print each epoch, and when the target was reached."""
    total, reached = 0.0, None
    for number, (seconds, accuracy) in enumerate(epochs, start=1):
        total += seconds
        if reached is None and accuracy >= TARGET:
            reached = total
        print(f"  {name:8} epoch {number}: {accuracy:.2%} after {total:6.1f} s", flush=True)
    end = f"reached after {reached:.1f} s" if reached else "not reached"
    print(f"  {name:8} {TARGET:.1%} {end}")


def ours(settings: Settings, data):
    """Yield seconds and test accuracy of each epoch."""
    training = Training(settings, data)
    while training.reason is None:
        started = time.process_time()
        training.run_epoch()
        seconds = time.process_time() - started
        score = evaluate(training.executor, data.test_images, data.test_labels, data.full_scale)
        yield seconds, score.accuracy


def theirs(settings: Settings, data):
    """Yield the same for PyTorch, in its faster layout for such networks, channels_last."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    twin = Twin(network(settings))
    module = twin.module.to(memory_format=torch.channels_last)
    weights = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": weights}, {"params": others, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    steps = -(-len(data.images) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, epochs=settings.epochs, steps_per_epoch=steps,
        cycle_momentum=False,
    )  # fmt: skip
    images, labels = pixels(data.images), torch.from_numpy(data.labels.astype(np.int64))
    test, test_labels = pixels(data.test_images), data.test_labels
    for _ in range(settings.epochs):
        module.train()
        started = time.process_time()
        for rows in torch.randperm(len(images)).split(settings.batch_size):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(images[rows]), labels[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
        seconds = time.process_time() - started
        module.eval()
        with torch.no_grad():
            predicted = torch.cat([module(part).argmax(1) for part in test.split(200)])
        yield seconds, float((predicted.numpy() == test_labels).mean())


def pixels(images: np.ndarray):
    """Return images as PyTorch takes them: floats in [0, 1]."""
    scaled = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    return torch.from_numpy(scaled).to(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
