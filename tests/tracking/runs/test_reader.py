"""Recorded trials are found and read back from MLflow alone."""

import json
import math
from pathlib import Path

import pytest

from nets.errors import InputError
from tracking.runs.delivery import Delivery
from tracking.runs.reader import find_trial, study_run
from tracking.store import names

pytestmark = pytest.mark.usefixtures("quick_figures")


@pytest.fixture
def recorded(store, ledger, trials, environment):
    """Deliver what the ledger has, then take the ledger away: reading needs MLflow alone."""

    def recorded(status="FINISHED"):
        delivery = Delivery(store, ledger, ledger.study("digits"), environment)
        assert delivery.deliver() is None
        delivery.end(status)
        Path(ledger.path).unlink()
        return store

    return recorded


def test_a_trial_is_read_unchanged(trials, ledger, recorded, environment):
    trials.whole(3)
    trial, epochs = ledger.trial("digits", 3), ledger.epochs("digits", 3)

    found = find_trial(recorded(), "digits", 3)

    assert (found.study, found.number, found.state) == ("digits", 3, "complete")
    assert (found.metric, found.direction, found.value) == (
        "val_accuracy", "maximize", trial.value
    )  # fmt: skip
    assert found.settings == trial.settings
    assert [entry.metrics for entry in found.epochs] == [epoch.metrics for epoch in epochs]
    assert [entry.digests for entry in found.epochs] == [epoch.digests for epoch in epochs]
    assert found.outcome.epoch == 4
    assert found.environment.blas == environment.blas


def test_a_trial_is_found_by_number_text_run_id_or_as_the_best(trials, recorded):
    trials.whole(0)
    store = recorded()
    one = find_trial(store, "digits", 0)
    assert find_trial(store, "digits", "0") == one
    assert find_trial(store, None, one.run_id) == one
    assert find_trial(store, "digits", "best") == one


@pytest.mark.parametrize("metric", ["value", "epochs", "seconds"])
def test_the_best_is_found_by_its_value_whatever_an_objective_calls_its_metrics(
    trials, recorded, metric
):
    for number, (value, last) in enumerate([(0.9, 1.0), (0.1, 99.0)]):
        trials.add(number)
        trials.epoch(number, 1, **{"val_accuracy": value, metric: last})
        trials.finish(number, model=False, value=value)
    assert find_trial(recorded(), "digits", "best").number == 0


@pytest.mark.parametrize(
    ("direction", "values", "best"),
    [
        ("maximize", [0.1, 0.9, 0.5], 1),
        ("minimize", [0.5, 0.9, 0.1], 2),
        ("maximize", [0.5, 0.9, 0.9], 1),
        ("minimize", [0.1, 0.1, 0.1], 0),
        ("maximize", [0.1, math.inf, 0.5], 1),
        ("minimize", [math.inf, 0.9, -math.inf], 2),
    ],
)
def test_the_best_trial_has_the_best_value_and_of_equal_ones_the_lowest_number(
    ledger, trials, recorded, direction, values, best
):
    definition = ledger.study("digits").definition
    definition["study"]["direction"] = direction
    ledger.set_definition("digits", definition)
    for number, value in enumerate(values):
        trials.whole(number, epochs=1, model=False, value=value)
    assert find_trial(recorded(), "digits", "best").number == best


def test_neither_pruned_nor_failed_trials_are_best(trials, recorded):
    trials.whole(0, epochs=1, model=False, value=0.1)
    trials.whole(1, "pruned", epochs=1, model=False, value=0.9)
    trials.whole(2, "failed", epochs=1, model=False)
    assert find_trial(recorded(), "digits", "best").number == 0


def test_pruned_and_failed_trials_can_be_read(trials, recorded):
    trials.whole(0, "pruned", epochs=2, model=False)
    trials.whole(1, "failed", epochs=1, model=False)
    store = recorded()
    assert find_trial(store, "digits", 0).state == "pruned"
    assert find_trial(store, "digits", 1).value is None


def test_trials_that_share_the_first_place_are_all_looked_at(trials, recorded, monkeypatch):
    monkeypatch.setattr("tracking.runs.reader._PAGE", 2)
    for number, value in enumerate([0.1, 0.9, 0.9, 0.9, 0.9, 0.2]):
        trials.whole(number, epochs=1, model=False, value=value)
    assert find_trial(recorded(), "digits", "best").number == 1


def test_a_value_that_is_not_a_number_is_never_best(ledger, trials, recorded):
    definition = ledger.study("digits").definition
    definition["study"]["direction"] = "minimize"
    ledger.set_definition("digits", definition)
    for number in (0, 1):
        trials.add(number)
        trials.epoch(number, 1, val_accuracy=[math.nan, 0.9][number])
        trials.finish(number, model=False)
    assert find_trial(recorded(), "digits", "best").number == 1


@pytest.mark.parametrize(
    ("study", "which", "message"),
    [
        ("digit", "best", "study: no study 'digit' in MLflow; did you mean 'digits'?"),
        (None, "best", "study: missing, expected --study NAME, or an MLflow run id as trial"),
        ("digits", "best", "trial: digits has no complete trial with a value yet"),
        ("digits", 7, "trial: got 7, expected best or a recorded trial of digits: 0"),
        ("digits", "bset", "trial: got 'bset', expected best, a trial number or an MLflow run"),
        ("digits", "\N{SUPERSCRIPT TWO}", "expected best, a trial number or an MLflow run id"),
        ("digits", "9" * 5000, "expected best, a trial number or an MLflow run id"),
        ("digits", "0" * 31 + "f", "expected best, a trial number or an MLflow run id"),
        ("digits", 0, "trial: trial 0000 of digits has not finished"),
    ],
)
def test_what_is_not_there_is_refused(trials, recorded, study, which, message):
    trials.add(0)
    with pytest.raises(InputError) as refusal:
        find_trial(recorded("KILLED"), study, which)
    assert message in str(refusal.value)


def test_a_number_that_is_not_there_is_answered_with_those_that_are(trials, recorded, monkeypatch):
    monkeypatch.setattr("tracking.runs.reader._PAGE", 2)
    for number in (0, 1, 2, 3):
        trials.whole(number, epochs=1, model=False)
    with pytest.raises(InputError, match=r"a recorded trial of digits: 0 to 3$"):
        find_trial(recorded(), "digits", 99)


def test_a_run_of_another_study_is_refused(trials, recorded):
    trials.whole(0, epochs=1, model=False)
    store = recorded()
    run_id = find_trial(store, "digits", 0).run_id
    assert find_trial(store, "digits", run_id).number == find_trial(store, None, run_id).number == 0
    with pytest.raises(InputError) as refusal:
        find_trial(store, "own", run_id)
    assert str(refusal.value) == (
        f"study: got 'own', expected digits, the study of run {run_id}, or no study with a run id"
    )


def test_a_store_without_studies_says_so(store):
    with pytest.raises(InputError, match="no study 'digits' in MLflow; it has none yet"):
        find_trial(store, "digits", "best")


def test_a_run_made_by_hand_is_refused(store):
    experiment = store.client.create_experiment("by hand", store.artifact_location)
    run_id = store.client.create_run(experiment, run_name="lucky try").info.run_id
    store.client.log_metric(run_id, "val_accuracy", 0.99)
    with pytest.raises(InputError, match=r"retrial did not record run .* \(lucky try\)"):
        find_trial(store, None, run_id)


def test_a_trial_that_lost_a_file_is_refused(trials, recorded):
    trials.whole(0, epochs=1, model=False)
    store = recorded()
    run = store.client.get_run(find_trial(store, "digits", 0).run_id)
    (Path(run.info.artifact_uri) / names.EPOCHS_FILE).unlink()
    with pytest.raises(InputError, match=r"lacks epochs.json, expected a trial with all files"):
        find_trial(store, "digits", 0)


def test_the_studys_run_keeps_the_definition(recorded, ledger):
    definition = ledger.study("digits").definition
    store = recorded()
    run = study_run(store, "digits")
    path = store.client.download_artifacts(run.info.run_id, names.STUDY_FILE)
    assert json.loads(Path(path).read_text()) == definition
