"""``retrial replay``: show what other rules for stopping poor trials would have saved, and lost."""

import json
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from rich.table import Table

from studies.analysis.formatting import plural, shown, shown_seconds
from studies.cli.arguments import add_flag, stored_name
from studies.display.tables import console
from tracking.records import JsonObject

if TYPE_CHECKING:
    from studies.analysis.pruner_replay import Replay
    from studies.analysis.stored_study import StoredStudy

MOST_NUMBERS = 12


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("study", help="name of a study in the store, study file, or FILE.py[:NAME]")
    parser.add_argument(
        "--pruner",
        action="append",
        required=True,
        metavar="NAME[:KEY=VALUE,...]",
        help="a rule that stops poor trials early, as in a study file, such as "
        "median:startup_trials=3; required, may be given several times",
    )
    add_flag(parser, "--json", "print the answers as JSON")


def run(options: Namespace) -> int:
    """Replay the study under each pruner and print the results side by side."""
    from studies.analysis.pruner_replay import replay
    from studies.analysis.stored_study import open_study

    name = stored_name(options, options.study)  # a script's study may have its own store
    with open_study(options.store, name) as stored:
        replays = [replay(stored, text) for text in options.pruner]
        if options.json:
            print(json.dumps([as_json(stored, one) for one in replays], indent=2))
        else:
            _print(stored, replays)
    return 0


def as_json(stored: "StoredStudy", one: "Replay") -> JsonObject:
    """Return the result as plain values."""
    return {
        "study": stored.study.name,
        "pruner": one.pruner,
        "trials": len(one.trials),
        "pruned": one.pruned,
        "recorded_epochs": one.recorded_epochs,
        "epochs": one.epochs,
        "most_epochs": one.most_epochs,
        "seconds_saved": one.seconds_saved,
        "most_seconds_more": one.most_seconds_more,
        "winner": None if one.winner is None else one.winner.record.number,
        "winner_pruned_at": None if one.winner is None else one.winner.pruned_at,
        "best": None if one.successor is None else one.successor.record.number,
        "too_short": [trial.record.number for trial in one.too_short],
        "pruned_at": {
            trial.record.number: trial.pruned_at
            for trial in one.trials
            if trial.pruned_at is not None
        },
    }


def _print(stored: "StoredStudy", replays: "list[Replay]") -> None:
    screen, first = console(), replays[0]
    recorded = sum(trial.record.state == "pruned" for trial in first.trials)
    screen.print(
        f"[bold]{stored.study.name}[/]: {plural(len(first.trials), 'trial')}, of which {recorded} "
        f"were pruned, {plural(first.recorded_epochs, 'epoch')}",
        highlight=False,
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("pruner", "pruned", "epochs", "fewer", "time saved", "winner"):
        left = name in ("pruner", "winner")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for one in replays:
        fewer = 1 - one.epochs / max(1, one.recorded_epochs)
        table.add_row(
            one.pruner, str(one.pruned), str(one.epochs), f"{fewer:.0%}",
            shown_seconds(one.seconds_saved), _winner(one, stored.study.section.metric),
        )  # fmt: skip
    screen.print(table, markup=False, highlight=False)
    for one in replays:
        if one.too_short:
            screen.print(_not_known(one), markup=False, highlight=False, soft_wrap=True)


def _winner(one: "Replay", metric: str) -> str:
    if one.winner is None:
        return "there was none"
    number, at = one.winner.record.number, one.winner.pruned_at
    if at is None:
        return f"kept: trial {number}"
    lost = f"LOST: trial {number} pruned after epoch {at}"
    if one.successor is None:
        return f"{lost}, none is left"
    best = one.successor.record
    return f"{lost}, trial {best.number} is left with {metric} {shown(best.value)}"


def _not_known(one: "Replay") -> str:
    """Return a line on the trials whose recorded curves are too short."""
    numbers = [str(trial.record.number) for trial in one.too_short]
    listed = ", ".join(numbers[:MOST_NUMBERS]) + (", ..." if len(numbers) > MOST_NUMBERS else "")
    more = one.most_epochs - one.epochs
    return (
        f"{one.pruner}: unknown for {plural(len(numbers), 'trial')}, whose curves the study's own "
        f"pruner ended before this one would have ({listed}): up to {plural(more, 'epoch')} and "
        f"about {shown_seconds(one.most_seconds_more)} more, and one of them might have won"
    )
