"""A confirmation as `confirm` and `show` print it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from studies.analysis.formatting import plural
from studies.display import suggestions
from studies.display.tables import console, folded
from tracking.confirmation.text import sentences, table
from tracking.records import JsonObject
from tracking.records.confirmation import Confirmation, RecordedConfirmation
from tracking.store import names

if TYPE_CHECKING:
    from studies.confirmation.procedure import Confirmed


def as_json(confirmation: Confirmation, recorded: RecordedConfirmation | None) -> JsonObject:
    """Return a confirmation as plain values, with its run and its model where MLflow has them."""
    version = recorded and recorded.version
    return {
        **confirmation.to_json(),
        "run_id": recorded and recorded.run_id,
        "model": version and {"name": confirmation.study, "version": version},
    }


def print_result(found: "Confirmed", store: Path, top: int, seeds: int, champions: int) -> None:
    """Print what a confirmation found; `top`, `seeds` and `champions` are what was asked for."""
    known, screen = found.confirmation, console()
    if found.earlier:
        before, now = options_of(known), _options(top, seeds, champions)
        text = f"{known.study}: confirmed before with {before}"
        if now != before:
            text += f", not {now}"
        text += f"{ago(found.trials_since)}; the test images are used once, so this result stays"
        print(*folded(text, screen.width), sep="\n")
    heading, *rows = table(known)
    shown_table = Table(box=None, padding=(0, 2, 0, 0))
    for name in heading:
        shown_table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        is_winner = row[0] == str(known.winner)
        shown_table.add_row(*row, style="bold" if is_winner else None)
    screen.print(shown_table)
    for line in lines(known, found.recorded, store, screen.width):
        print(line)


def options_of(confirmation: Confirmation) -> str:
    """Return the options of the command that a confirmation was made with."""
    return _options(confirmation.top, confirmation.seeds, 1 + len(confirmation.others))


def _options(top: int, seeds: int, champions: int) -> str:
    text = f"--top {top} --seeds {seeds}"
    return text + (f" --champions {champions}" if champions > 1 else "")


def lines(
    confirmation: Confirmation, recorded: RecordedConfirmation | None, store: Path, width: int
) -> Iterator[str]:
    """Yield the result in sentences, and where its model is."""
    for sentence in sentences(confirmation):
        yield from folded(sentence, width)
    if recorded is not None and recorded.version:
        name, version = confirmation.study, recorded.version
        yield f"model: {name}/{version}, {name}@{names.CHAMPION}"
        yield f"use it: {_use_of(confirmation, store)}"


def _use_of(confirmation: Confirmation, store: Path) -> str:
    """Return what loads the champion: a command for a network, Python for a library's model."""
    name = confirmation.study
    if confirmation.champion is not None and confirmation.champion.weights is None:
        which = json.dumps(f"{name}@{names.CHAMPION}")
        there = "" if store == suggestions.default_store() else f", store={str(store)!r}"
        return f"studies.load_model({which}{there})"
    return suggestions.command(store, "predict", name, "FILE...")


def ago(trials: int) -> str:
    """Return how many trials have finished since, as the end of a sentence; empty for none."""
    return f", {plural(trials, 'trial')} ago" if trials > 0 else ""
