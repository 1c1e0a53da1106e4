"""``retrial delete``: remove a study and its record, after asking."""

from argparse import ArgumentParser, Namespace

from studies.analysis.formatting import plural, shown_bytes
from studies.cli.arguments import add_flag
from studies.cli.prompts import agreed

INTERRUPTED = "the same command removes the rest"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("study", help="name of a study in the store")
    add_flag(parser, "--yes", "remove without asking")


def run(options: Namespace) -> int:
    """List what the store has of the study, prompt, and remove it."""
    from studies.recording import deletion

    with deletion.found(options.store, options.study) as found:
        holdings = found.holdings
        print(f"{options.study} in {options.store}:")
        print(
            f"  ledger  {plural(found.rows['trial'], 'trial')}, "
            f"{plural(found.rows['epoch'], 'epoch')}, {shown_bytes(found.size)}"
        )
        print(
            f"  MLflow  {plural(len(holdings.runs), 'run')}, "
            f"{plural(len(holdings.models), 'model')}, "
            f"{plural(len(holdings.versions), 'registered version')}, "
            f"{plural(holdings.files, 'file')}, {shown_bytes(holdings.bytes)}"
        )
        print(f"  Optuna  {plural(found.optuna_trials or 0, 'trial')}")
        if holdings.foreign:
            some = ", ".join(holdings.foreign[:5]) + (", ..." if len(holdings.foreign) > 5 else "")
            print(f"  kept    the experiment, with what retrial did not create: {some}")
        if not agreed(options.yes):
            print("nothing was removed")
            return 0
        for_good = found.remove()
        print("removed")
        if not for_good:
            print("the server keeps the rows of deleted runs until `mlflow gc` runs there")
    return 0
