"""The champion: the winner trained on all data but the test data, which are then used once.

The test result is final. It is committed together with its model before it is shown; after that the
test data are not used again.
"""

import math
import statistics
import time
from collections.abc import Iterable, Sequence
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
from studies.analysis.stored_study import StoredStudy, attachment_of
from studies.confirmation import testing
from studies.confirmation.batch import Trained, champion_seed, train_all
from studies.confirmation.intervals import mean_of, proportion_of
from studies.search.session import Session
from tracking.records import Environment, EpochRecord, TrialRecord, Values
from tracking.records.confirmation import (
    Champion,
    Confirmation,
    Evidence,
    OtherChampion,
    TestResult,
)


class TrainingFailed(RuntimeError):
    """The winner's settings could not be trained on all images."""


def train_winner(
    stored: StoredStudy,
    session: Session,
    compared: Confirmation,
    *,
    champions: int = 1,
    processes: int = 1,
) -> Confirmation:
    """Train the winner on all data but the test data, use these once, commit.

    The winner is trained `champions` times, in up to `processes` processes, each time under its own
    seed, and each network is tested once.
    Where that is not possible, as for an objective with data of its own and without a test
    function, `untested` of the confirmation says why. Raises TrainingFailed when the winner cannot
    be trained, and `testing.TestFailed`, after which the test data count as not used.
    """
    confirmation = _confirmed(stored, session, compared, champions, processes)
    stored.ledger.update_notes(stored.study.name, confirmation=confirmation)
    return confirmation


def _confirmed(
    stored: StoredStudy, session: Session, compared: Confirmation, champions: int, processes: int
) -> Confirmation:
    if compared.winner is None:
        return replace(compared, untested="no trial has a value under every seed")
    trial = next(t for t in stored.trials if t.number == compared.winner)
    section = stored.study.section
    data = session.datasets.get(trial.settings.get("data", ""))
    if data is None and section.test is None and section.settings is not None:
        return replace(compared, untested="the objective has data of its own, without test images")
    trained = _train(stored, session, trial, compared, champions, processes)
    evidence = trained[0]
    model = evidence.model
    confirmation = replace(compared, champion=_champion(evidence, data))
    if model is None:
        return replace(confirmation, untested="the objective returns no model")
    if section.test is not None:
        results = testing.run(section.test, model, section.metric)
        confirmation = replace(confirmation, results=results)
        # From here on the test data have been used.
        evidence = replace(evidence, confirmation=confirmation)
        stored.ledger.attach(stored.study.name, attachment_of(1), evidence.packed())
        return confirmation
    if data is None:
        return replace(confirmation, untested="the study has no test function (study.test)")
    try:
        answers = [_answers(each.model, data) for each in trained if each.model is not None]
    except InputError as error:
        return replace(confirmation, untested=f"the model is not one of nets: {error}")
    confirmation = replace(confirmation, test=assess(answers[0], data))
    if champions > 1:
        confirmation = _with_others(confirmation, trained, answers, data)
    # From here on the test images have been used.
    evidence = replace(evidence, answers=answers[0], confirmation=confirmation)
    stored.ledger.attach(stored.study.name, attachment_of(1), evidence.packed())
    return confirmation


def _with_others(
    confirmation: Confirmation,
    trained: Sequence[Evidence],
    answers: Sequence[Array],
    data: Dataset,
) -> Confirmation:
    """Add the results of the other champions, the mean of all, and that of their vote."""
    tests = [assess(each, data) for each in answers]
    others = tuple(
        OtherChampion(each.settings["seed"], _weights(each), _seconds(each), test)
        for each, test in list(zip(trained, tests, strict=True))[1:]
    )
    mean_test = mean_of([test.accuracy.value for test in tests], 0.0, 1.0)
    vote = assess(np.mean(answers, axis=0), data)
    return replace(confirmation, others=others, mean_test=mean_test, vote=vote)


def champion_settings(
    study: Any, trial: TrialRecord, kept_epochs: Iterable[int | None], champion: int = 1
) -> Values:
    """Return the settings of the winner's last training, or of one of several, counted from 1.

    No validation images, and so no early stopping, which needs them: the number of epochs is that
    of the kept weights, the median over the repetitions. (Of an even number the higher of the two
    in the middle: an epoch that was really kept.)
    """
    known = {item.name for item in fields(study.settings_class)}
    changes: Values = {name: 0 for name in ("validation", "patience") if name in known}
    if "epochs" in known:
        changes["epochs"] = statistics.median_high(e for e in kept_epochs if e is not None)
    changes["seed"] = champion_seed(study.section.seed, trial.number, champion)
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
    stored: StoredStudy,
    session: Session,
    trial: TrialRecord,
    compared: Confirmation,
    champions: int,
    processes: int,
) -> list[Evidence]:
    """Train the champions and commit each, unless that was done before."""
    kept = [again.epoch for again in compared.candidate(trial.number).repetitions]
    metric = compared.metric
    if stored.study.section.settings is not None:
        metric = _metric(metric, stored.epochs(trial.number))
    found: dict[int, Evidence] = {}
    missing: dict[int, Values] = {}
    for champion in range(1, champions + 1):
        settings = champion_settings(stored.study, trial, kept, champion)
        evidence = stored.evidence_of(champion)
        if evidence is not None and evidence.settings == settings:
            found[champion] = evidence
        else:
            missing[champion] = settings
    jobs = [session.job(trial.number, each, metric, final=True) for each in missing.values()]
    for trained in train_all(jobs, processes, models=True):
        champion, settings = list(missing.items())[trained.place]
        found[champion] = _evidence(settings, metric, trained)
        attachment = attachment_of(champion)
        stored.ledger.attach(stored.study.name, attachment, found[champion].packed())
    return [found[champion] for champion in sorted(found)]


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
    validation = evidence.settings.get("validation", 0)
    return Champion(
        settings=evidence.settings,
        trained_on=None if data is None else len(data.images) - validation,
        weights=_weights(evidence),
        seconds=_seconds(evidence),
    )


def _weights(evidence: Evidence) -> str | None:
    """Return the SHA-256 of the kept epoch's weights."""
    kept = evidence.outcome.epoch
    return next((e.digests.get("weights") for e in evidence.epochs if e.number == kept), None)


def _seconds(evidence: Evidence) -> float:
    return math.fsum(epoch.seconds for epoch in evidence.epochs)
