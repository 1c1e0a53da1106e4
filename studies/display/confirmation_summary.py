"""A confirmation as `confirm` and `show` print it."""

import json
from collections.abc import Iterator
from pathlib import Path

from studies.analysis.formatting import plural
from studies.display import suggestions
from studies.display.tables import folded
from tracking.confirmation.text import sentences
from tracking.records import JsonObject
from tracking.records.confirmation import Confirmation, RecordedConfirmation
from tracking.store import names


def as_json(confirmation: Confirmation, recorded: RecordedConfirmation | None) -> JsonObject:
    """Return a confirmation as plain values, with its run and its model where MLflow has them."""
    version = recorded and recorded.version
    return {
        **confirmation.to_json(),
        "run_id": recorded and recorded.run_id,
        "model": version and {"name": confirmation.study, "version": version},
    }


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
