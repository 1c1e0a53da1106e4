"""An objective in the simple form: what its trial reports, returns, resumes and refuses."""

import dataclasses
import hashlib
import math

import plain_functions
import pytest

from nets import data
from nets.state import pack, unpack
from studies.workers.attempt import run
from studies.workers.messages import EpochDone, Job, TrialDone, TrialStopped


def job(name, *, module="plain_functions", **changes):
    values = {"settings": {"x": 0.25, "seed": 7}, "checkpoint_seconds": math.inf, **changes}
    return Job(
        trial=3, attempt=1, objective=f"{module}:{name}", settings_class=None, data=None,
        pruning=None, metric="loss", **values,
    )  # fmt: skip


def events_of(job, stop_after=None):
    events = []
    run(job, events.append, lambda: stop_after is not None and len(events) >= stop_after - 1)
    return events


def trained(name, **changes):
    """The metrics of each epoch of a function, and the end of its trial."""
    *epochs, end = events_of(job(name, **changes))
    assert isinstance(end, TrialDone)
    return [epoch.metrics for epoch in epochs], end


@pytest.mark.parametrize(
    ("name", "metrics", "epoch"),
    [
        ("pure", [{"loss": (0.25 - 0.3) ** 2}], 1),
        ("several", [{"loss": 0.25, "other": 0.5}], 1),
        ("best", [{"loss": 1}, {"loss": 0}, {"loss": 1}, {"loss": 2}], 2),
        ("broken_off", [{"loss": 1}, {"loss": 2}, {"loss": 3}], 3),
        ("merged", [{"loss": 0.25, "other": 0.25}] * 2, 2),
    ],
)
def test_what_a_function_reports_and_returns_is_its_trial(name, metrics, epoch):
    found, end = trained(name)
    assert found == metrics
    assert (end.state, end.outcome.epoch) == ("complete", epoch)
    assert end.outcome.value == metrics[epoch - 1]["loss"]


@pytest.mark.parametrize(
    ("name", "epochs", "files"),
    [("pruned", 1, {"kept.txt": b"kept"}), ("pruned_by_optuna", 2, {})],
)
def test_a_function_may_prune_its_trial_after_an_epoch(name, epochs, files):
    found, end = trained(name)
    assert len(found) == epochs
    assert (end.state, end.outcome.epoch, end.files) == ("pruned", epochs, files)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nothing",
            "the objective returned None and reported nothing, expected a number or "
            "trial.report(loss=...)",
        ),
        ("text", "the returned value: got 'text', expected a number"),
        (
            "other",
            "the objective returned 2.0, which is no loss that it reported, expected nothing or "
            "the value of the epoch that counts",
        ),
        (
            "both",
            "the objective returned metrics and reported epochs, expected one of the two",
        ),
        ("twice", "trial.report: loss was reported twice in an epoch"),
        (
            "unreported",
            "epoch 1 ended without a report, expected trial.report(loss=...) in each",
        ),
        (
            "bad_state",
            "state.user[0].set: got set, expected dicts, lists, tuples, numbers, strings, bytes, "
            "arrays and None",
        ),
        (
            "bad_object",
            "trial.epochs: got an object of type object, expected objects with state_dict and "
            "load_state_dict, scikit-learn estimators, NumPy generators, dicts and lists",
        ),
        ("loops", "trial.epochs was called twice, expected one loop over the epochs"),
        (
            "threaded",
            "trial.report was called in another thread, expected the one that runs the objective",
        ),
        ("too_large", "trial.folder: got 200,000,000 bytes, expected at most 100,000,000"),
        ("no_number", "loss: got [1.0, 2.0], expected a number"),
        ("no_metric", "trial.report: got no metric, expected loss=..."),
        ("pruned_early", "the objective pruned its trial before it reported an epoch"),
    ],
)
def test_what_is_wrong_fails_the_trial_in_one_sentence(name, message):
    _, end = trained(name)
    assert (end.state, end.outcome.error.message) == ("failed", message)


@pytest.mark.parametrize(
    ("name", "place"),
    [("nothing", "plain_functions:nothing"), ("twice", "plain_functions.py:")],
)
def test_the_place_of_what_is_wrong_is_in_the_objective(name, place):
    _, end = trained(name)
    assert place in end.outcome.error.place


def test_the_global_generators_follow_from_the_seed_and_the_epoch():
    first, _ = trained("drawn")
    again, _ = trained("drawn")
    assert first == again
    assert len({epoch["loss"] for epoch in first}) == len(first)
    other, _ = trained("drawn", settings={"x": 0.25, "seed": 8})
    assert not {epoch["loss"] for epoch in first} & {epoch["loss"] for epoch in other}


def test_the_seed_of_a_trial_fits_every_library():
    found, _ = trained("drawn", settings={"x": 0.25, "seed": 2**63 - 1})
    assert found[0]["seed"] == 2**31 - 1


@pytest.mark.parametrize("name", ["walk", "callback"])
@pytest.mark.parametrize("after", [1, 3])
def test_a_trial_continues_from_its_state_with_equal_epochs(name, after):
    whole = events_of(job(name))
    first = events_of(job(name), stop_after=after)
    assert isinstance(first[-1], TrialStopped)
    checkpoint = next(e for e in reversed(first) if isinstance(e, EpochDone))
    assert checkpoint.number == after
    past = {e.number: e.metrics["loss"] for e in first[:-1]}
    rest = events_of(job(name, state=checkpoint.state, past=past))
    metrics = [[e.metrics for e in events[:-1]] for events in (whole, first, rest)]
    assert metrics[0] == metrics[1] + metrics[2]
    assert rest[-1] == whole[-1]
    if name == "walk":
        assert whole[-1].files == {"path.txt": b"1 2 3 4 5 6 "}


def test_a_function_without_state_starts_again():
    first = events_of(job("drawn"), stop_after=2)
    assert [event.state for event in first[:-1]] == [None, None]


def test_a_changed_number_of_objects_is_refused(monkeypatch):
    (*_, epoch, _) = events_of(job("walk"), stop_after=1)
    state = unpack(epoch.state)
    state["user"].pop()
    _, end = trained("walk", state=pack(state), past={1: 0.0})
    assert end.outcome.error.message == (
        "trial.epochs: got 3 objects, expected 2, as before the interruption"
    )


@pytest.mark.parametrize("name", ["../outside.txt", "{}/outside.txt", "a/../../outside.txt"])
def test_a_state_from_elsewhere_writes_nothing_outside_the_folder(name, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (*_, epoch, _) = events_of(job("walk"), stop_after=1)
    state = unpack(epoch.state)
    state["files"] = {name.format(tmp_path): b"x"}
    _, end = trained("walk", state=pack(state), past={1: 0.0})
    assert end.outcome.error.message.startswith("state: a damaged training state (files ")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "value"),
    [("epoch", "x"), ("values", [1]), ("values", {"x": 1}), ("model", {"x": 1}), ("files", 3),
     ("files", {"a": "string"}), ("user", None), ("inputs", 3)],
)  # fmt: skip
def test_a_state_of_wrong_types_is_named_as_damaged(key, value):
    (*_, epoch, _) = events_of(job("walk"), stop_after=1)
    _, end = trained("walk", state=pack({**unpack(epoch.state), key: value}), past={1: 0.0})
    assert end.outcome.error.message.startswith("state: a damaged training state (")


def test_a_function_gets_its_dataset(tmp_path):
    digits = data.load("digits", tmp_path)
    settings = {"x": 0.25, "seed": 7, "data": "digits", "validation": 360, "split_seed": 0}
    one = job("with_data", settings=settings)
    found = []
    run(dataclasses.replace(one, data=str(digits.path)), found.append, lambda: False)
    assert found[0].metrics == {"loss": len(digits.images)}


def test_the_folder_of_a_trial_is_removed():
    seen = []

    def objective(trial, x=0.0):
        seen.append(trial.folder)
        return x

    plain_functions.seen = objective
    trained("seen")
    del plain_functions.seen
    assert not seen[0].exists()


def test_files_that_decide_a_result_are_recorded_with_the_epoch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table, image = tmp_path / "table.csv", tmp_path / "images" / "a" / "1.png"
    table.write_text("1,2")
    image.parent.mkdir(parents=True)
    image.write_bytes(b"png")

    def digests():
        first, second, _ = events_of(job("reads_files", checkpoint_seconds=0))
        (continued, _) = events_of(job("reads_files", state=first.state, past={1: 0.0}))
        assert second.digests == continued.digests == {}
        return first.digests

    before = digests()
    assert before.keys() == {"input table.csv", "input images"}
    assert before["input table.csv"] == hashlib.sha256(b"1,2").hexdigest()
    table.write_text("1,2,3")
    assert digests() == {**before, "input table.csv": hashlib.sha256(b"1,2,3").hexdigest()}
    image.rename(image.with_name("2.png"))
    assert digests()["input images"] != before["input images"]
    first, *_ = events_of(job("reads_files", checkpoint_seconds=0))
    table.write_text("1")
    (continued, _) = events_of(job("reads_files", state=first.state, past={1: 0.0}))
    assert continued.digests == {"input table.csv": hashlib.sha256(b"1").hexdigest()}
    table.unlink()
    (end,) = events_of(job("reads_files"))
    assert end.outcome.error.type == "FileNotFoundError"
