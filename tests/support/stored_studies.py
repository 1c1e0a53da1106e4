"""Searched studies, written into a ledger without training."""

import math

import numpy as np

from studies.analysis.stored_study import StoredStudy
from studies.definition import study_file
from tracking.records import (
    Environment,
    EpochRecord,
    Failure,
    SamplerAttributes,
    TrialOutcome,
    TrialRecord,
)

START = 1_700_000_000.0
SEARCHED = {
    "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    "weight_decay": {"low": 1e-8, "high": 1e-2, "log": True},
    "dropout": {"low": 0.0, "high": 0.6},
}
CONDITIONAL = {
    "optimizer": {"choices": ["momentum", "adam", "sgd"]},
    "hidden": {"choices": [[100], [100, 50], [200, 100, 50]]},
    "batch_size": {"low": 16, "high": 256, "log": True},
    "learning_rate": SEARCHED["learning_rate"],
    "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": ["momentum"]}},
}


def a_definition(space=SEARCHED, **section):
    """Build a study of digits, as from a study file."""
    section = {"name": "digits", "trials": 20, **section}
    return study_file.build({"study": section, "training": {"epochs": 10}, "space": space})


def a_search(ledger, study, states, *, workers=2, epochs=10, generator=None, quality=None):
    """Write a trial for each state into a ledger; return the study as stored.

    The nearer the learning rate is to 0.002, the better the trial. Epochs take a tenth of a second;
    each trial goes to the worker that is free first.
    """
    generator = generator or np.random.default_rng(0)
    ledger.add_study(study.name, study.definition, Environment())
    free = [START] * workers
    for number, state in enumerate(states):
        worker = int(np.argmin(free))
        chosen = draw(study.space, generator)
        good = quality(chosen) if quality else _quality(chosen)
        last = {"complete": epochs, "failed": 1}.get(state, 2)
        record = TrialRecord(
            study.name, number, "running", {"seed": number}, chosen, SamplerAttributes(), START
        )
        ledger.add_trial(record)
        ledger.start_attempt(study.name, number)
        ledger.name_worker(study.name, number, f"worker {worker}")
        began = free[worker]
        for epoch in range(1, last + 1):
            accuracy = good * (1 - math.exp(-epoch / 2))
            metrics = {"val_accuracy": accuracy, "val_loss": 3 * (1.001 - accuracy)}
            free[worker] += 0.1
            record = EpochRecord(epoch, metrics, {}, 0.1, free[worker])
            ledger.add_epoch(study.name, number, record)
        if state != "running":
            value = None if state == "failed" else metrics[study.section.metric]
            error = Failure("ValueError", "no", "x:1") if state == "failed" else None
            reason = "finished" if state == "complete" else state
            outcome = TrialOutcome(value=value, epoch=last, reason=reason, error=error)
            ledger.finish_trial(study.name, number, state, outcome, None)
        with ledger.transaction() as connection:
            connection.execute(
                "UPDATE trial SET started = ?, finished = CASE WHEN finished > 0 THEN ? END"
                " WHERE study = ? AND number = ?",
                (began, free[worker], study.name, number),
            )
    return StoredStudy(ledger, ledger.study(study.name))


def draw(space, generator):
    """Draw parameters of a space, as a random sampler would."""
    chosen = {}
    for parameter in space.parameters:
        if not parameter.active(chosen):
            continue
        if parameter.points is not None:
            chosen[parameter.name] = parameter.points[generator.integers(len(parameter.points))]
            continue
        distribution = parameter.distribution
        low, high = distribution.low, distribution.high
        share = generator.random()
        if distribution.log:
            chosen[parameter.name] = low * (high / low) ** share
        else:
            chosen[parameter.name] = low + (high - low) * share
    return chosen


def _quality(chosen):
    distance = math.log10(chosen["learning_rate"]) + 2.7
    return 0.1 + 0.88 * math.exp(-(distance**2))
