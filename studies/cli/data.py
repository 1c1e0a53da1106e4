"""``retrial data``: list or fetch datasets."""

from argparse import ArgumentParser, Namespace

from nets.errors import InputError
from studies.cli.arguments import add_places

INTERRUPTED = "the same command starts it again"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_places(actions.add_parser("list", help="list the datasets that are here"))
    fetch = actions.add_parser("fetch", help="download a dataset")
    add_places(fetch)
    fetch.add_argument("name", help="mnist")


def run(options: Namespace) -> int:
    """List the datasets, or fetch one."""
    from nets import data

    folder = options.data or data.default_folder()
    if options.action == "fetch":
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
