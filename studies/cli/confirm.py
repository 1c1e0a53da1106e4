"""``retrial confirm``: re-run the best trials under fresh seeds, then test the winner once."""

import json
from argparse import SUPPRESS, ArgumentParser, Namespace

from studies.cli.arguments import add_flag, positive
from studies.display.messages import fail, warn

INTERRUPTED = "the same command continues it, with the trainings that have finished"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("study", help="name of a study in the store")
    parser.add_argument(
        "--top", type=positive, default=3, metavar="K", help="best trials to re-run (default: 3)"
    )
    parser.add_argument(
        "--seeds", type=positive, default=5, metavar="R", help="seeds for each (default: 5)"
    )
    parser.add_argument(
        "--champions", type=positive, default=1, metavar="N",
        help="trainings of the winner on all images, each tested once (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="trainings at the same time, each in a process of its own (default: one per core)",
    )
    add_flag(parser, "--json", "print the result as JSON")
    add_flag(parser, "--no-record", SUPPRESS)


def run(options: Namespace) -> int:
    """Confirm a study, record and register the winner, and print the result."""
    from studies.confirmation.champion import TrainingFailed
    from studies.confirmation.procedure import confirm
    from studies.confirmation.testing import TestFailed
    from studies.display.confirmation_summary import as_json, print_result

    try:
        found = confirm(
            options.store,
            options.study,
            top=options.top,
            seeds=options.seeds,
            champions=options.champions,
            jobs=options.jobs,
            data=options.data,
            record=not options.no_record,
            say=lambda line: None if options.json else print(line, flush=True),
            warn=warn,
        )
    except (TrainingFailed, TestFailed) as error:
        return fail(str(error))
    if options.json:
        print(json.dumps(as_json(found.confirmation, found.recorded), indent=2))
    else:
        print_result(found, options.store, options.top, options.seeds, options.champions)
    if found.problem:
        return fail(f"not recorded: {found.problem}\nthe same command records it")
    return 1 if found.confirmation.winner is None else 0
