"""``retrial list``: list the studies of a store, the latest first."""

import json
from argparse import ArgumentParser, Namespace

from studies.cli.arguments import add_flag
from studies.display.overview import lines, overviews
from studies.display.tables import console, print_lines
from tracking.ledger import Ledger
from tracking.store import names
from tracking.store.errors import StoreUnavailable


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_flag(parser, "--json", "print everything as JSON")


def run(options: Namespace) -> int:
    """Print each study with its state, trials, best value, last activity and size."""
    path = options.store / names.LEDGER
    if not path.is_file():
        raise StoreUnavailable.without_studies(options.store)
    with Ledger(path) as ledger:
        studies = overviews(options.store, ledger)
    if options.json:
        print(json.dumps([study.to_json() for study in studies], indent=2))
    elif studies:
        screen = console()
        print_lines(screen, lines(studies, screen.width), headed=True)
    else:
        print(f"{options.store} has no studies")
    return 0
