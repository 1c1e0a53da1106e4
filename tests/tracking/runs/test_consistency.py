"""A record that contradicts itself is refused, whatever was changed in it."""

import json
import math
from pathlib import Path

import pytest

from nets.errors import InputError
from tracking.runs.delivery import Delivery
from tracking.runs.reader import find_trial
from tracking.store import names

pytestmark = pytest.mark.usefixtures("quick_figures")


@pytest.fixture
def delivered(store, ledger, trials, environment):
    """A store with one recorded trial, written as the arguments say."""

    def deliver(state="complete", **outcome):
        trials.whole(0, state, model=False, **outcome)
        Delivery(store, ledger, ledger.study("digits"), environment).deliver()
        return store

    return deliver


def run_of(store):
    experiment = store.client.get_experiment_by_name("digits").experiment_id
    (run,) = store.client.search_runs([experiment], f"tags.`{names.TRIAL_TAG}` = '0'")
    return run


def change(store, name, edit):
    """Change a file of the trial's run."""
    path = Path(run_of(store).info.artifact_uri) / name
    path.write_text(json.dumps(edit(json.loads(path.read_text("utf-8")))), "utf-8")


@pytest.mark.parametrize("state", ["complete", "pruned", "failed"])
@pytest.mark.parametrize("value", [0.5, math.inf, -math.inf])
def test_a_record_as_it_was_written_agrees_with_itself(delivered, state, value):
    store = delivered(state, value=value)
    assert find_trial(store, "digits", 0).value == (None if state == "failed" else value)


def test_a_diverged_trial_agrees_with_itself(store, ledger, trials, environment):
    trials.add(0)
    trials.epoch(0, 1, val_accuracy=math.nan)
    trials.finish(0, "pruned", model=False, reason="diverged")
    Delivery(store, ledger, ledger.study("digits"), environment).deliver()
    assert math.isnan(find_trial(store, "digits", 0).value)


@pytest.mark.parametrize(
    ("file", "edit", "problem"),
    [
        ("outcome", lambda one: one | {"value": 0.999}, "outcome.json has val_accuracy 0.999 at"),
        ("outcome", lambda one: one | {"value": None}, "outcome.json has val_accuracy missing at"),
        ("outcome", lambda one: one | {"epoch": 2}, "epochs.json has 0.86"),
        ("outcome", lambda one: one | {"epoch": 9}, "epochs.json has missing"),
        ("outcome", lambda one: one | {"state": "pruned"}, "outcome.json says 'pruned', its run c"),
        ("epochs", lambda all_: all_[:-1], "epochs.json has missing"),
        ("epochs", lambda all_: all_[::-1], r"has the epochs \[4, 3, 2, 1\], expected 1, 2, 3"),
        ("epochs", lambda all_: [*all_, all_[-1]], r"has the epochs \[1, 2, 3, 4, 4\]"),
        (
            "epochs",
            lambda all_: [one | {"digests": {"weights": "x"}} for one in all_],
            "the weights of epoch 4 are not those of the tag retrial.weights",
        ),
        ("settings", lambda one: one | {"epochs": 5}, "settings.json has epochs 5, its run 4"),
    ],
)
def test_a_record_that_contradicts_itself_is_damaged(delivered, file, edit, problem):
    store = delivered()
    change(store, f"{file}.json", edit)
    run_id = run_of(store).info.run_id
    expected = rf"trial: run {run_id} \(trial 0000\) is damaged: .*{problem}.*; it cannot be judged"
    with pytest.raises(InputError, match=expected):
        find_trial(store, "digits", 0)


def test_a_value_that_only_its_files_agree_on_is_damaged(delivered):
    store = delivered()
    change(store, "outcome.json", lambda one: one | {"value": 0.999})
    change(
        store,
        "epochs.json",
        lambda all_: [one | {"metrics": one["metrics"] | {"val_accuracy": 0.999}} for one in all_],
    )
    with pytest.raises(InputError, match=r"the metric value of its run 0\.98"):
        find_trial(store, "digits", "best")


def test_a_parameter_that_a_user_has_added_is_no_contradiction(delivered):
    store = delivered()
    store.client.log_param(run_of(store).info.run_id, "my_note", "interesting")
    assert find_trial(store, "digits", 0).settings["epochs"] == 4
