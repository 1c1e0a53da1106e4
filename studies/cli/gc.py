"""``retrial gc``: remove what crashed attempts left in the store."""

import contextlib
from argparse import Namespace
from pathlib import Path

from nets.errors import InputError
from studies.cli.prompts import agreed, shown_bytes
from tracking.ledger import lock
from tracking.ledger.access import Ledger
from tracking.maintenance import gc
from tracking.store import names
from tracking.store.errors import StudyLocked
from tracking.store.store import open_store


def run(options: Namespace) -> int:
    """Say what there is, ask, and remove it; studies that are being searched are left alone."""
    path = options.store / names.LEDGER
    if not path.is_file():
        raise InputError(f"store: {options.store} has no studies; accepted is a store (--store)")
    with contextlib.closing(Ledger(path)) as ledger, open_store(options.store) as store:
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
            # Somebody may have begun something while the question stood.
            busy = _hold(held, path, {study for waste in found for study in waste.studies})
            for waste in found:
                waste.remove(busy)
        print(f"removed: {shown_bytes(sum(waste.bytes for waste in found))}")
    return 0


def _hold(held: contextlib.ExitStack, path: Path, studies: set[str]) -> set[str]:
    """Hold the locks of studies; return the names of those that somebody else holds."""
    busy = set()
    for study in sorted(studies):
        try:
            held.enter_context(lock.hold(path, study, "cleaned up"))
        except StudyLocked as error:
            print(f"left alone: {error}")
            busy.add(study)
    return busy
