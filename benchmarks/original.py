"""Question: at an equal number of epochs, what is a search worth beside the original's random one?

The original project searched the learning rate and the weight decay of a network 784-100x6-10 with
SGD on 500 images of MNIST, 20 % of them for validation: 100 random trials of 50 epochs. The same
space is searched by TPE with Hyperband, and a wider space (Adam's learning rate, dropout) likewise,
each with 5,000 epochs per search. Every search is `retrial search` with a study file of its own.

The value of the best of many trials is partly luck, the more so with 100 images. Its network is
therefore measured on 10,000 other images, which no search saw; the test images are not used.

    python -m benchmarks.original [--seeds N] [--jobs N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from benchmarks.measure import head, mnist
from nets import objective, threads
from nets.data import Dataset
from nets.data.dataset import ARRAYS
from nets.model_source import probabilities, restore
from studies.confirmation.intervals import mean_of
from studies.definition import study_file

ROOT = Path(__file__).parents[1]
BUDGET = 5000  # epochs of a search
IMAGES, OTHERS = 500, 10_000

STUDY = """
[study]
seed = {seed}
metric = "val_accuracy"
sampler = {{ name = "{sampler}" }}
pruner = {pruner}

[data]
name = "mnist500"
validation = 100
split_seed = 0

[network]
hidden = [100, 100, 100, 100, 100, 100]

[training]
epochs = 50
batch_size = 100
optimizer = "{optimizer}"

[space]
learning_rate = {{ low = {rates[0]}, high = {rates[1]}, log = true }}
weight_decay = {{ low = 1e-8, high = 1e-4, log = true }}
{more}
"""
HYPERBAND = '{ name = "hyperband", min_resource = 5 }'
RANDOM = {
    "sampler": "random", "pruner": '{ name = "none" }', "optimizer": "sgd",
    "rates": (1e-6, 1e-2), "more": "",
}  # fmt: skip
SEARCHED = {**RANDOM, "sampler": "tpe", "pruner": HYPERBAND}
WIDER = {
    **SEARCHED, "optimizer": "adam", "rates": (1e-4, 1e-1),
    "more": "dropout = { low = 0.0, high = 0.5 }",
}  # fmt: skip
WAYS = {
    "random, the original's space": RANDOM,
    "TPE with Hyperband, the same space": SEARCHED,
    "TPE with Hyperband, Adam and dropout": WIDER,
}


@dataclass(frozen=True)
class Found:
    """The best trial of a search: its value, its network's accuracy on other images."""

    value: float
    accuracy: float
    trials: int


def images() -> Dataset | None:
    """Return 500 training images of MNIST, with 10,000 others in place of the test images."""
    known = mnist()
    if known is None:
        return None
    order = np.random.default_rng(0).permutation(len(known.images))
    some, others = order[:IMAGES], order[IMAGES : IMAGES + OTHERS]
    return Dataset(
        name="mnist500", images=known.images[some], labels=known.labels[some],
        test_images=known.images[others], test_labels=known.labels[others],
        classes=known.classes, full_scale=known.full_scale,
    )  # fmt: skip


def search(folder: Path, name: str, way: dict, seed: int, jobs: int) -> list[dict]:
    """Search until the budget is spent; return the trials within it, in the order of their numbers.

    The number of trials does not influence them, so that a search may be continued until it is.
    """
    file = folder / f"{name}.toml"
    file.write_text(STUDY.format(**way, seed=seed))
    options = ["--store", str(folder / "store"), "--data", str(folder)]
    trials: list[dict] = []
    spent: list[int] = [0]
    while spent[-1] < BUDGET:
        more = ["--trials", str(len(trials) + 100), "--jobs", str(jobs), "--no-record"]
        retrial("search", str(file), *options, *more)
        trials = json.loads(retrial("show", name, *options[:2], "--json"))["trials"]
        trials.sort(key=lambda trial: trial["number"])
        spent = list(accumulate(len(trial["epochs"]) for trial in trials))
    return [trial for trial, epochs in zip(trials, spent, strict=True) if epochs <= BUDGET]


def retrial(*arguments: str) -> str:
    """Run the command; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "studies.cli.main", *arguments], capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stdout


def best_of(trials: Sequence[dict], file: Path, known: Dataset) -> Found:
    """Return the best trial, and what its network is worth on other images."""
    best = max(
        (trial for trial in trials if trial["state"] == "complete"),
        key=lambda trial: (trial["value"], -trial["number"]),
    )
    study = study_file.read(file)
    settings = study.settings(best["number"], best["params"])
    with threads.use(1):
        outcome = objective(settings, known, lambda epoch: None)
        network, full_scale, _ = restore(outcome.model.arrays)
        answers = probabilities(network, full_scale, known.test_images)
    accuracy = float((answers.argmax(axis=1) == known.test_labels).mean())
    return Found(best["value"], accuracy, len(trials))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    head(__doc__)
    known = images()
    if known is None:
        return
    found: dict[str, list[Found]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        np.savez(folder / "mnist500.npz", **{name: getattr(known, name) for name in ARRAYS})
        for seed in range(options.seeds):
            for number, (way, values) in enumerate(WAYS.items()):
                name = f"way{number}-seed{seed}"
                trials = search(folder, name, values, seed, options.jobs)
                one = best_of(trials, folder / f"{name}.toml", known)
                found[way].append(one)
                print(f"  seed {seed}  {way:38} {one.value:.2f} {one.accuracy:.4f}", flush=True)
    report(found)


def report(found: Mapping[str, Sequence[Found]]) -> None:
    """Print means with 95 % intervals, and the paired differences to the first way."""
    print(f"  {BUDGET:,} epochs for each search; means and 95 % intervals over the seeds")
    print("  way                                   trials  best value  accuracy on 10,000 others")
    first = [one.accuracy for one in next(iter(found.values()))]
    for way, searches in found.items():
        accuracies = [one.accuracy for one in searches]
        trials = statistics.median(one.trials for one in searches)
        value = statistics.mean(one.value for one in searches)
        print(f"  {way:36} {trials:7.0f}  {value:10.3f}  {interval(accuracies)}")
        more = [there - here for here, there in zip(first, accuracies, strict=True)]
        if any(more):
            print(f"{'more than the first':>57}  {interval(more)}")


def interval(values: Sequence[float]) -> str:
    mean = mean_of(values)
    if mean.low is None:
        return f"{mean.value:.4f}"
    return f"{mean.value:.4f} ({mean.low:.4f} to {mean.high:.4f})"


if __name__ == "__main__":
    main()
