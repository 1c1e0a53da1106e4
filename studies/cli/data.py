"""``retrial data``: list or fetch datasets."""

from argparse import ArgumentParser, Namespace

from nets import data
from nets.errors import InputError

INTERRUPTED = "the same command starts it again"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("action", choices=("list", "fetch"), help="list the datasets, or fetch one")
    parser.add_argument("name", nargs="?", help="the dataset to fetch: mnist")


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
            print(
                f"{name}: {description}\n  {len(dataset.images)} training and "
                f"{len(dataset.test_images)} test images of "
                f"{'x'.join(map(str, dataset.image_shape))}, {dataset.classes} classes, "
                f"SHA-256 {dataset.sha256[:16]}"
            )
    return 0
