"""The champion: the winner trained on all data but the test data, which are then used once.

The test result is final. It is committed together with its model before it is shown; after that the
test data are not used again.
"""

import math
import statistics
import time
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from nets import threads
from nets.arrays import Array
from nets.calibration import reliability
from nets.data import Dataset
from nets.errors import InputError
from nets.model_source import probabilities, restore
from nets.outcome import Model
from nets.settings import from_plain, to_plain
from studies.analysis.stored_study import CHAMPION, StoredStudy
from studies.confirmation import testing
from studies.confirmation.batch import Trained, champion_seed, train_all
from studies.confirmation.intervals import proportion_of
from studies.search.session import Session
from tracking.records import Environment, EpochRecord, TrialRecord, Values
from tracking.records.confirmation import Champion, Confirmation, Evidence, TestResult


class TrainingFailed(RuntimeError):
    """The winner's settings could not be trained on all images."""


def train_winner(stored: StoredStudy, session: Session, compared: Confirmation) -> Confirmation:
    """Train the winner on all data but the test data, use these once, commit.

    Where that is not possible, as for an objective with data of its own and without a test
    function, `untested` of the confirmation says why. Raises TrainingFailed when the winner cannot
    be trained, and `testing.TestFailed`, after which the test data count as not used.
    """
    confirmation = _confirmed(stored, session, compared)
    stored.ledger.update_notes(stored.study.name, confirmation=confirmation)
    return confirmation


def _confirmed(stored: StoredStudy, session: Session, compared: Confirmation) -> Confirmation:
    if compared.winner is None:
        return replace(compared, untested="no trial has a value under every seed")
    trial = next(t for t in stored.trials if t.number == compared.winner)
    section = stored.study.section
    data = session.datasets.get(trial.settings.get("data", ""))
    if data is None and section.test is None and section.settings is not None:
        return replace(compared, untested="the objective has data of its own, without test images")
    evidence = _train(stored, session, trial, compared)
    model = evidence.model
    confirmation = replace(compared, champion=_champion(evidence, data))
    if model is None:
        return replace(confirmation, untested="the objective returns no model")
    if section.test is not None:
        results = testing.run(section.test, model, section.metric)
        confirmation = replace(confirmation, results=results)
        # From here on the test data have been used.
        evidence = replace(evidence, confirmation=confirmation)
        stored.ledger.attach(stored.study.name, CHAMPION, evidence.packed())
        return confirmation
    if data is None:
        return replace(confirmation, untested="the study has no test function (study.test)")
    try:
        answers = _answers(model, data)
    except InputError as error:
        return replace(confirmation, untested=f"the model is not one of nets: {error}")
    confirmation = replace(confirmation, test=assess(answers, data))
    # From here on the test images have been used.
    evidence = replace(evidence, answers=answers, confirmation=confirmation)
    stored.ledger.attach(stored.study.name, CHAMPION, evidence.packed())
    return confirmation


def champion_settings(study: Any, trial: TrialRecord, kept_epochs: Iterable[int | None]) -> Values:
    """Return the settings of the winner's last training.

    No validation images, and so no early stopping, which needs them: the number of epochs is that
    of the kept weights, the median over the repetitions. (Of an even number the higher of the two
    in the middle: an epoch that was really kept.)
    """
    known = {item.name for item in fields(study.settings_class)}
    changes: Values = {name: 0 for name in ("validation", "patience") if name in known}
    if "epochs" in known:
        changes["epochs"] = statistics.median_high(e for e in kept_epochs if e is not None)
    changes["seed"] = champion_seed(study.section.seed, trial.number)
    return to_plain(from_plain({**trial.settings, **changes}, study.settings_class))


def assess(answers: Array, data: Dataset) -> TestResult:
    """Return the test result of a model's answers for a dataset's test images.

    `answers` are probabilities, ``(n, classes)``. The loss is the mean of ``-ln p[label]``, with p
    no smaller than the smallest normal number of its type.
    """
    labels = np.asarray(data.test_labels)
    correct = int((answers.argmax(axis=1) == labels).sum())
    right = answers[np.arange(len(labels)), labels].astype(np.float64)
    return TestResult(
        accuracy=proportion_of(correct, len(labels)),
        correct=correct,
        count=len(labels),
        loss=float(-np.log(np.maximum(right, np.finfo(answers.dtype).tiny)).mean()),
        calibration_error=reliability(answers, labels).error,
        sha256=data.sha256,
    )


def _answers(model: Model, data: Dataset) -> Array:
    """Return the model's probabilities for the test images."""
    network, full_scale, _ = restore(model.arrays)
    with threads.use(1):
        return probabilities(network, full_scale, np.asarray(data.test_images))


def _train(
    stored: StoredStudy, session: Session, trial: TrialRecord, compared: Confirmation
) -> Evidence:
    """Train the champion and commit it, unless that was done before."""
    kept = [again.epoch for again in compared.candidate(trial.number).repetitions]
    settings = champion_settings(stored.study, trial, kept)
    evidence = stored.evidence
    if evidence is not None and evidence.settings == settings:
        return evidence
    metric = compared.metric
    if stored.study.section.settings is not None:
        metric = _metric(metric, stored.epochs(trial.number))
    job = session.job(trial.number, settings, metric, final=True)
    (trained,) = train_all([job], 1, models=True)
    evidence = _evidence(settings, metric, trained)
    stored.ledger.attach(stored.study.name, CHAMPION, evidence.packed())
    return evidence


def _metric(metric: str, epochs: Iterable[EpochRecord]) -> str:
    """Return a metric that the objective has without validation images, the study's if possible."""
    known = [name for epoch in epochs for name in epoch.metrics]
    without = [name for name in (metric, "train_loss", *known) if not name.startswith("val_")]
    return next((name for name in without if name in known), metric)


def _evidence(settings: Values, metric: str, trained: Trained) -> Evidence:
    end = trained.end
    if end.state != "complete":
        error = end.outcome.error
        reason = error.summary if error else "its loss is not finite"
        raise TrainingFailed(
            f"trial {end.trial} won, but its training on all images failed: {reason}"
        )
    now = time.time()
    epochs = tuple(
        EpochRecord(e.number, e.metrics, e.digests, e.seconds, now) for e in trained.epochs
    )
    outcome = end.outcome
    if (imported := trained.imported) is not None:
        outcome = replace(outcome, environment=Environment(imported=imported))
    model = None if end.model is None else end.model.unpacked()
    return Evidence(settings, metric, epochs, outcome, model)


def _champion(evidence: Evidence, data: Dataset | None) -> Champion:
    kept = evidence.outcome.epoch
    validation = evidence.settings.get("validation", 0)
    return Champion(
        settings=evidence.settings,
        trained_on=None if data is None else len(data.images) - validation,
        weights=next((e.digests.get("weights") for e in evidence.epochs if e.number == kept), None),
        seconds=math.fsum(epoch.seconds for epoch in evidence.epochs),
    )
