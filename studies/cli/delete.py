"""``retrial delete``: remove a study and its record, after asking."""

from argparse import ArgumentParser, Namespace

from studies.analysis.formatting import plural, shown_bytes
from studies.cli.arguments import add_flag
from studies.cli.prompts import agreed
from tracking.ledger import Ledger, lock
from tracking.ledger.copy import size_of
from tracking.maintenance import deletion
from tracking.store import names
from tracking.store.errors import StoreUnavailable, StudyNotFound
from tracking.store.store import open_store

INTERRUPTED = "the same command removes the rest"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("study", help="name of a study in the store")
    add_flag(parser, "--yes", "do not ask")


def run(options: Namespace) -> int:
    """List what the store has of the study, prompt, and remove it.

    The ledger comes last, so that an interrupted removal can be repeated.
    """
    from studies.recording import optuna_storage

    name, path = options.study, options.store / names.LEDGER
    if not path.is_file():
        raise StoreUnavailable.without_studies(options.store)
    with (
        lock.hold(path, name, "deleted"),
        Ledger(path) as ledger,
        open_store(options.store) as store,
    ):
        holdings = deletion.survey(store, name)
        stored = ledger.study(name)
        section = {} if stored is None else stored.definition.get("study", {})
        url = str(section.get("storage") or names.optuna_uri(store.root))
        trials = optuna_storage.trials_in(url, name)
        has_record = bool(holdings.runs) or (holdings.experiment_id and not holdings.foreign)
        if stored is None and not has_record and trials is None:
            raise StudyNotFound.among(name, ledger.study_names(), options.store)
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
            print(f"  kept    the experiment, with what retrial did not create: {some}")
        if not agreed(options.yes):
            print("nothing was removed")
            return 0
        for_good = deletion.remove(store, holdings)
        optuna_storage.remove(url, name)
        ledger.remove_study(name)
        print("removed")
        if not for_good:
            print("the server keeps the rows of deleted runs until `mlflow gc` runs there")
    return 0
