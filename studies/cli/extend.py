"""``retrial extend``: begin a study, with wider ranges for example, with the trials of another.

A wider range, another choice, one more parameter or more epochs make another study. This one starts
with the trials of the earlier one, which stays as it is. Later, `retrial search` continues it too.
"""

from argparse import ArgumentParser, Namespace

from studies.cli import search
from studies.cli.arguments import stored_name

INTERRUPTED = search.INTERRUPTED


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "earlier",
        help="name of a study in the store, study file, or FILE.py[:NAME]: where it starts from",
    )
    search.add_arguments(parser, "study file of the new study, or FILE.py[:NAME]")


def run(options: Namespace) -> int:
    """Search the new study, record it, and print the result."""
    return search.run(options, extends=stored_name(options, options.earlier))
