"""``retrial ui``: start the MLflow UI on the store."""

from argparse import ArgumentParser, Namespace

from studies.analysis.formatting import plural
from studies.cli.arguments import port
from studies.display.messages import fail
from tracking.store.server import serve, study_pages

MOST_STUDIES = 5


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--port", type=port, default=5000, help="0 for any free port")


def run(options: Namespace) -> int:
    """Serve until Ctrl-C."""
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
