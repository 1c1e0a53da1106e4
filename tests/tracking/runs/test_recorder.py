"""The thread that follows the ledger, through outages and the death of its process."""

import dataclasses
import shutil
import signal
import sys
import threading

import pytest
from programs import run_to_end
from waiting import PATIENCE

from nets.errors import InputError
from tracking.maintenance import deletion
from tracking.runs import recorder
from tracking.runs.recorder import Recorder
from tracking.store import names


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Deliver without the pauses that spare a real server."""
    monkeypatch.setattr(recorder, "INTERVAL", 0.01)
    monkeypatch.setattr(recorder, "LONGEST_PAUSE", 0.02)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def record(ledger, root, environment):
    """Start a recorder; one that a test does not finish is stopped afterwards."""
    started = []

    def record():
        one = Recorder(ledger.path, root, "digits", environment)
        one.start()
        one.wait_until_open()
        started.append(one)
        return one

    yield record
    for one in started:
        one.finish("stopped", patience=0)


def statuses(contents):
    return {name: run["status"] for name, run in contents.items()}


def test_what_happens_while_it_runs_is_in_mlflow_when_it_has_finished(
    record, trials, store, contents
):
    one = record()
    trials.whole(0)
    one.notify()
    trials.whole(1, "pruned", epochs=2)
    one.finish("finished")

    found = contents(store)
    assert one.problem is None
    assert statuses(found) == dict.fromkeys(
        ["study digits", "trial 0000", "trial 0001"], "FINISHED"
    )
    assert [step for step, *_ in found["trial 0000"]["metrics"]["val_loss"]] == [1, 2, 3, 4]


def test_curves_grow_while_a_trial_trains(record, trials, store, contents, until):
    one = record()
    trials.add(0)
    trials.epoch(0, 1)
    one.notify()
    until(lambda: trials.ledger.trial("digits", 0).recorded_epoch == 1)

    found = contents(store)
    assert statuses(found) == dict.fromkeys(["study digits", "trial 0000"], "RUNNING")
    assert found["trial 0000"]["metrics"]["val_loss"] == [(1, "1.1", 1700000002000)]


@pytest.mark.parametrize(
    ("end", "status"), [("finished", "FINISHED"), ("stopped", "KILLED"), ("failed", "FAILED")]
)
def test_the_end_of_a_search_ends_the_studys_run(record, trials, store, contents, end, status):
    trials.add(0)
    record().finish(end)
    assert statuses(contents(store)) == {"study digits": status, "trial 0000": "KILLED"}


def test_a_recorder_that_is_stopped_leaves_the_rest_to_the_next_one(
    record, trials, store, contents
):
    one = record()
    for number in range(5):
        trials.whole(number)
    one.finish("finished", waiting=one.stop)
    rest = trials.ledger.trials("digits", unrecorded=True)
    assert one.problem in (None, f"MLflow: it lacks {len(rest)} of 5 trials")
    assert (one.problem is None) == (rest == [])
    one = record()
    one.finish("finished")
    assert one.problem is None
    assert statuses(contents(store)) == dict.fromkeys(
        ["study digits", *(f"trial {number:04d}" for number in range(5))], "FINISHED"
    )


def test_a_recorder_that_is_stopped_before_it_delivers_ends_the_study_as_killed(
    record, trials, store, contents
):
    one = record()
    one.stop()
    for number in range(3):
        trials.whole(number)
    one.finish("finished")
    assert one.problem == "MLflow: it lacks 3 of 3 trials"
    assert statuses(contents(store)) == {"study digits": "KILLED"}


def test_a_store_that_cannot_be_opened_stops_the_start(ledger, root, environment):
    (root / names.MLFLOW_DATABASE).write_bytes(b"this is no database" * 100)
    one = Recorder(ledger.path, root, "digits", environment)
    one.start()
    with pytest.raises(InputError, match=r"store: cannot open .*expected a folder"):
        one.wait_until_open()
    one.finish("failed")
    assert "cannot open" in one.problem


def test_a_study_that_the_ledger_does_not_have_stops_the_start(ledger, root, environment):
    one = Recorder(ledger.path, root, "digit", environment)
    one.start()
    with pytest.raises(InputError, match=r"study: no study 'digit' in .*; did you mean 'digits'"):
        one.wait_until_open()
    one.finish("failed")


def test_a_deleted_experiment_stops_the_start(record, ledger, root, environment, store):
    record().finish("finished")
    experiment = store.client.get_experiment_by_name("digits").experiment_id
    store.client.delete_experiment(experiment)
    one = Recorder(ledger.path, root, "digits", environment)
    one.start()
    with pytest.raises(InputError, match="has been deleted; restore it"):
        one.wait_until_open()
    one.finish("failed")


class Unsteady:
    """A client whose server can be gone."""

    def __init__(self, client):
        self._client = client
        self.is_up = True
        self.refused = threading.Event()

    def __getattr__(self, name):
        def call(*args, **what):
            if not self.is_up:
                self.refused.set()
                raise ConnectionError("http://me:secret@host:5000 is gone\nand stays so")
            return getattr(self._client, name)(*args, **what)

        return call


@pytest.fixture
def unsteady(store, monkeypatch):
    """The client through which the recorder sees MLflow."""
    client = Unsteady(store.client)
    opened = dataclasses.replace(store, client=client)
    monkeypatch.setattr(recorder, "open_store", lambda _: opened)
    return client


def test_an_outage_delays_the_record_and_changes_nothing_in_it(
    record, trials, store, unsteady, contents
):
    one = record()
    trials.add(0)
    trials.epoch(0, 1)
    unsteady.is_up = False
    trials.epoch(0, 2)
    trials.finish(0)
    trials.whole(1)
    one.notify()
    assert unsteady.refused.wait(PATIENCE)
    unsteady.is_up = True
    one.finish("finished")

    found = contents(store)
    assert one.problem is None
    assert set(statuses(found).values()) == {"FINISHED"}
    assert [step for step, *_ in found["trial 0000"]["metrics"]["val_loss"]] == [1, 2]
    assert [step for step, *_ in found["trial 0001"]["metrics"]["val_loss"]] == [1, 2, 3, 4]


def test_an_outage_at_the_start_does_not_end_the_search(record, trials, store, unsteady, contents):
    unsteady.is_up = False
    one = record()  # returns during the outage
    assert one.problem == "MLflow: http://host:5000 is gone and stays so"
    trials.whole(0)
    unsteady.is_up = True
    one.finish("finished")
    assert one.problem is None
    assert set(statuses(contents(store)).values()) == {"FINISHED"}


def test_a_store_that_refuses_after_an_outage_at_the_start_is_reported(
    trials, store, unsteady, ledger, root, environment
):
    store.client.create_experiment("digits")
    experiment = store.client.get_experiment_by_name("digits").experiment_id
    store.client.delete_experiment(experiment)
    unsteady.is_up = False
    one = Recorder(ledger.path, root, "digits", environment)
    one.start()
    one.wait_until_open()
    unsteady.is_up = True
    one.finish("finished")
    assert "has been deleted; restore it" in one.problem


def test_runs_that_mlflow_has_lost_are_recorded_again(record, trials, store, contents):
    trials.whole(0)
    trials.whole(1, "pruned")
    record().finish("finished")
    before = contents(store)
    lost = trials.ledger.trial("digits", 0).recorded_run
    deletion.remove_runs(store, [store.client.get_run(lost)])
    shutil.rmtree(store.root / names.ARTIFACTS / trials.ledger.trial("digits", 1).recorded_run)

    one = record()
    one.finish("finished")
    assert one.notice.startswith("MLflow had lost trials that it had before (0 to 1)")
    after = contents(store)
    for name in ("trial 0000", "trial 0001"):
        assert after[name]["metrics"] == before[name]["metrics"]
        assert after[name]["files"] == before[name]["files"]
        assert after[name]["params"] == before[name]["params"]
    quiet = record()
    quiet.finish("finished")
    assert quiet.notice is None


def test_an_outage_is_reported_in_one_line_without_passwords(record, trials, unsteady, until):
    one = record()
    unsteady.is_up = False
    trials.add(0)
    until(lambda: one.problem is not None)
    assert one.problem == "MLflow: http://host:5000 is gone and stays so"


def test_what_mlflow_refuses_is_reported_and_does_not_delay_the_search(
    record, trials, store, monkeypatch, contents
):
    def refuse(*_):
        raise ValueError("surrogates not allowed")

    monkeypatch.setattr("tracking.runs.delivery.write_inputs", refuse)
    trials.whole(0)
    trials.whole(1)
    one = record()
    one.finish("finished", patience=600)

    problem = "MLflow: trial 0 was rejected in part (and 1 more): surrogates not allowed"
    assert one.problem == problem
    assert set(statuses(contents(store)).values()) == {"FINISHED"}


def test_what_an_outage_keeps_back_is_delivered_by_the_next_recorder(
    record, trials, store, unsteady, contents
):
    one = record()
    unsteady.is_up = False
    trials.whole(0)
    one.finish("finished", patience=0.1)
    assert one.problem is not None
    assert trials.ledger.trial("digits", 0).recorded_state is None

    unsteady.is_up = True
    record().finish("finished")
    assert set(statuses(contents(store)).values()) == {"FINISHED"}


# Records in another process and kills it before the n-th request to MLflow.
DOOMED = """
import os, signal, sys
from pathlib import Path
from mlflow import MlflowClient
from tracking.records import Environment
from tracking.runs.recorder import Recorder

root, left = Path(sys.argv[1]), [int(sys.argv[2])]

def doomed(function):
    def call(*args, **what):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **what)
    return call

for name in ("create_run", "log_batch", "log_artifacts", "log_model_artifacts", "set_terminated",
             "create_logged_model", "finalize_logged_model", "log_outputs", "update_run"):
    setattr(MlflowClient, name, doomed(getattr(MlflowClient, name)))
recorder = Recorder(root / "ledger.db", root, "digits", Environment())
recorder.start()
recorder.wait_until_open()
recorder.finish("finished")
"""


@pytest.mark.slow
def test_a_process_killed_by_sigkill_is_followed_by_one_that_completes_the_record(
    trials, root, store, record, contents, generator
):
    for number, state in enumerate(["complete", "pruned", "failed"]):
        trials.whole(number, state, model=state != "failed")
    moments = generator.integers(3, 12, size=5)
    for moment in moments:
        process = run_to_end([sys.executable, "-c", DOOMED, root, moment])
        assert process.returncode == -signal.SIGKILL
    record().finish("finished")

    found = contents(store)
    assert statuses(found) == {
        "study digits": "FINISHED",
        "trial 0000": "FINISHED",
        "trial 0001": "FINISHED",
        "trial 0002": "FAILED",
    }
    for name in ("trial 0000", "trial 0001", "trial 0002"):
        run = found[name]
        assert [step for step, *_ in run["metrics"]["val_loss"]] == [1, 2, 3, 4], moments
        assert len(run["metrics"][names.EPOCHS_METRIC]) == 1
        assert len(run["models"]) == (name != "trial 0002")
        assert all(model["is an output"] for model in run["models"])
    assert trials.ledger.trials("digits", unrecorded=True) == []
