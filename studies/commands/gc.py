"""``retrial gc``: remove what crashed attempts left in the store."""

import contextlib
from argparse import Namespace

from nets.errors import InputError
from studies import lock
from studies.commands.asking import agreed, shown_bytes
from tracking import housekeeping, names
from tracking.ledger import Ledger
from tracking.store import open_store


def run(options: Namespace) -> int:
    """Say what there is, ask, and remove it; studies that are being searched are left alone."""
    path = options.store / names.LEDGER
    if not path.is_file():
        raise InputError(f"store: {options.store} has no studies; accepted is a store (--store)")
    with contextlib.closing(Ledger(path)) as ledger:
        store = open_store(options.store)
        found = housekeeping.find(store, ledger, lock.held(ledger))
        if not found:
            print(f"{options.store} is clean")
            return 0
        for waste in found:
            print(f"{waste.count:5d}  {waste.what}, {shown_bytes(waste.bytes)}")
        if not agreed(options.yes):
            print("nothing was removed")
            return 0
        for waste in found:
            waste.remove()
        store.close()
        print(f"removed: {shown_bytes(sum(waste.bytes for waste in found))}")
    return 0
