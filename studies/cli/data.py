"""``retrial data``: list or fetch datasets."""

from argparse import ArgumentParser, Namespace

import numpy as np

from nets import data
from nets.arrays import Shape
from nets.errors import InputError
from nets.settings import Settings
from tracking.store.plain_values import visible

LARGEST_SHARE = 0.9
"""Share of one class above which accuracy says little."""
MOST_CLASSES = 20
"""Classes whose counts are shown."""
NOUN = {False: "image", True: "row"}

INTERRUPTED = "the same command starts it again"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("action", choices=("list", "fetch"), help="list the datasets, or fetch one")
    parser.add_argument("name", nargs="?", help="the dataset to fetch: mnist (list takes none)")


def run(options: Namespace) -> int:
    """List the datasets, or fetch one."""
    folder = options.data or data.default_folder()
    if options.action == "fetch":
        if options.name is None:
            raise InputError("data fetch", problem="no dataset named", expected="mnist")
        data.fetch(options.name, folder)
        print(f"{options.name} is in {folder}")
        return 0
    own = {name: f"your own, {path}" for name, path in data.own_files(folder).items()}
    for name, description in (data.DATASETS | own).items():
        try:
            dataset = data.load(name, folder)
        except InputError as error:
            print(f"{name}: {description}\n  not here: {error}")
        else:
            print(f"{name}: {description}")
            for line in description_of(dataset):
                print(f"  {line}")
    return 0


def description_of(dataset: data.Dataset) -> list[str]:
    """Return lines on a dataset: sizes, images of each class, and what may be wrong with it."""
    shape = "x".join(map(str, dataset.image_shape))
    what = f"rows of {shape} features" if dataset.is_table else f"images of {shape}"
    names = [visible(name) for name in dataset.label_names]
    names = names or [str(number) for number in range(dataset.classes)]
    noun, of = NOUN[dataset.is_table], f"{dataset.classes} classes"
    training, test = (
        np.bincount(labels, minlength=dataset.classes)
        for labels in (dataset.labels, dataset.test_labels)
    )
    parts = {f"training {noun}": training, f"test {noun}": test}
    if (validation := Settings().validation) < len(dataset.labels):
        rows = dataset.split(validation, 0)[1]
        held_out = np.bincount(dataset.labels[rows], minlength=dataset.classes)
        # A class without a training image has been named.
        parts[f"validation {noun} (of {validation}, the default)"] = held_out + (training == 0)
    shown = [f"{n} {a}+{b}" for n, a, b in zip(names, training, test, strict=True)]
    if len(shown) > MOST_CLASSES:
        shown = [*shown[:MOST_CLASSES], f"and {len(shown) - MOST_CLASSES} more"]
    lines = [
        f"{len(dataset.images)} training and {len(dataset.test_images)} test {what}, {of}, "
        f"SHA-256 {dataset.sha256[:16]}",
        f"by class, training+test: {', '.join(shown)}",
    ]
    if note := data.TEST_NOTES.get(dataset.name):
        lines.append(f"note: {note}")
    for part, counts in parts.items():
        if empty := [name for name, count in zip(names, counts, strict=True) if not count]:
            lines.append(f"warning: no {part} of class {', '.join(empty)}")
    fraction = training / len(dataset.images)
    if fraction.max() > LARGEST_SHARE:
        largest = names[int(fraction.argmax())]
        lines.append(f"warning: {fraction.max():.0%} of training is of class {largest}")
    if not dataset.is_table and looks_channels_first(dataset.image_shape):
        lines.append(
            f"warning: images of {shape} look channels-first, expected (height, width, channels)"
        )
    return lines


def looks_channels_first(shape: Shape) -> bool:
    """Whether the first axis of an image looks like its channels.

    >>> looks_channels_first((3, 32, 32)), looks_channels_first((32, 32, 3))
    (True, False)
    """
    first, second, last = shape
    return first in (1, 3, 4) and last not in (1, 3, 4) and second == last
