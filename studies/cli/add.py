"""``retrial add``: add a trial with values of your choice to a study, also while it is searched."""

from argparse import ArgumentParser, Namespace

from studies.display import suggestions


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("study", help="name of a study in the store")
    parser.add_argument(
        "values",
        nargs="+",
        metavar="NAME=VALUE",
        help="value of a searched setting; the sampler chooses those of the others",
    )


def run(options: Namespace) -> int:
    """Queue the trial, and print who trains it."""
    from studies.search.adding import add
    from studies.search.single_training import parse

    added = add(options.store, options.study, parse(options.values, "add"))
    what = f"{options.study}: queued"
    if added.place > 1:
        what += f" as number {added.place}"
    search = ["search", options.study]
    if added.needed > added.total:
        more = suggestions.command(options.store, *search, "--trials", str(added.needed))
        print(f"{what}; a study of {added.total} trials has no room for it: `{more}` trains it")
    elif added.is_searched:
        print(f"{what}; the running search trains it next")
    else:
        print(f"{what}; `{suggestions.command(options.store, *search)}` trains it next")
    return 0
