"""``retrial ui``: start the MLflow UI on the store."""

import webbrowser
from argparse import ArgumentParser, Namespace
from functools import partial

from studies.cli.arguments import add_flag, port
from studies.display.messages import fail, warn
from tracking.store import names
from tracking.store.database import is_read_only
from tracking.store.server import serve
from tracking.store.store import is_remote


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--port",
        type=port,
        default=5000,
        metavar="P",
        help="TCP port of the server; 0 for any free one (default: 5000)",
    )
    add_flag(parser, "--open", "open the page of the studies in the browser")


def run(options: Namespace) -> int:
    """Serve until Ctrl-C."""
    if is_read_only(options.store / names.MLFLOW_DATABASE) and not is_remote():
        warn(
            f"ui: cannot write {options.store}, so MLflow shows a copy of its database as it is "
            "now, and keeps no change that is made there"
        )
    try:
        serve(options.store, port=options.port, ready=partial(_announce, opens=options.open))
    except RuntimeError as error:
        return fail(str(error))
    return 0


def _announce(url: str, *, opens: bool) -> None:
    """Print the address of the page that links each study to its trials."""
    page = f"{url}/{names.STUDIES_PAGE}"
    print(f"studies and trials in MLflow: {page}  (Ctrl-C ends it)", flush=True)
    if opens and not webbrowser.open(page):
        warn("no browser was found to open it")
