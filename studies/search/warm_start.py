"""Warm start: trials of another study that the sampler knows from the beginning.

They are history of the sampling view only: never numbered, counted or best. They are copied into
the study's notes when it is created, so the other study may grow without changing this one.
"""

from typing import Any

from optuna.trial import FrozenTrial

from nets.errors import InputError
from studies.definition.optuna_internals import TRIAL_STATES
from studies.definition.study_file import Study
from studies.workers.messages import Result
from tracking.ledger import Ledger
from tracking.records import EarlierTrial
from tracking.store.errors import StudyNotFound


def snapshot(study: Study, ledger: Ledger) -> tuple[EarlierTrial, ...]:
    """Return the trials that a new study takes from the one that it starts from.

    Only finished trials whose parameters match this study's space, in names and values, are used.
    """
    name = study.section.warm_start
    if name is None:
        return ()
    other = ledger.study(name)
    if other is None:
        raise StudyNotFound.among(name, ledger.study_names(), ledger.path.parent).with_key(
            "study.warm_start"
        )
    metric, direction = other.definition["study"]["metric"], other.definition["study"]["direction"]
    if (metric, direction) != (study.section.metric, study.section.direction):
        raise InputError(
            "study.warm_start",
            problem=f"{name} has direction {direction}, metric {metric}",
            expected=f"{study.section.direction} and {study.section.metric}, as this study has",
        )
    known = []
    for record in ledger.trials(name):
        parameters = study.space.rounded(record.parameters)
        if record.state in ("complete", "pruned") and _fits(study, parameters):
            result = Result.of(record, ledger.epochs(name, record.number), metric)
            values = tuple(result.intermediate.items())
            known.append(EarlierTrial(parameters, result.state, result.value, values))
    return tuple(known)


def earlier_trials(study: Study, ledger: Ledger) -> list[FrozenTrial]:
    """Return the trials that `snapshot` stored with the study."""
    stored = ledger.study(study.name)
    return [
        study.space.trial(
            trial.parameters,
            TRIAL_STATES[trial.state],
            value=trial.value,
            intermediate_values={int(epoch): value for epoch, value in trial.intermediate},
        )
        for trial in (stored and stored.notes.warm_start) or ()
    ]


def _fits(study: Study, parameters: dict[str, Any]) -> bool:
    """Return whether the study's space contains these parameters."""
    active = {p.name: p for p in study.space.parameters if p.active(parameters)}
    return active.keys() == parameters.keys() and all(
        active[name].contains(value) for name, value in parameters.items()
    )
