"""``retrial show``: the trials of a study, best first, and what they say."""

import json
import math
from argparse import Namespace
from typing import Any

from rich.console import Console
from rich.table import Table

from studies.space import decoded
from studies.stored import StoredStudy, open_study
from studies.wording import shown, shown_seconds
from tracking.ledger import TrialRecord

MOST_ROWS = 10


def run(options: Namespace) -> int:
    """Print the best trials, what mattered, and why trials were pruned."""
    with open_study(options.store, options.study) as stored:
        if options.json:
            print(json.dumps(as_json(stored), indent=2))
        else:
            _print(stored)
    return 0


def as_json(stored: StoredStudy) -> dict[str, Any]:
    """Return the study as plain values; NaN and infinity become null."""
    best = stored.best
    return {
        "study": stored.study.name,
        "best": None if best is None else best.number,
        "trials": [
            {
                "number": trial.number,
                "state": trial.state,
                "value": _finite(trial.value),
                "params": {name: decoded(value) for name, value in trial.parameters.items()},
                "run_id": trial.recorded_run,
                "epochs": [
                    {"epoch": epoch.number, **{k: _finite(v) for k, v in epoch.metrics.items()}}
                    for epoch in stored.epochs(trial.number)
                ],
            }
            for trial in stored.trials
        ],
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _print(stored: StoredStudy) -> None:
    console = Console()
    section = stored.study.section
    states = [trial.state for trial in stored.trials]
    counts = ", ".join(
        f"{states.count(state)} {state}"
        for state in ("complete", "pruned", "failed", "running")
        if state in states
    )
    console.print(f"[bold]{section.name}[/]: {len(states)} of {section.trials} trials ({counts})")
    ranked = stored.ranked()
    if ranked:
        console.print(_best_table(stored, ranked[:MOST_ROWS]))
    importances = stored.importances()
    if importances:
        text = ", ".join(f"{name} {share:.0%}" for name, share in importances.items())
        console.print(f"importance: {text}")
    for line in stored.advice():
        console.print(f"look next: {line}")
    pruned = [trial for trial in stored.trials if trial.outcome.get("pruned")]
    for trial in pruned[:MOST_ROWS]:
        console.print(f"trial {trial.number} {why_pruned(trial, section.metric)}", highlight=False)
    if len(pruned) > MOST_ROWS:
        console.print(f"... and {len(pruned) - MOST_ROWS} more pruned")
    for trial in stored.trials:
        if trial.state == "failed":
            error = trial.outcome["error"]
            line = f"{error['type']}: {error['message']}".split("\n")[0]
            console.print(f"trial {trial.number} failed: {line}", highlight=False, markup=False)
    if ranked:
        console.print(f"again: retrial reproduce best --study {section.name}", highlight=False)


def why_pruned(trial: TrialRecord, metric: str) -> str:
    """Say at which epoch, by which rule, and from which value on the trial would have survived."""
    why = trial.outcome["pruned"]
    text = f"pruned after epoch {why['epoch']} by {why['rule']}: {metric} {shown(why['value'])}"
    if "survives_from" in why:
        text += f", with {shown(why['survives_from'])} it would have gone on"
    return text


def _best_table(stored: StoredStudy, trials: list[TrialRecord]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    columns = _columns(stored, trials)
    for name in ("trial", stored.study.section.metric, "epoch", "time", *columns):
        table.add_column(name, justify="right")
    for trial in trials:
        values = trial.parameters if stored.study.space.parameters else trial.settings
        seconds = (trial.finished or 0) - (trial.started or 0)
        table.add_row(
            str(trial.number),
            shown(trial.value),
            str(trial.outcome.get("epoch", "-")),
            shown_seconds(seconds),
            *(shown(decoded(values.get(name))) for name in columns),
        )
    return table


def _columns(stored: StoredStudy, trials: list[TrialRecord]) -> list[str]:
    """Return the settings that are searched, or of trainings those that differ."""
    if stored.study.space.parameters:
        return [parameter.name for parameter in stored.study.space.parameters]
    first = trials[0].settings
    return [name for name in first if any(t.settings[name] != first[name] for t in trials)]
