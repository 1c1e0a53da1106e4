"""``retrial gc``: remove what crashed attempts left, after asking."""

import contextlib
from argparse import ArgumentParser, Namespace
from pathlib import Path

from studies.analysis.formatting import shown_bytes
from studies.cli.arguments import add_flag
from studies.cli.prompts import agreed
from tracking.ledger import Ledger, damage, lock
from tracking.maintenance import gc
from tracking.store import names
from tracking.store.errors import StoreUnavailable, StudyLocked
from tracking.store.store import open_store

INTERRUPTED = "the same command removes the rest"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_flag(parser, "--yes", "remove without asking")


def run(options: Namespace) -> int:
    """List what there is, prompt, and remove it; studies being searched are left alone."""
    path = options.store / names.LEDGER
    if not path.is_file():
        raise StoreUnavailable.without_studies(options.store)
    with Ledger(path) as ledger, open_store(options.store) as store:
        damage.check(ledger)
        found = gc.find(store, ledger, lock.held(ledger))
        if not found:
            print(f"{options.store} is clean")
            return 0
        for waste in found:
            print(f"{waste.count:5d}  {waste.what}, {shown_bytes(waste.bytes)}")
        if not agreed(options.yes):
            print("nothing was removed")
            return 0
        with contextlib.ExitStack() as held:
            # Another process may have started something during the prompt.
            busy = _hold(held, path, {study for waste in found for study in waste.studies})
            for waste in found:
                waste.remove(busy)
        print(f"removed: {shown_bytes(sum(waste.bytes for waste in found))}")
    return 0


def _hold(held: contextlib.ExitStack, path: Path, studies: set[str]) -> set[str]:
    """Hold the locks of studies; return the names of those that another process holds."""
    busy = set()
    for study in sorted(studies):
        try:
            held.enter_context(lock.hold(path, study, "cleaned up"))
        except StudyLocked as error:
            print(f"left alone: {error}")
            busy.add(study)
    return busy
