"""``retrial ui``: the MLflow UI on the store."""

import sys
from argparse import Namespace

from tracking.server import serve, study_pages


def run(options: Namespace) -> int:
    """Serve until Ctrl-C."""
    try:
        serve(options.store, port=options.port, ready=_announce)
    except RuntimeError as error:
        print(f"retrial: {error}", file=sys.stderr)
        return 1
    return 0


def _announce(url: str) -> None:
    """Print where the pages are, and the table of trials of each study."""
    print(f"MLflow is at {url}", flush=True)
    for study, address in study_pages(url).items():
        print(f"  trials of {study}: {address}", flush=True)
