"""``retrial ui``: the MLflow UI on the store."""

from argparse import Namespace

from tracking.server import serve


def run(options: Namespace) -> int:
    """Serve until Ctrl-C."""
    serve(options.store, port=options.port)
    return 0
