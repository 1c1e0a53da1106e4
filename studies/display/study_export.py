"""A study for other programs: everything as JSON, and its trials as CSV."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studies.analysis.stored_study import StoredStudy
from studies.definition.choices import decoded
from studies.display import confirmation_summary
from tracking.provenance.source_code import key
from tracking.records import JsonObject, TrialRecord, to_json


@dataclass(frozen=True)
class CodeOfTrials:
    """Trials trained with the same code: `differing` are the digests that others lack, by module.

    A digest is None where this code does not have the module.
    """

    differing: dict[str, str | None]
    trials: list[int]


def differing_code(trials: Sequence[TrialRecord]) -> list[CodeOfTrials]:
    """Return the trials of each code with which they were trained; none if that is one code."""
    kinds: dict[str, tuple[dict[str, str], list[int]]] = {}
    for trial in trials:
        if digests := _code(trial):
            kinds.setdefault(key(digests), (digests, []))[1].append(trial.number)
    if len(kinds) < 2:
        return []
    codes = [digests for digests, _ in kinds.values()]
    changed = sorted(
        name for name in set().union(*codes) if len({code.get(name) for code in codes}) > 1
    )
    return [
        CodeOfTrials({name: digests.get(name) for name in changed}, numbers)
        for digests, numbers in kinds.values()
    ]


def as_json(stored: StoredStudy) -> JsonObject:
    """Return the study as plain values; NaN and infinity become null."""
    best, confirmation, section = stored.best, stored.confirmation, stored.study.section
    spent = stored.spent()
    found = {
        "study": stored.study.name,
        "metric": section.metric,
        "direction": str(section.direction),
        "of": section.trials,
        "best": None if best is None else best.number,
        "trials": [
            _trial(stored, trial, seconds)
            for trial, (_, seconds) in zip(stored.trials, spent, strict=True)
        ],
        "seconds": math.fsum(seconds for _, seconds in spent),
        "importances": {name: one.share for name, one in stored.importances.items()},
        "importance_intervals": {n: [i.low, i.high] for n, i in stored.importances.items()},
        "advice": stored.advice(),
        "code_differences": [
            {"trials": kind.trials, "code": kind.differing}
            for kind in differing_code(stored.trials)
        ],
        "queued": [stored.study.space.settings(t.parameters) for t in stored.notes.queued or ()],
        "confirmation": confirmation
        and confirmation_summary.as_json(confirmation, stored.notes.recorded_confirmation),
    }
    return {name: _plain(value) for name, value in found.items()}


def as_csv(stored: StoredStudy) -> str:
    """Return a heading and a row for each trial; what a trial does not have is empty.

    A parameter with the name of another column has the prefix ``params_``, as in a data frame.
    """
    names = dict.fromkeys(name for trial in stored.trials for name in trial.parameters)
    rows = []
    for trial, (epochs, seconds) in zip(stored.trials, stored.spent(), strict=True):
        outcome = trial.outcome
        first = {"trial": trial.number, "state": trial.state, "value": trial.value}
        last = {
            "epoch": outcome.epoch,
            "epochs": epochs,
            "seconds": seconds,
            "reason": outcome.reason,
            "pruned_by": outcome.pruned and outcome.pruned.rule,
            "pruned_at": outcome.pruned and outcome.pruned.epoch,
            "needed": outcome.pruned and outcome.pruned.survives_from,
            "error": outcome.error and outcome.error.summary,
            "origin": outcome.origin,
            **_history(trial),
            "run_id": trial.recorded_run,
        }
        taken = {*first, *last}
        chosen = {
            f"params_{name}" if name in taken else name: _cell(trial.parameters.get(name))
            for name in names
        }
        rows.append({**first, **chosen, **last})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
        writer.writerows(row.values() for row in rows)
    return text.getvalue()


def _trial(stored: StoredStudy, trial: TrialRecord, seconds: float) -> JsonObject:
    outcome = trial.outcome
    return {
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        "epoch": outcome.epoch,
        "reason": outcome.reason,
        "pruned": outcome.pruned and to_json(outcome.pruned),
        "error": outcome.error and to_json(outcome.error),
        "seconds": seconds,
        **_history(trial),
        "params": {name: decoded(value) for name, value in trial.parameters.items()},
        "added": trial.sampler_attributes.added is not None,
        "origin": outcome.origin,
        "parameter_count": outcome.parameter_count,
        "earlier_failures": [to_json(earlier) for earlier in trial.earlier],
        "run_id": trial.recorded_run,
        "epochs": [
            {"epoch": epoch.number, **epoch.metrics} for epoch in stored.epochs(trial.number)
        ],
    }


def _history(trial: TrialRecord) -> JsonObject:
    """Return when, how often, by which worker and with which code a trial was trained."""
    digests = _code(trial)
    return {
        "asked": trial.asked,
        "started": trial.started,
        "finished": trial.finished,
        "attempts": trial.attempts,
        "crashes": trial.crashes,
        "worker": trial.worker,
        "code": key(digests) if digests else None,
    }


def _code(trial: TrialRecord) -> dict[str, str] | None:
    return None if trial.outcome.environment is None else trial.outcome.environment.code


def _cell(value: Any) -> Any:
    """Return a parameter as a cell: a list as JSON."""
    value = decoded(value)
    return json.dumps(value) if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """Return a value in which NaN and infinity are None, since JSON has neither."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
