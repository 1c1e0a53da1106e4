"""Warm start: trials of another study that the sampler knows from the beginning.

They are history of the view only: never numbered, counted or best. What is known is copied into
the study's notes when it is created, so that the other study may grow without changing this one.
"""

from typing import Any

import optuna
from optuna.trial import FrozenTrial

from nets.errors import InputError
from studies.definition.optuna_internals import TRIAL_STATES
from studies.definition.study_file import Study
from studies.workers.history import result_of
from tracking.ledger.access import Ledger

_NOTE = "warm_start"


def snapshot(study: Study, ledger: Ledger) -> list[dict[str, Any]]:
    """Return what a new study may know of the one it starts from, as plain JSON values.

    Taken are finished trials whose parameters are exactly those that this study's space would
    have, with values it could have.
    """
    name = study.section.warm_start
    if name is None:
        return []
    other = ledger.study(name)
    if other is None:
        accepted = ", ".join(ledger.study_names()) or "none, the store is empty"
        raise InputError(
            f"study.warm_start: got {name!r}, accepted is a study of the store: {accepted}"
        )
    metric, direction = other.definition["study"]["metric"], other.definition["study"]["direction"]
    if (metric, direction) != (study.section.metric, study.section.direction):
        raise InputError(
            f"study.warm_start: {name} has {direction} {metric}, accepted is a study with "
            f"{study.section.direction} {study.section.metric}"
        )
    known = []
    for record in ledger.trials(name):
        if record.state in ("complete", "pruned") and _fits(study, record.parameters):
            result = result_of(record, ledger.epochs(name, record.number), metric)
            known.append(
                {
                    "parameters": record.parameters,
                    "state": result.state,
                    "value": result.value,
                    "intermediate": list(result.intermediate.items()),
                }
            )
    return known


def earlier_trials(study: Study, ledger: Ledger) -> list[FrozenTrial]:
    """Return the trials that `snapshot` kept with the study."""
    stored = ledger.study(study.name)
    distributions = study.space.distributions
    return [
        optuna.trial.create_trial(
            state=TRIAL_STATES[trial["state"]],
            value=trial["value"],
            params=trial["parameters"],
            distributions={name: distributions[name] for name in trial["parameters"]},
            intermediate_values={int(epoch): value for epoch, value in trial["intermediate"]},
        )
        for trial in (stored.notes.get(_NOTE, []) if stored else [])
    ]


def _fits(study: Study, parameters: dict[str, Any]) -> bool:
    """Tell whether the study's own space could have given these parameters."""
    active = {p.name: p for p in study.space.parameters if p.active(parameters)}
    return active.keys() == parameters.keys() and all(
        active[name].contains(value) for name, value in parameters.items()
    )
