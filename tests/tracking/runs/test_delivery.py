"""MLflow is brought up to date with the ledger, whatever interrupts it."""

import dataclasses
import json
import math
import os
import shutil
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tracking.ledger import Ledger
from tracking.ledger.retries import retry_failed
from tracking.records import Blas, Environment, Failure
from tracking.runs import trial_run
from tracking.runs.delivery import Delivery
from tracking.store import names
from tracking.store.store import open_store


def deliver(store, ledger, environment, status="FINISHED"):
    delivery = Delivery(store, ledger, ledger.study("digits"), environment)
    failure = delivery.deliver()
    if failure is not None:
        raise failure
    delivery.end(status)


def run_of(store, number):
    (run,) = store.client.search_runs(
        [store.client.get_experiment_by_name("digits").experiment_id],
        f"tags.`{names.TRIAL_TAG}` = '{number}'",
    )
    return run


def file_of(store, number, name):
    path = store.client.download_artifacts(run_of(store, number).info.run_id, name)
    with open(path, encoding="utf-8") as file:
        return file.read()


def test_a_trial_becomes_a_child_run_with_everything_it_was(store, ledger, trials, environment):
    trials.whole(0, parameter_count=1234)

    deliver(store, ledger, environment)

    run = run_of(store, 0)
    parent = store.client.get_run(run.data.tags["mlflow.parentRunId"])
    assert run.info.run_name == "trial 0000"
    assert parent.info.run_name == "study digits"
    assert run.data.params == {
        "epochs": "4", "hidden": "[16]", "validation": "100", "learning_rate": "0.001",
    }  # fmt: skip
    assert run.data.metrics[names.VALUE_METRIC] == 1 - math.exp(-4)
    assert run.data.metrics[names.EPOCHS_METRIC] == 4
    assert run.data.metrics[names.SECONDS_METRIC] == pytest.approx(0.4)
    assert {info.path for info in store.client.list_artifacts(run.info.run_id)} == {
        names.SETTINGS_FILE, names.EPOCHS_FILE, names.ENVIRONMENT_FILE, names.OUTCOME_FILE,
        names.CURVES_FILE,
    }  # fmt: skip
    assert run.data.tags[names.CODE_TAG] == "c" * 64
    assert run.data.tags[names.DATA_TAG] == "d" * 64
    assert run.data.tags[names.WEIGHTS_TAG] == f"{0:032d}{4:032d}"
    assert run.data.tags[names.PARAMETER_COUNT_TAG] == "1234"
    assert run.data.tags["mlflow.note.content"] == (
        "Trial 0 of the search **digits**: complete, `val_accuracy` 0.9817 at epoch 4.\n\n"
        "Searched: `learning_rate` 0.001. All other parameters are fixed.\n\n"
        "Reproduce it: `retrial reproduce 0 --study digits`"
    )


def test_only_pruned_trials_have_a_grey_mark(store, ledger, trials, environment):
    for number, state in enumerate(("complete", "pruned", "failed")):
        trials.whole(number, state)

    deliver(store, ledger, environment)

    marks = [run_of(store, number).data.tags.get(names.COLOR_TAG) for number in range(3)]
    assert marks == [None, trial_run.PRUNED_COLOR, None]


def test_curves_are_drawn_while_the_trial_before_is_written(
    store, ledger, trials, environment, monkeypatch
):
    for number in range(3):
        trials.whole(number)
    trials.add(3)
    happened = []

    def draw(title, epochs, kept):
        happened.append(("drawn", int(title.split()[1])))
        promised = Future()
        promised.set_result(b"png")
        return promised

    def end(store, parent, trial, *rest, **more):
        happened.append(("written", trial.number))
        finish(store, parent, trial, *rest, **more)

    finish = trial_run.end
    monkeypatch.setattr(trial_run, "end", end)
    monkeypatch.setattr("tracking.runs.delivery.DRAWN_AHEAD", 2)
    Delivery(store, ledger, ledger.study("digits"), environment, draw).deliver()

    assert happened == [
        ("drawn", 0), ("drawn", 1), ("written", 0), ("drawn", 2), ("written", 1), ("written", 2),
    ]  # fmt: skip


def broken_promise(*_):
    promised = Future()
    promised.set_exception(OSError("killed"))
    return promised


def nobody(*_):
    raise OSError("killed")


@pytest.mark.parametrize("can_be_drawn", [True, False])
@pytest.mark.parametrize("draw", [None, nobody, broken_promise])
def test_curves_that_nobody_draws_are_drawn_here_and_what_cannot_be_drawn_is_left_out(
    store, ledger, trials, environment, monkeypatch, draw, can_be_drawn
):
    def fail(title, epochs, kept):
        raise ValueError("no figure is that large")

    trials.add(0)
    trials.epoch(0, 1)
    trials.finish(0)
    if not can_be_drawn:
        monkeypatch.setattr("tracking.figures.curves.curves_png", fail)
    delivery = Delivery(store, ledger, ledger.study("digits"), environment, draw)
    assert delivery.deliver() is None

    run = run_of(store, 0)
    files = {info.path for info in store.client.list_artifacts(run.info.run_id)}
    assert run.info.status == "FINISHED"
    assert (names.CURVES_FILE in files) == can_be_drawn


def test_the_curves_have_the_epoch_as_step_and_the_time_of_the_ledger(
    store, ledger, trials, environment
):
    trials.whole(0)

    deliver(store, ledger, environment)

    history = store.client.get_metric_history(run_of(store, 0).info.run_id, "val_accuracy")
    epochs = ledger.epochs("digits", 0)
    assert [(m.step, m.value, m.timestamp) for m in history] == [
        (e.number, e.metrics["val_accuracy"], int(e.at * 1000)) for e in epochs
    ]


@pytest.mark.parametrize(
    ("state", "status"),
    [("complete", "FINISHED"), ("pruned", "FINISHED"), ("failed", "FAILED")],
)
def test_the_state_of_a_trial_ends_its_run(store, ledger, trials, environment, state, status):
    trials.whole(0, state)

    deliver(store, ledger, environment)

    run = run_of(store, 0)
    assert run.info.status == status
    assert run.data.tags[names.STATE_TAG] == state
    assert run.info.end_time == int(ledger.trial("digits", 0).finished * 1000)


def test_a_trial_of_a_worker_that_differs_says_so(store, ledger, trials, environment):
    said = "versions: NumPy was 2.4.6, is 2.0.0"
    trials.whole(0, environment=Environment(host="another", mixed=(said,)))
    trials.whole(1, environment=Environment(host="another"))

    deliver(store, ledger, environment)

    mixed, equal = run_of(store, 0), run_of(store, 1)
    assert mixed.data.tags[names.MIXED_TAG] == said
    assert f"differs from the study's first one: {said}." in mixed.data.tags["mlflow.note.content"]
    assert names.MIXED_TAG not in equal.data.tags
    path = store.client.download_artifacts(mixed.info.run_id, names.ENVIRONMENT_FILE)
    recorded = json.loads(Path(path).read_text("utf-8"))
    # Of the worker where it says something, of the driver everything else.
    assert (recorded["host"], recorded["command"]) == ("another", environment.command)


def test_an_open_trial_is_killed_when_the_driver_ends_and_runs_again_when_it_is_continued(
    store, ledger, trials, environment
):
    trials.add(0)
    trials.epoch(0, 1)
    deliver(store, ledger, environment, status="KILLED")
    killed = run_of(store, 0)
    continued = Delivery(store, ledger, ledger.study("digits"), environment)
    assert continued.deliver() is None
    running = run_of(store, 0)
    trials.epoch(0, 2)
    trials.finish(0)
    deliver(store, ledger, environment)
    finished = run_of(store, 0)

    states = [(r.info.status, r.data.tags[names.STATE_TAG]) for r in (killed, running, finished)]
    assert states == [("KILLED", "killed"), ("RUNNING", "running"), ("FINISHED", "complete")]
    assert killed.info.run_id == running.info.run_id == finished.info.run_id
    assert len(store.client.get_metric_history(finished.info.run_id, "train_loss")) == 2


def test_nothing_stays_running_after_the_study_has_ended(
    store, ledger, trials, environment, contents
):
    for number, state in enumerate(["complete", "pruned", "failed"]):
        trials.whole(number, state)
    trials.add(3)

    deliver(store, ledger, environment)

    assert {run["status"] for run in contents(store).values()} == {"FINISHED", "FAILED", "KILLED"}


def test_a_failed_trial_says_why(store, ledger, trials, environment):
    traceback = "Traceback (most recent call last):\n  ...\nValueError: too hot"
    error = Failure("ValueError", "too hot", traceback=traceback)
    trials.whole(0, "failed", epochs=1, model=False, error=error)

    deliver(store, ledger, environment)

    run = run_of(store, 0)
    assert file_of(store, 0, names.ERROR_FILE) == traceback
    assert "ValueError: too hot" in run.data.tags["mlflow.note.content"]
    assert names.VALUE_METRIC not in run.data.metrics


@pytest.fixture
def retried(store, ledger, trials, environment, monkeypatch, quick_figures):
    """A store with three trials, of which one failed; it has been trained again since."""
    trials.whole(0)
    trials.add(1)
    trials.epoch(1, 1, val_accuracy=0.1)
    error = Failure("ValueError", "lost", "o.py:3", "Traceback\nValueError: lost\n")
    code = Environment(code={"nets": "b" * 64})
    trials.finish(1, "failed", model=False, error=error, environment=code)
    trials.whole(2)
    deliver(store, ledger, environment)
    run = run_of(store, 1)
    assert (run.info.status, run.data.tags[names.CODE_TAG]) == ("FAILED", "b" * 64)
    monkeypatch.setattr("tracking.ledger.retries.time", SimpleNamespace(time=trials._tick))
    assert retry_failed(ledger, "digits", 4) == [1]
    deliver(store, ledger, environment, "KILLED")
    assert run_of(store, 1).data.tags[names.STATE_TAG] == "killed"
    for epoch, accuracy in enumerate((0.2, 0.4, 0.99), 1):
        trials.epoch(1, epoch, val_accuracy=accuracy)
    earlier = ledger.trial("digits", 1).outcome.earlier
    trials.finish(1, value=0.99, earlier=earlier, environment=Environment(code={"nets": "e" * 64}))
    return run.info.run_id


def test_a_trial_that_is_trained_again_keeps_its_run_and_its_failure(
    retried, store, ledger, environment
):
    deliver(store, ledger, environment)

    run = run_of(store, 1)
    assert (run.info.run_id, run.info.status) == (retried, "FINISHED")
    assert run.data.tags[names.STATE_TAG] == "complete"
    assert run.data.tags[names.CODE_TAG] == "e" * 64
    assert "Trained again after a failure: ValueError: lost" in run.data.tags["mlflow.note.content"]
    assert run.data.metrics["val_accuracy"] == run.data.metrics[names.VALUE_METRIC] == 0.99
    history = store.client.get_metric_history(retried, "val_accuracy")
    assert [(m.step, m.value) for m in history] == [(1, 0.1), (1, 0.2), (2, 0.4), (3, 0.99)]
    epochs = json.loads(file_of(store, 1, names.EPOCHS_FILE))
    assert [epoch["metrics"]["val_accuracy"] for epoch in epochs] == [0.2, 0.4, 0.99]
    (earlier,) = json.loads(file_of(store, 1, names.OUTCOME_FILE))["earlier"]
    assert earlier["error"]["message"] == "lost"
    assert (earlier["asked"], earlier["code"]) == (3, {"nets": "b" * 64})
    assert file_of(store, 1, names.ERROR_FILE) == "Traceback\nValueError: lost\n"
    parent = run.data.tags["mlflow.parentRunId"]
    best = store.client.get_metric_history(parent, names.BEST_VALUE_METRIC)
    curve = {m.step: m.value for m in sorted(best, key=lambda m: m.timestamp)}
    assert curve == {0: 1 - math.exp(-4), 1: 0.99, 2: 0.99}


def test_a_delivery_of_a_retry_killed_anywhere_is_gone_on_with(
    retried, root, ledger, environment, contents, generator, tmp_path
):
    def copied(name, moment=None):
        ledger.vacuum()
        shutil.copytree(root, tmp_path / name)
        store = open_store(tmp_path / name)
        if moment is not None:
            with closing(Ledger(tmp_path / name / names.LEDGER)) as there:
                doomed = Doomed(store.client, there, moment)
                with pytest.raises(Killed):
                    deliver(dataclasses.replace(store, client=doomed), there, environment)
        with closing(Ledger(tmp_path / name / names.LEDGER)) as there:
            return steps_of_a_delivery(store, there, environment), contents(store)

    steps, expected = copied("undisturbed")
    for moment in generator.choice(steps, size=6, replace=False):
        assert copied(f"{moment}", moment)[1] == expected, f"before step {moment} of {steps}"


def test_a_trial_that_failed_before_its_first_epoch_has_a_run(store, ledger, trials, environment):
    trials.add(0)
    trials.finish(0, "failed", model=False, error=Failure("OSError", "no data"))

    deliver(store, ledger, environment)

    assert run_of(store, 0).info.status == "FAILED"
    assert json.loads(file_of(store, 0, names.EPOCHS_FILE)) == []
    assert file_of(store, 0, names.ERROR_FILE) == "OSError: no data"


def test_epochs_json_keeps_every_bit_where_mlflow_does_not(store, ledger, trials, environment):
    values = {
        "third": 1 / 3, "inf": math.inf, "minus": -math.inf, "nan": math.nan, "zero": -0.0,
        "tiny": 5e-324,
    }  # fmt: skip
    trials.add(0)
    trials.epoch(0, 1, **values)
    trials.finish(0)

    deliver(store, ledger, environment)

    (entry,) = json.loads(file_of(store, 0, names.EPOCHS_FILE))
    assert {name: entry["metrics"][name].hex() for name in values} == {
        name: value.hex() for name, value in values.items()
    }
    assert run_of(store, 0).data.metrics["inf"] == np.finfo(float).max


def test_a_worker_that_trained_elsewhere_tells_its_own_environment(
    store, ledger, trials, environment
):
    trials.whole(0, environment=Environment(host="far away", blas=Blas(kernel="Zen")))

    deliver(store, ledger, environment)

    written = json.loads(file_of(store, 0, names.ENVIRONMENT_FILE))
    assert written["host"] == "far away"
    assert written["blas"] == {"kernel": "Zen"}
    assert written["python"] == environment.python
    assert written["study"] == {
        "name": "digits", "trial": 0, "metric": "val_accuracy", "direction": "maximize",
        "objective": "nets.objective:objective", "settings": "nets.settings:Settings", "seed": 3,
    }  # fmt: skip


def test_the_best_value_so_far_does_not_depend_on_who_finished_first(
    store, ledger, trials, environment
):
    for number in (0, 1, 2):
        trials.add(number)
        trials.epoch(number, 1)
    trials.finish(2, value=0.9)
    delivery = Delivery(store, ledger, ledger.study("digits"), environment)
    delivery.deliver()
    trials.finish(0, value=0.5)
    trials.finish(1, value=0.4)
    delivery.deliver()

    parent = store.client.get_run(run_of(store, 0).data.tags["mlflow.parentRunId"])
    history = store.client.get_metric_history(parent.info.run_id, names.BEST_VALUE_METRIC)
    assert sorted((m.step, m.value) for m in history) == [(0, 0.5), (1, 0.5), (2, 0.9)]


def test_one_trial_that_cannot_be_delivered_does_not_hold_up_the_others(
    store, ledger, trials, environment, monkeypatch
):
    trials.whole(0)
    trials.whole(1)
    create = trial_run.create

    def refuse_the_first(client, parent, trial, environment):
        if trial.number == 0:
            raise OSError("no room for it")
        return create(client, parent, trial, environment)

    monkeypatch.setattr(trial_run, "create", refuse_the_first)
    failure = Delivery(store, ledger, ledger.study("digits"), environment).deliver()

    assert str(failure) == "no room for it"
    assert run_of(store, 1).info.status == "FINISHED"
    assert ledger.trial("digits", 0).recorded_run is None


def refusing(monkeypatch, refused):
    """Have MLflow refuse the start of some trials; return the numbers of all that it was sent."""
    from mlflow.exceptions import MlflowException

    create, sent = trial_run.create, []

    def create_or_refuse(client, parent, trial, environment):
        sent.append(trial.number)
        created = create(client, parent, trial, environment)
        if trial.number in refused:
            raise MlflowException.invalid_parameter_value("Invalid value \udcff for parameter")
        return created

    monkeypatch.setattr(trial_run, "create", create_or_refuse)
    return sent


def test_trials_that_mlflow_refuses_hold_up_no_other_and_are_not_sent_again(
    store, ledger, trials, environment, monkeypatch
):
    for number in range(4):
        trials.whole(number)
    sent = refusing(monkeypatch, {0, 1, 2})
    delivery = Delivery(store, ledger, ledger.study("digits"), environment)
    assert delivery.deliver() is None
    assert delivery.deliver() is None
    delivery.end("FINISHED")

    assert sent == [0, 1, 2, 3]
    assert "trial 0 was rejected in part (and 2 more): Invalid value" in delivery.problem
    refused, taken = run_of(store, 0), run_of(store, 3)
    assert (refused.info.status, taken.info.status) == ("FINISHED", "FINISHED")
    assert refused.data.tags[names.STATE_TAG] == "incomplete"
    assert r"Invalid value \udcff" in refused.data.tags[names.REFUSED_TAG]
    parent = store.client.get_run(taken.data.tags["mlflow.parentRunId"])
    assert len(store.client.get_metric_history(parent.info.run_id, names.BEST_VALUE_METRIC)) == 4


def test_a_trial_that_was_refused_is_delivered_by_a_later_search_that_can(
    store, ledger, trials, environment, monkeypatch
):
    trials.whole(0)
    refused = {0}
    refusing(monkeypatch, refused)
    assert Delivery(store, ledger, ledger.study("digits"), environment).deliver() is None
    refused.clear()
    deliver(store, ledger, environment)

    tags = run_of(store, 0).data.tags
    assert tags[names.STATE_TAG] == "complete"
    assert names.REFUSED_TAG not in tags
    assert "retrial reproduce 0" in tags["mlflow.note.content"]


def test_what_only_looks_like_an_outage_of_two_trials_holds_up_the_others_once(
    store, ledger, trials, environment, monkeypatch
):
    for number in range(4):
        trials.whole(number)
    create = trial_run.create

    def fail(client, parent, trial, environment):
        if trial.number < 2:
            raise ConnectionError("gone")
        return create(client, parent, trial, environment)

    monkeypatch.setattr(trial_run, "create", fail)
    delivery = Delivery(store, ledger, ledger.study("digits"), environment)
    assert str(delivery.deliver()) == str(delivery.deliver()) == "gone"
    assert [trial.number for trial in ledger.trials("digits", unrecorded=True)] == [0, 1]


def test_the_run_of_a_trial_that_never_was_delivered_does_not_stay_running(
    store, ledger, trials, environment, contents
):
    trials.add(0)
    delivery = Delivery(store, ledger, ledger.study("digits"), environment)
    trial_run.create(store.client, delivery._parent, ledger.trial("digits", 0), environment)
    delivery.end("KILLED")
    assert {run["status"] for run in contents(store).values()} == {"KILLED"}


STRANGE = [
    "cost_$_{per$", "", ".", "..up", "/root", "a//b", "line\n", "x" * 300, "x" * 301, "recall@5",
    "recall#5", "\udcff", "train/loss", "漢字", "value", "value_", "epochs", "seconds", "test_loss",
]  # fmt: skip


def test_metrics_and_settings_of_any_name_are_recorded_and_none_takes_the_place_of_another(
    store, ledger, trials, environment
):
    trials.add(0, layers={name: i for i, name in enumerate(STRANGE)})
    trials.epoch(0, 1, **{name: float(i) for i, name in enumerate(STRANGE)})
    trials.finish(0, value=0.5)

    deliver(store, ledger, environment)

    run = run_of(store, 0)
    usual = {"train_loss", "val_loss", "val_accuracy"}
    own = {names.VALUE_METRIC: 0.5, names.EPOCHS_METRIC: 1.0, names.SECONDS_METRIC: 0.1}
    assert {key: run.data.metrics[key] for key in own} == own
    strange = run.data.metrics.keys() - usual - own.keys()
    assert sorted(run.data.metrics[key] for key in strange) == [*map(float, range(len(STRANGE)))]
    layers = {value for key, value in run.data.params.items() if key.startswith("layers")}
    assert layers == {str(i) for i in range(len(STRANGE))}
    assert names.CURVES_FILE in {f.path for f in store.client.list_artifacts(run.info.run_id)}


def test_texts_that_no_encoding_has_are_recorded_as_escapes(store, ledger, trials, environment):
    error = Failure("OSError", "cannot read \udcff.png")
    trials.add(0, folder="a\udcff\0")
    trials.finish(0, "failed", model=False, error=error, reason="\udcff")

    deliver(store, ledger, environment)

    run = run_of(store, 0)
    assert run.info.status == "FAILED"
    assert run.data.params["folder"] == r"a\udcff\x00"
    assert run.data.tags[names.REASON_TAG] == r"\udcff"
    assert file_of(store, 0, names.ERROR_FILE) == r"OSError: cannot read \udcff.png"


def test_a_run_that_somebody_deleted_stays_deleted(store, ledger, trials, environment):
    trials.add(0)
    trials.epoch(0, 1)
    Delivery(store, ledger, ledger.study("digits"), environment).deliver()
    store.client.delete_run(run_of(store, 0).info.run_id)
    trials.epoch(0, 2)
    trials.finish(0)

    deliver(store, ledger, environment)

    assert store.client.get_run(ledger.trial("digits", 0).recorded_run).info.status == "RUNNING"
    assert ledger.trials("digits", unrecorded=True) == []


def test_a_second_run_that_a_lost_answer_left_is_removed(store, ledger, trials, environment):
    trials.add(0)
    parent = Delivery(store, ledger, ledger.study("digits"), environment)._parent
    trial = ledger.trial("digits", 0)
    first, second = (
        trial_run.create(store.client, parent, trial, environment).info.run_id for _ in "12"
    )

    Delivery(store, ledger, ledger.study("digits"), environment).deliver()

    kept = run_of(store, 0).info.run_id
    assert kept == min(first, second) == ledger.trial("digits", 0).recorded_run


@pytest.mark.parametrize("is_continued", [True, False])
def test_a_run_whose_creation_got_no_answer_is_the_one_that_is_written(
    store, ledger, trials, environment, monkeypatch, is_continued
):
    create = trial_run.create
    created = []

    def create_and_lose_the_answer(*arguments):
        created.append(create(*arguments).info.run_id)
        raise ConnectionError("reset")

    trials.whole(0)
    delivery = Delivery(store, ledger, ledger.study("digits"), environment)
    monkeypatch.setattr(trial_run, "create", create_and_lose_the_answer)
    assert str(delivery.deliver()) == "reset"
    monkeypatch.setattr(trial_run, "create", create)
    if not is_continued:
        delivery.end("KILLED")
        delivery = Delivery(store, ledger, ledger.study("digits"), environment)
    assert delivery.deliver() is None

    run = run_of(store, 0)
    assert [run.info.run_id] == created
    assert (run.info.status, run.data.tags[names.STATE_TAG]) == ("FINISHED", "complete")


def test_a_run_that_was_created_before_its_trial_first_started_is_the_one_that_is_written(
    store, ledger, trials, environment
):
    trials.whole(0)
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET started = NULL")
    study = ledger.study("digits")
    parent = Delivery(store, ledger, study, environment)._parent
    run = trial_run.create(store.client, parent, ledger.trial("digits", 0), environment)
    # The driver is killed before it starts the trial and knows the run; the next one starts it.
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET started = asked + 14")
    assert Delivery(store, ledger, study, environment).deliver() is None
    assert run_of(store, 0).info.run_id == run.info.run_id


def test_trials_that_a_power_cut_took_from_the_ledger_keep_their_runs(
    store, ledger, trials, environment
):
    for number in range(4):
        trials.whole(number)
    deliver(store, ledger, environment)
    before = [run_of(store, number).info.run_id for number in range(4)]
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET recorded_run = NULL, recorded_state = NULL"
                           " WHERE number = 2")  # fmt: skip
        connection.execute("DELETE FROM trial WHERE number = 3")
    trials._now -= 6
    delivery = Delivery(store, ledger, ledger.study("digits"), environment)
    trials.whole(3)
    assert delivery.deliver() is None
    assert [run_of(store, number).info.run_id for number in range(4)] == before


def test_what_the_ledger_calls_recorded_is_on_the_disk(
    store, ledger, trials, environment, monkeypatch
):
    steps = []
    mark, fsync = ledger.mark_recorded, os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: steps.append(os.fstat(file)) or fsync(file))
    monkeypatch.setattr(
        ledger, "mark_recorded", lambda *args, **what: steps.append(what) or mark(*args, **what)
    )
    trials.whole(0)
    deliver(store, ledger, environment)
    log = (store.root / f"{names.MLFLOW_DATABASE}-wal").stat()
    assert all(os.path.samestat(step, log) for step in steps[::2])
    assert [step["state"] for step in steps[1::2]] == ["running", "complete"]


def test_a_finished_trial_takes_few_requests(store, ledger, trials, environment, quick_figures):
    requests = []

    class Counting:
        def __getattr__(self, name):
            requests.append(name)
            return getattr(store.client, name)

    counted = dataclasses.replace(store, client=Counting())
    delivery = Delivery(counted, ledger, ledger.study("digits"), environment)
    trials.whole(0)
    requests.clear()
    assert delivery.deliver() is None
    assert requests == [
        "create_run", "log_inputs",
        "create_logged_model", "finalize_logged_model", "log_outputs",
        "log_batch", "set_terminated",
        "log_batch",  # the best value, for several trials at once
    ]  # fmt: skip


class Killed(BaseException):
    """What SIGKILL would be if it could be caught."""


class Doomed:
    """Counts the calls to what it wraps, and dies before a given one."""

    def __init__(self, client, ledger, at):
        self._client, self._left = client, at
        record = ledger.mark_recorded
        ledger.mark_recorded = lambda *args, **what: self._step(record, *args, **what)

    def __getattr__(self, name):
        return lambda *args, **what: self._step(getattr(self._client, name), *args, **what)

    def _step(self, function, *args, **what):
        if self._left == 0:
            raise Killed
        self._left -= 1
        return function(*args, **what)


@pytest.fixture
def three_trials(trials):
    """A finished trial, a failed one, and one that is open."""
    trials.whole(0, epochs=2)
    error = Failure("ValueError", "x", traceback="ValueError: x")
    trials.whole(1, "failed", epochs=1, model=False, error=error)
    trials.add(2)
    trials.epoch(2, 1)


def steps_of_a_delivery(store, ledger, environment):
    """Return how many calls a whole delivery takes."""
    doomed = Doomed(store.client, ledger, at=10**6)
    deliver(dataclasses.replace(store, client=doomed), ledger, environment)
    return 10**6 - doomed._left


@pytest.fixture
def undisturbed(store, ledger, three_trials, environment, contents, quick_figures, tmp_path):
    """The contents of a store after a delivery that nothing disturbed, and its number of steps.

    The earlier ledger is kept in the folder ``before``.
    """
    before = tmp_path / "before"
    before.mkdir()
    with ledger.transaction() as connection:
        connection.commit()
        connection.execute("VACUUM INTO ?", (str(before / names.LEDGER),))
    steps = steps_of_a_delivery(store, ledger, environment)
    return contents(store), steps, before


def kill_and_go_on(moments, undisturbed, migrated_database, folder, environment, contents):
    """Kill deliveries of the same trials one after another, then let one finish."""
    _, _, before = undisturbed
    folder.mkdir()
    shutil.copyfile(migrated_database, folder / names.MLFLOW_DATABASE)
    shutil.copyfile(before / names.LEDGER, folder / names.LEDGER)
    store = open_store(folder)
    for moment in moments:
        ledger = Ledger(folder / names.LEDGER)
        doomed = dataclasses.replace(store, client=Doomed(store.client, ledger, moment))
        with pytest.raises(Killed):
            deliver(doomed, ledger, environment)
        ledger.close()
    ledger = Ledger(folder / names.LEDGER)
    deliver(store, ledger, environment)
    ledger.close()
    return contents(store)


def test_a_delivery_killed_anywhere_is_gone_on_with_as_if_nothing_had_been(
    undisturbed, migrated_database, tmp_path, environment, contents, generator
):
    expected, steps, _ = undisturbed
    for moment in generator.choice(steps, size=4, replace=False):
        found = kill_and_go_on(
            [moment], undisturbed, migrated_database, tmp_path / f"{moment}", environment, contents
        )
        assert found == expected, f"killed before step {moment} of {steps}"


def test_a_delivery_killed_again_and_again_doubles_nothing(
    undisturbed, migrated_database, tmp_path, environment, contents, generator
):
    expected, _, _ = undisturbed
    moments = generator.integers(1, 12, size=6)
    found = kill_and_go_on(
        moments, undisturbed, migrated_database, tmp_path / "again", environment, contents
    )
    assert found == expected, f"killed at {moments}"


@pytest.mark.slow
def test_a_delivery_killed_at_each_single_step_is_gone_on_with(
    undisturbed, migrated_database, tmp_path, environment, contents
):
    expected, steps, _ = undisturbed
    for moment in range(steps):
        found = kill_and_go_on(
            [moment], undisturbed, migrated_database, tmp_path / f"{moment}", environment, contents
        )
        assert found == expected, f"killed before step {moment} of {steps}"
