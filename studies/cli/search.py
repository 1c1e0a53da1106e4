"""``retrial search``: run a study, or continue it.

A study continues from where the ledger stands, with the same trials as without an interruption.
"""

from argparse import SUPPRESS, ArgumentParser, Namespace
from typing import TYPE_CHECKING

from studies.cli.arguments import add_flag, add_threads, command, natural, positive, seconds
from studies.display.messages import fail, warn

if TYPE_CHECKING:
    from studies.definition.study_file import Study

INTERRUPTED = "the same command continues it"


STUDY = "name of a bundled study, path of a study file, or FILE.py[:NAME] for a study in Python"


def add_arguments(parser: ArgumentParser, study: str = STUDY) -> None:
    """Add the arguments of the command; `study` is the help of the one that is to be searched."""
    parser.add_argument("study", help=study)
    parser.add_argument(
        "--trials",
        type=positive,
        metavar="N",
        help="number of trials in total, with those of earlier searches (default: the study's)",
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="trials that train at the same time, each in a process of its own (default: one per "
        "usable core, at most half of the study's window, which is how many trials may be "
        "unfinished at once)",
    )
    add_threads(parser, "1")
    parser.add_argument(
        "--seed",
        type=natural,
        metavar="S",
        help="seed of the study; one that is not the study's own makes it the study NAME-seedS "
        "(default: the study's)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="start no trials after SECONDS; running ones stop at the end of their epoch, and the "
        "same command continues them (default: no limit)",
    )
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="train on the workers of a Dask cluster, tcp://HOST:PORT (default: on this machine)",
    )
    parser.add_argument(
        "--on-finish",
        type=command,
        metavar="COMMAND",
        help="run a shell command when the search has ended, also after a failure, --timeout or "
        "Ctrl-C, with the result as JSON on its standard input: that of `retrial show --json`, "
        "and end, exit_code and problem (default: none)",
    )
    add_flag(
        parser,
        "--portable",
        "compute only as all common CPUs of this kind can, so that results are equal to the last "
        "bit on different machines (default: the fastest way of this CPU)",
    )
    add_flag(parser, "--retry-failed", "train failed trials again, with their settings and seeds")
    add_flag(
        parser,
        "--mixed",
        "with --cluster: also use workers whose libraries or CPU may give other last bits, and "
        "record the differences (default: such workers are refused)",
    )
    add_flag(parser, "--no-record", SUPPRESS)


def run(options: Namespace, extends: str | None = None) -> int:
    """Search, record, and print the result; a new study may extend another one."""
    from nets.errors import InputError
    from studies.cli.on_finish import announced
    from studies.display.search_result import COMMAND, Shown
    from studies.search.procedure import search

    study = _study(options)
    if options.mixed and options.cluster is None:
        raise InputError("--mixed", problem="got no --cluster", expected="a search on a cluster")
    shown = Shown(options.store, options.data, COMMAND)
    with announced(options.on_finish, options.store, study.name) as ending:
        found = search(
            study,
            options.store,
            jobs=options.jobs,
            timeout=options.timeout,
            cluster=options.cluster,
            mixed=options.mixed,
            extends=extends,
            threads=options.threads or 1,
            data=options.data,
            record=not options.no_record,
            retry_failed=options.retry_failed,
            display=shown.screen,
            status=shown.status,
            warn=warn,
        )
        ending.end, ending.problem = found.end, shown.result(found)
        if ending.problem is not None:
            fail(ending.problem)
        else:
            ending.exit_code = 130 if found.end == "stopped" else 0
    return ending.exit_code


def _study(options: Namespace) -> "Study":
    """Return the study of a file, or of a name that only the store knows, as after `unpack`."""
    from nets.errors import InputError
    from studies.analysis.stored_study import stored_definition
    from studies.definition import study_file
    from studies.interface import scripts

    if scripts.is_script(options.study):
        defined = scripts.read(options.study)
        if not options.has_store:
            options.store = defined.store
        return study_file.built_with(
            defined.tables, trials=options.trials, seed=options.seed, portable=options.portable
        )
    try:
        path = study_file.find(options.study)
    except InputError:
        definition = stored_definition(options.store, options.study)
        if definition is None:
            raise
    else:
        return study_file.read(
            path, trials=options.trials, seed=options.seed, portable=options.portable
        )
    section = definition["study"]
    if options.seed not in (None, section["seed"]) or options.portable > section["portable"]:
        raise InputError(
            "study",
            problem=f"{options.study} is known from the store alone",
            expected="its file, with --seed or --portable",
        )
    section = {**section, "trials": options.trials or section["trials"]}
    return study_file.stored({**definition, "study": section})
