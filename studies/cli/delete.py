"""``retrial delete``: a study and everything that was recorded of it."""

import contextlib
from argparse import Namespace

from nets.errors import InputError
from studies.analysis.formatting import plural
from studies.cli.prompts import agreed, shown_bytes
from studies.recording import optuna_storage
from tracking.ledger import lock
from tracking.ledger.access import Ledger
from tracking.ledger.copy import size_of
from tracking.maintenance import deletion
from tracking.store import names
from tracking.store.store import Store, open_store


def run(options: Namespace) -> int:
    """Say what there is of the study, ask, and remove it.

    The ledger comes last, so that an interrupted removal can be repeated.
    """
    name, path = options.study, options.store / names.LEDGER
    if not path.is_file():
        raise InputError(f"store: {options.store} has no studies; accepted is a store (--store)")
    with (
        lock.hold(path, name, "deleted"),
        contextlib.closing(Ledger(path)) as ledger,
        open_store(options.store) as store,
    ):
        holdings = deletion.survey(store, name)
        url = _optuna_url(store, ledger, name)
        trials = optuna_storage.trials_in(url, name)
        stored = ledger.study(name)
        has_record = bool(holdings.runs) or (holdings.experiment_id and not holdings.foreign)
        if stored is None and not has_record and trials is None:
            accepted = ", ".join(ledger.study_names()) or "none yet"
            raise InputError(
                f"study: got {name!r}, accepted are the studies of {options.store}: {accepted}"
            )
        rows, size = size_of(ledger, name)
        print(f"{name} in {options.store}:")
        print(
            f"  ledger  {plural(rows['trial'], 'trial')}, {plural(rows['epoch'], 'epoch')}, "
            f"{shown_bytes(size)}"
        )
        print(
            f"  MLflow  {plural(len(holdings.runs), 'run')}, "
            f"{plural(len(holdings.models), 'model')}, "
            f"{plural(len(holdings.versions), 'registered version')}, "
            f"{plural(holdings.files, 'file')}, {shown_bytes(holdings.bytes)}"
        )
        print(f"  Optuna  {plural(trials or 0, 'trial')}")
        if holdings.foreign:
            some = ", ".join(holdings.foreign[:5]) + (", ..." if len(holdings.foreign) > 5 else "")
            print(f"  kept    the experiment, with what retrial did not make: {some}")
        if not agreed(options.yes):
            print("nothing was removed")
            return 0
        for_good = deletion.remove(store, holdings)
        optuna_storage.remove(url, name)
        ledger.remove_study(name)
        print("removed")
        if not for_good:
            print("the server keeps rows of deleted runs until `mlflow gc` runs there")
    return 0


def _optuna_url(store: Store, ledger: Ledger, name: str) -> str:
    """Return the URL of the storage that the study's trials were appended to."""
    stored = ledger.study(name)
    section = {} if stored is None else stored.definition.get("study", {})
    return str(section.get("storage") or names.optuna_uri(store.root))
