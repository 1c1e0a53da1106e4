"""``retrial unpack``: the study of a pack, in this store."""

import contextlib
import sys
from argparse import Namespace
from pathlib import Path

from nets.errors import InputError
from studies.analysis.formatting import plural
from studies.cli import suggestions
from studies.definition import study_file
from studies.recording import optuna_storage
from tracking.ledger import lock
from tracking.ledger.access import Ledger
from tracking.maintenance.pack.archive import read_manifest
from tracking.maintenance.pack.packing import unpack
from tracking.store import names
from tracking.store.store import check_writable, open_store


def run(options: Namespace) -> int:
    """Import everything, or nothing."""
    name = read_manifest(options.file).study
    check_writable(options.store)
    path = options.store / names.LEDGER
    with lock.hold(path, name, "unpacked"), contextlib.closing(Ledger(path)) as ledger:
        _check_optuna(ledger, name, options.store)
        try:
            with open_store(options.store) as store:
                manifest = unpack(store, ledger, options.file)
        except RuntimeError as error:
            print(f"retrial: {error}", file=sys.stderr)
            return 1
        counts = ", ".join(plural(count, noun[:-1]) for noun, count in manifest.counts.items())
        print(f"{name}: {counts}, packed {manifest.made}, now in {options.store}")
        if problem := _feed(ledger, name, options.store):
            print(f"retrial: not in Optuna's storage yet: {problem}", file=sys.stderr)
    print(f"again: {suggestions.reproduce(options, 'best', name)}")
    return 0


def _check_optuna(ledger: Ledger, name: str, store: Path) -> None:
    """Raise InputError when trials would be appended to those of a study that is gone."""
    known = ledger.study(name) is not None  # which is refused for that
    if not known and optuna_storage.trials_in(names.optuna_uri(store), name) is not None:
        raise InputError(
            f"unpack: Optuna's storage has a study {name} already; accepted is another store, or "
            f"`{suggestions.command(store, 'delete', name)}` first"
        )


def _feed(ledger: Ledger, name: str, store: Path) -> str | None:
    """Bring Optuna's storage up to date; what cannot be done now, the next search does."""
    record = ledger.study(name)
    assert record is not None
    try:
        study = study_file.stored(record.definition)
    except InputError as error:  # an objective of the user's that is not installed here
        return str(error)
    feed = optuna_storage.OptunaFeed(
        ledger.path, study, study.section.storage or names.optuna_uri(store)
    )
    feed.start()
    feed.finish()
    return feed.problem
