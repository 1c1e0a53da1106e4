"""Asking a pruner by the rule, and from which value on a pruned trial would have gone on."""

import math

import numpy as np
import optuna
import pytest

from studies.definition import pruners
from studies.workers.messages import PruningContext, Result
from studies.workers.pruning import History, PrunerStudy
from tracking.records import Direction

EPOCHS = 9
PRUNERS = {
    "median": pruners.Median(startup_trials=2),
    "median later": pruners.Median(startup_trials=2, warmup_epochs=3, interval=2),
    "percentile": pruners.Percentile(percentile=40.0, startup_trials=2),
    "halving": pruners.SuccessiveHalving(reduction_factor=2),
    "hyperband": pruners.Hyperband(reduction_factor=2),
    "threshold": pruners.Threshold(lower=0.3, upper=0.7),
    "patient": pruners.Patient(patience=1, wrapped=pruners.Median(startup_trials=2)),
    "patient alone": pruners.Patient(patience=1, min_delta=0.01),
}


def context(name, direction, history, number, past=None):
    return PruningContext(
        study="curves",
        direction=Direction(direction),
        pruner=pruners.build(PRUNERS[name], EPOCHS),
        number=number,
        known=len(history),
        history=history,
        past=past or {},
    )


def histories(generator, name, direction, trials=24):
    """Trials as a search leaves them, each with its pruning context: (context, curve, study)."""
    history, cases = [], []
    for number in range(trials):
        known = max(0, number - 2)
        asked = context(name, direction, history[:known], number)
        study = PrunerStudy(asked)
        curve = {}
        for epoch in range(1, EPOCHS + 1):
            curve[epoch] = round(float(generator.uniform(0, 1)), 3)
            if study.prunes(epoch, curve[epoch]):
                cases.append((asked, curve, study))
                break
        state = "pruned" if len(curve) < EPOCHS else "complete"
        history.append(Result(state, curve[max(curve)], curve, study.attributes))
    return cases


def optuna_prunes(asked, curve, last):
    """What Optuna itself says of a curve with another last value, without any of our code."""
    study = optuna.create_study(
        study_name=asked.study, direction=asked.direction, pruner=asked.pruner
    )
    states = {
        "complete": optuna.trial.TrialState.COMPLETE,
        "pruned": optuna.trial.TrialState.PRUNED,
    }
    for seen in asked.history:
        study.add_trial(
            optuna.trial.create_trial(
                state=states[seen.state],
                value=seen.value,
                intermediate_values=seen.intermediate,
                system_attrs=seen.attributes,
            )
        )
    while (trial := study.ask()).number < asked.number:
        pass
    for epoch, value in curve.items():
        final = epoch == max(curve)
        trial.report(last if final else value, epoch)
        if trial.should_prune():
            assert final
            return True
    return False


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("name", PRUNERS)
def test_survives_from_the_exact_value_that_is_given(name, direction, generator):
    cases = [case for _ in range(3) for case in histories(generator, name, direction)]
    assert cases
    with_threshold = 0
    for asked, curve, study in cases:
        why = study.explain()
        epoch = max(curve)
        assert (why.epoch, why.value) == (epoch, curve[epoch])
        assert optuna_prunes(asked, curve, curve[epoch])
        if why.survives_from is not None:
            with_threshold += 1
            value = why.survives_from
            worse = math.nextafter(value, -math.inf if direction == "maximize" else math.inf)
            assert not optuna_prunes(asked, curve, value)
            assert optuna_prunes(asked, curve, worse)
        else:  # beyond a bound there is no better value with which it would have gone on
            assert name == "threshold"
    assert with_threshold


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("median", "median"),
        ("percentile", "percentile"),
        ("halving", "successive halving"),
        ("hyperband", "hyperband"),
        ("threshold", "threshold"),
        ("patient", "patient"),
    ],
)
def test_rule_is_named_in_words(name, rule, generator):
    _, _, study = histories(generator, name, "maximize")[0]
    assert study.explain().rule == rule


def test_explaining_leaves_no_mark(generator):
    for _, _, study in histories(generator, "halving", "maximize"):
        before = study.attributes
        study.explain()
        assert study.attributes == before


def test_threshold_is_found_between_bounds_that_every_known_value_exceeds():
    seen = [Result("complete", 0.9, {1: 0.9}, {}), Result("complete", 0.95, {1: 0.95}, {})]
    study = PrunerStudy(context("threshold", "maximize", seen, 2))
    assert study.prunes(1, 0.1)
    assert study.explain().survives_from == 0.3


def test_value_that_is_not_finite_has_no_threshold():
    study = PrunerStudy(context("patient alone", "maximize", [], 0))
    for epoch, value in enumerate([0.5, 0.4, math.nan], start=1):
        pruned = study.prunes(epoch, value)
    assert pruned
    why = study.explain()
    assert (why.rule, why.epoch, why.survives_from) == ("patient", 3, None)
    assert math.isnan(why.value)


@pytest.mark.parametrize("name", PRUNERS)
def test_trial_that_continues_is_judged_as_if_it_had_never_stopped(name, generator):
    history = [
        Result("complete", v, {e: v * e / EPOCHS for e in range(1, EPOCHS + 1)}, {})
        for v in generator.uniform(0.31, 0.69, size=8).tolist()
    ]
    curve = {
        e: 0.69 * e / EPOCHS + 0.001 if name != "threshold" else 0.5 for e in range(1, EPOCHS + 1)
    }
    whole = PrunerStudy(context(name, "maximize", history, 10))
    assert not any(whole.prunes(epoch, value) for epoch, value in curve.items())
    for stop in range(1, EPOCHS):
        past = {epoch: value for epoch, value in curve.items() if epoch <= stop}
        continued = PrunerStudy(context(name, "maximize", history, 10, past))
        for epoch in range(stop + 1, EPOCHS + 1):
            assert not continued.prunes(epoch, curve[epoch])
        assert continued.attributes == whole.attributes


def test_brackets_of_hyperband_follow_from_study_and_number(generator):
    """The placeholders up to the trial's own number must be there, or brackets would move."""
    marks = set()
    for number in range(12):
        study = PrunerStudy(context("hyperband", "maximize", [], number))
        for epoch in range(1, EPOCHS + 1):
            study.prunes(epoch, 0.5)
        marks.add(tuple(sorted(study.attributes)))
        again = PrunerStudy(context("hyperband", "maximize", [], number, {1: 0.5, 2: 0.5}))
        for epoch in range(3, EPOCHS + 1):
            again.prunes(epoch, 0.5)
        assert again.attributes == study.attributes
    assert len(marks) > 1


def test_the_history_is_not_changed(generator):
    history = [Result("complete", 0.5, {1: 0.5}, {"completed_rung_0": 0.5})]
    PrunerStudy(context("halving", "maximize", history, 1)).prunes(1, float(np.float64(0.1)))
    assert history == [Result("complete", 0.5, {1: 0.5}, {"completed_rung_0": 0.5})]


def brought(number, since=0):
    """A job's judge with the trials since `since`, as an engine sends it."""
    history = [Result("complete", i / 10, {1: i / 10}, {}) for i in range(max(0, number - 2))]
    return context("median", "maximize", history, number).after(since)


def test_a_worker_receives_each_trial_once_and_decides_the_same():
    heard, cases = History(), 0
    for number in (0, 1, 4, 9, 6, 10, 3, 20):  # repeated trials come after later ones
        asked = brought(number, since=cases)
        cases = max(cases, asked.known)
        assert len(asked.history) == max(0, asked.known - asked.since)
        again = PrunerStudy(asked, heard)._study.get_trials()
        anew = PrunerStudy(brought(number))._study.get_trials()
        assert [(t.number, t.state, t.value, t.intermediate_values) for t in again] == [
            (t.number, t.state, t.value, t.intermediate_values) for t in anew
        ]


def test_judging_marks_no_trial_that_the_next_job_shares():
    heard = History()
    history = [Result("complete", 0.5, {1: 0.5}, {"completed_rung_0": 0.5})] * 4
    for _ in range(2):
        study = PrunerStudy(context("halving", "maximize", history, 6), heard)
        study.prunes(1, 0.1)
        study.explain()
        assert [t.system_attrs for t in heard._trials] == [{"completed_rung_0": 0.5}] * 4


def test_a_job_that_leaves_out_unknown_trials_is_refused():
    with pytest.raises(RuntimeError, match="a job continues after trial 3, but only 0 are known"):
        PrunerStudy(brought(9, since=3))


@pytest.mark.parametrize("name", PRUNERS)
def test_no_pruner_reads_the_epochs_of_a_failed_trial(name, generator):
    """A trial that is trained again has lost the epochs of its failure."""

    def story(failure):
        decisions, history = [], []
        for number in range(24):
            study = PrunerStudy(context(name, "maximize", history[: max(0, number - 2)], number))
            curve = dict(enumerate(curves[number], 1))
            last = next((epoch for epoch, v in curve.items() if study.prunes(epoch, v)), EPOCHS)
            decisions.append((last, study.attributes))
            curve = {epoch: value for epoch, value in curve.items() if epoch <= last}
            if number % 3 == 0:
                history.append(failure(curve))
            else:
                state = "pruned" if last < EPOCHS else "complete"
                history.append(Result(state, curve[last], curve, study.attributes))
        return decisions

    curves = generator.uniform(0, 1, (24, EPOCHS)).round(3)
    with_epochs = story(lambda curve: Result("failed", None, curve, {}))
    assert with_epochs == story(lambda curve: Result.failure())
    assert min(last for last, _ in with_epochs) < EPOCHS
