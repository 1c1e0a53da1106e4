"""``retrial ui``: start the MLflow UI on the store."""

from argparse import ArgumentParser, Namespace

from studies.analysis.formatting import plural
from studies.cli.arguments import port
from studies.display.messages import fail, warn
from tracking.store import names
from tracking.store.database import is_read_only
from tracking.store.server import serve, study_pages
from tracking.store.store import is_remote

MOST_STUDIES = 5


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--port", type=port, default=5000, help="0 for any free port (default: 5000)"
    )


def run(options: Namespace) -> int:
    """Serve until Ctrl-C."""
    if is_read_only(options.store / names.MLFLOW_DATABASE) and not is_remote():
        warn(
            f"ui: cannot write {options.store}, so MLflow shows a copy of its database as it is "
            "now, and keeps no change that is made there"
        )
    try:
        serve(options.store, port=options.port, ready=_announce)
    except RuntimeError as error:
        return fail(str(error))
    return 0


def _announce(url: str) -> None:
    """Print the address of the pages, and of the trial tables of the newest studies."""
    print(f"MLflow is at {url}", flush=True)
    pages = list(study_pages(url).items())
    for study, address in pages[:MOST_STUDIES]:
        print(f"  trials of {study}: {address}", flush=True)
    if len(pages) > MOST_STUDIES:
        print(f"  and {plural(len(pages) - MOST_STUDIES, 'older one')}", flush=True)
