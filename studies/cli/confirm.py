"""``retrial confirm``: the best trials again under fresh seeds, and one look at the test images."""

import contextlib
import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from studies.analysis.formatting import plural, shown_seconds
from studies.analysis.stored_study import CHAMPION, CONFIRMATION, RECORDED, StoredStudy, open_study
from studies.cli.confirmation_summary import ago, as_json, lines
from studies.cli.tables import console
from studies.confirmation import champion
from studies.confirmation.candidates import Repetitions
from studies.workers import cpu_pinning
from studies.workers.admission import FIRST_WORKER, check_data
from tracking.confirmation.text import number, table
from tracking.ledger import lock
from tracking.provenance import environment
from tracking.provenance.environment import Environment
from tracking.records.confirmation import Confirmation, Repetition, to_plain
from tracking.store import names
from tracking.store.store import Store, one_line, open_store

if TYPE_CHECKING:
    from nets.data import Dataset

ENVIRONMENT_NOTE = "confirmation.environment"
"""Key of the study's note: where its confirmation began."""

CHAMPION_NOTE = "confirmation.champion.environment"
"""Key of the study's note: where its champion was trained, which may be later, with other code."""


def run(options: Namespace) -> int:
    """Confirm a study, record and register what was found, and show it."""
    with open_study(options.store, options.study):
        pass  # says which studies there are, before a lock is made for one that is not
    with contextlib.ExitStack() as stack:
        stack.enter_context(lock.hold(options.store / names.LEDGER, options.study, "confirmed"))
        stored = stack.enter_context(open_study(options.store, options.study))
        confirmation = stored.confirmation
        store = problem = None
        if not options.no_record and not _is_done(confirmation, stored):
            store = stack.enter_context(_open_store(options))
            confirmation = _from_mlflow(store, stored) or confirmation
        if confirmation is not None and confirmation.test is not None:
            _say_known(confirmation, stored, options)
        else:
            try:
                confirmation = _confirm(stored, options)
            except champion.TrainingFailed as error:
                print(f"retrial: {error}", file=sys.stderr)
                return 1
        if store is not None and not _is_done(confirmation, stored):
            problem = _record(store, stored, confirmation, options)
        if options.json:
            print(json.dumps(as_json(confirmation, stored.recorded_confirmation), indent=2))
        else:
            _print(confirmation, stored.recorded_confirmation, options)
    if problem:
        print(f"retrial: not recorded: {problem}\nthe same command records it", file=sys.stderr)
    return 1 if problem or confirmation.winner is None else 0


def _is_done(confirmation: Confirmation | None, stored: StoredStudy) -> bool:
    """Tell whether the test images have been looked at, and MLflow has what they said."""
    is_final = confirmation is not None and confirmation.test is not None
    return is_final and stored.recorded_confirmation is not None


@contextlib.contextmanager
def _open_store(options: Namespace) -> Iterator[Store]:
    """Open MLflow, where the study must be already, before hours are spent."""
    from tracking.runs.reader import study_run

    with open_store(options.store) as store:
        study_run(store, options.study)
        yield store


def _from_mlflow(store: Store, stored: StoredStudy) -> Confirmation | None:
    """Return a final confirmation that MLflow has, from whichever ledger, and remember it here."""
    from tracking.confirmation.run import read

    found = read(store, stored.study.name)
    if found is None or found[0].test is None:
        return None
    confirmation, recorded = found
    name = stored.study.name
    stored.ledger.note(name, CONFIRMATION, to_plain(confirmation))
    stored.ledger.note(name, RECORDED, recorded)
    stored.ledger.attach(name, CHAMPION, None)
    return confirmation


def _confirm(stored: StoredStudy, options: Namespace) -> Confirmation:
    """Train and compare, then train the winner and ask the test images."""
    repetitions = Repetitions(stored, top=options.top, seeds=options.seeds)
    datasets = _load_data(stored, options.data)
    pinned = stored.record.notes.get(cpu_pinning.PINNED, {})
    os.environ.update(pinned)  # for the processes that train; here it is too late
    now = _note_environment(stored, datasets, pinned)
    _warn_of_open_trials(stored)
    missing = len(repetitions.missing)
    jobs = min(options.jobs or len(os.sched_getaffinity(0)), max(missing, 1))
    quiet = bool(options.json)
    if not quiet:
        print(
            f"{stored.study.name}: the top {plural(len(repetitions.trials), 'trial')} again under "
            f"{plural(options.seeds, 'fresh seed')} each, {plural(missing, 'training')} to go",
            flush=True,
        )
    folders = {name: str(data.path) for name, data in datasets.items()}
    metric = stored.study.section.metric
    repetitions.train(
        folders,
        jobs,
        lambda one: None if quiet else _say(one, metric, options),
    )
    compared = repetitions.compare()
    if not quiet and compared.winner is not None and datasets:
        print(f"trial {compared.winner} wins: training it on all images, then the test", flush=True)
    stored.ledger.note(stored.study.name, CHAMPION_NOTE, now)
    return champion.crown(stored, datasets, compared)


def _load_data(stored: StoredStudy, folder: Path | None) -> "dict[str, Dataset]":
    from nets import data

    folder = folder or data.default_folder()
    return {name: data.load(name, folder) for name in stored.study.data_names}


def _note_environment(
    stored: StoredStudy, datasets: "dict[str, Dataset]", pinned: dict[str, str]
) -> Environment:
    """Describe what trains; say what has changed since the study, or this confirmation, began."""
    digests = {name: data.sha256 for name, data in datasets.items()}
    check_data(stored.record, digests)
    now = cpu_pinning.capture(pinned, data=digests, modules=stored.study.own_modules)
    notes = stored.record.notes
    earlier = notes.get(ENVIRONMENT_NOTE)
    what = "the study" if earlier is None else "this confirmation"
    began = earlier or {**stored.record.environment, **notes.get(FIRST_WORKER, {})}
    for difference in environment.differences(began, now):
        print(f"retrial: since {what} began: {difference}", file=sys.stderr)
    if earlier is None:
        stored.ledger.note(stored.study.name, ENVIRONMENT_NOTE, now)
    return now


def _warn_of_open_trials(stored: StoredStudy) -> None:
    """Say so when the search is not over: the test images will not be looked at once more."""
    finished = sum(trial.state != "running" for trial in stored.trials)
    if finished < len(stored.trials):
        print(
            f"retrial: {len(stored.trials) - finished} trials of the search are still open; what "
            "wins now is tested, and the test images are looked at once",
            file=sys.stderr,
        )


def _record(
    store: Store, stored: StoredStudy, confirmation: Confirmation, options: Namespace
) -> str | None:
    """Bring MLflow up to date; returns what kept it from that, in one line, or None."""
    from tracking.confirmation.run import record

    name, winner = stored.study.name, confirmation.winner
    evidence, notes = stored.evidence, stored.notes
    try:
        data = None
        if evidence is not None and evidence.answers is not None:
            data = _load_data(stored, options.data)[evidence.settings["data"]]
        run_id, version = record(
            store,
            confirmation,
            notes.get(CHAMPION_NOTE) or notes[ENVIRONMENT_NOTE],
            winner_run=next((t.recorded_run for t in stored.trials if t.number == winner), None),
            evidence=evidence,
            data=data,
        )
    except Exception as error:  # whatever MLflow raises: the result stays in the ledger
        return one_line(error)
    stored.ledger.note(name, RECORDED, {"run_id": run_id, "version": version})
    stored.ledger.attach(name, CHAMPION, None)
    return None


# What a person reads


def _say(repetition: Repetition, metric: str, options: Namespace) -> None:
    """Print the line of a repetition that has finished."""
    value = repetition.value
    result = f"{metric} {number(value)}" if value is not None else repetition.error
    print(
        f"trial {repetition.trial:4d}  seed {repetition.number} of {options.seeds}  "
        f"{result}  {shown_seconds(repetition.seconds):>7s}",
        flush=True,
    )


def _say_known(known: Confirmation, stored: StoredStudy, options: Namespace) -> None:
    """Say that this is the record, and how it differs from what was asked for."""
    if options.json:
        return
    text = f"{known.study}: confirmed before with --top {known.top} --seeds {known.seeds}"
    if (options.top, options.seeds) != (known.top, known.seeds):
        text += f", not --top {options.top} --seeds {options.seeds}"
    print(f"{text}{ago(known, stored)}; test images are looked at once, this is the record")


def _print(confirmation: Confirmation, recorded: dict[str, Any] | None, options: Namespace) -> None:
    heading, *rows = table(confirmation)
    shown_table = Table(box=None, padding=(0, 2, 0, 0))
    for name in heading:
        shown_table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        is_winner = row[0] == str(confirmation.winner)
        shown_table.add_row(*row, style="bold" if is_winner else None)
    console().print(shown_table)
    for line in lines(confirmation, recorded, options.store):
        print(line)
