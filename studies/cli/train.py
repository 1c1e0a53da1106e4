"""``retrial train``: train once with settings of your choice, recorded like a trial."""

import sys
import time
from argparse import SUPPRESS, ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from studies.analysis.formatting import shown, shown_seconds
from studies.cli.arguments import add_flag, add_threads
from studies.display import suggestions
from studies.display.messages import fail

if TYPE_CHECKING:
    from studies.definition.study_file import Study
    from studies.search.single_training import Chosen
    from tracking.records import TrialRecord

INTERRUPTED = "the same command continues it"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "study",
        help="name of a study in the store or a bundled one, a study file, or FILE.py[:NAME]",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="settings (default: for a searched one the best trial's value, or its own default; "
        "for the others the study's)",
    )
    add_threads(parser)
    add_flag(parser, "--no-record", SUPPRESS)


def run(options: Namespace) -> int:
    """Choose the settings, train, record, and print the result."""
    from joblib import cpu_count

    from studies.definition import study_file
    from studies.display.progress import EpochLines, Status
    from studies.interface import scripts
    from studies.search import session as sessions
    from studies.search import single_training
    from tracking.store.store import check_writable

    given = single_training.parse(options.set)
    defined = None
    if scripts.is_script(options.study):
        script = scripts.read(options.study)
        defined = study_file.built_with(script.tables, to_search=False)
        if not options.has_store:
            options.store = script.store
    check_writable(options.store)
    study, best, pinned = _study(options.store, options.study, defined)
    chosen = single_training.choose(study, best, given)
    trained = single_training.companion(study, chosen.settings)
    datasets = sessions.load_data(trained, options.data)
    session = sessions.Session.prepare(trained, datasets, pinned)
    with sessions.locked(options.store, trained.name, "trained") as ledger:
        number = single_training.admit(
            ledger, trained, study.name, chosen.settings, session.environment
        )
        _print_settings(trained, number, chosen)
        began = time.monotonic()
        sessions.run(
            session.plan(number + 1, threads=options.threads or cpu_count()),
            ledger,
            lambda: session.engine(1),
            EpochLines(trained.section.metric),
            Status(),
            environment=session.environment,
            store=None if options.no_record else options.store,
            figures=False,
        )
        trial = ledger.trial(trained.name, number)
        assert trial is not None
        return _report(trained, trial, time.monotonic() - began, options)


def _study(
    store: Path, text: str, defined: "Study | None"
) -> "tuple[Study, TrialRecord | None, dict[str, str]]":
    """Return a study, its best trial and its pinned kernel.

    It is the one that a script has `defined`, or by its name in the store, or of a file.
    """
    from studies.analysis.stored_study import StoredStudy
    from studies.definition import study_file
    from studies.search import single_training
    from studies.workers import cpu_pinning
    from tracking.ledger import Ledger
    from tracking.store import names

    path = store / names.LEDGER
    with ExitStack() as stack:
        # No ledger is created for a request that may be wrong.
        known = stack.enter_context(Ledger(path)) if path.is_file() else None
        if defined is None and known and (record := known.study(text)):
            single_training.check_trainable(record)
            stored = StoredStudy(known, record, to_train=True)
            return stored.study, stored.best, record.notes.pinned or {}
        study = defined or study_file.read(study_file.find(text), to_search=False)
        if known and (record := known.study(study.name)):
            stored = StoredStudy(known, record, to_train=True)
            return study, stored.best, record.notes.pinned or {}
        return study, None, cpu_pinning.choose() if study.section.portable else {}


def _print_settings(study: "Study", number: int, chosen: "Chosen") -> None:
    """Print the settings that were chosen for this training, and where each comes from."""
    print(f"{study.name}: training {number}")
    width = max(map(len, chosen.sources), default=0)
    for name, source in chosen.sources.items():
        print(f"  {name:{width}s}  {shown(getattr(chosen.settings, name))}  ({source})")


def _report(study: "Study", trial: "TrialRecord", took: float, options: Namespace) -> int:
    """Print the result and return the exit code."""
    if not trial.is_finished:
        print("stopped: the same command continues it")
        return 130
    outcome = trial.outcome
    if outcome.error is not None:
        print(outcome.error.traceback, file=sys.stderr, end="")
        return fail(f"the training failed: {outcome.error.summary}")
    number = str(trial.number)
    again = suggestions.reproduce(options.store, options.data, number, study.name)
    print(
        f"{study.name}: {study.section.metric} {shown(trial.value)} at epoch {outcome.epoch} "
        f"({outcome.reason}), in {shown_seconds(took)}\n"
        f"reproduce it: {again}"
    )
    return 0
