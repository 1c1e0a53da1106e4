"""``retrial unpack``: import a packed study."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from nets.errors import InputError
from studies.analysis.formatting import plural
from studies.display import suggestions
from studies.display.messages import fail, warn
from tracking.ledger import Ledger, lock
from tracking.maintenance.pack.archive import read_manifest
from tracking.maintenance.pack.packing import unpack
from tracking.records import RecordDamaged
from tracking.store import names
from tracking.store.store import check_writable, open_store

INTERRUPTED = "nothing was imported"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a file that `pack` wrote")


def run(options: Namespace) -> int:
    """Import everything, or nothing."""
    name = read_manifest(options.file).study
    check_writable(options.store)
    path = options.store / names.LEDGER
    with lock.hold(path, name, "unpacked"), Ledger(path) as ledger:
        _check_optuna(ledger, name, options.store)
        try:
            with open_store(options.store) as store:
                manifest = unpack(store, ledger, options.file, _check_study)
        except RuntimeError as error:
            return fail(str(error))
        counts = ", ".join(plural(count, noun[:-1]) for noun, count in manifest.counts.items())
        print(f"{name}: {counts}, packed {manifest.made}, now in {options.store}")
        if problem := _feed(ledger, name, options.store):
            warn(f"not in Optuna's storage yet: {problem}")
    print(f"reproduce it: {suggestions.reproduce(options.store, options.data, 'best', name)}")
    return 0


def _check_study(packed: Ledger, name: str) -> None:
    """Raise RecordDamaged unless the study in the ledger of a pack can be read and continued."""
    from studies.analysis import stored_study
    from studies.search.warm_start import earlier_trials

    study = stored_study.check(packed, name)
    try:
        earlier_trials(study, packed)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise RecordDamaged("notes", problem="the trials of the warm start are damaged") from error


def _check_optuna(ledger: Ledger, name: str, store: Path) -> None:
    """Raise InputError when trials would be appended to those of a removed study."""
    from studies.recording import optuna_storage

    known = ledger.study(name) is not None  # `unpack` rejects it for that
    if not known and optuna_storage.trials_in(names.optuna_uri(store), name) is not None:
        raise InputError(
            "unpack",
            problem=f"Optuna's storage already has a study {name}",
            expected=f"another store, or `{suggestions.command(store, 'delete', name)}` first",
        )


def _feed(ledger: Ledger, name: str, store: Path) -> str | None:
    """Bring Optuna's storage up to date; return what prevents it, which the next search retries."""
    from studies.analysis.stored_study import StoredStudy
    from studies.recording import optuna_storage

    record = ledger.study(name)
    assert record is not None
    study = StoredStudy(ledger, record).study
    feed = optuna_storage.OptunaFeed(ledger.path, study, names.optuna_uri(store))
    feed.start()
    feed.finish()
    return feed.problem
