"""One attempt at one trial, run in this process: which events it sends, and never an exception."""

import dataclasses
import errno
import hashlib
import importlib
import json
import math
import os
import sys

import numpy as np
import optuna
import pytest

from nets.errors import InputError
from nets.outcome import Epoch, Model, Outcome
from nets.state import unpack
from studies.confirmation.batch import train
from studies.definition import pruners
from studies.workers.attempt import dataset, run
from studies.workers.messages import (
    EpochDone,
    Job,
    PruningContext,
    Result,
    TrialDone,
    TrialStopped,
    WorkerCrashed,
)
from tracking.records import Direction, PruneReason

GOOD = [Result("complete", 1.0, dict.fromkeys(range(1, 7), 1.0), {}) for _ in range(5)]


def job(objective="curves:climb", pruning=None, settings=None, **changes):
    return Job(
        trial=5, attempt=2, objective=objective, settings_class="curves:Curve",
        settings={"epochs": 6, "seed": 1, **(settings or {})}, data=None, pruning=pruning,
        metric="value", checkpoint_seconds=math.inf, **changes,
    )  # fmt: skip


def median(past=None, history=GOOD):
    pruner = pruners.build(pruners.Median(startup_trials=2), 6)
    return PruningContext(
        "curves", Direction.MAXIMIZE, pruner, 9, len(history), history, past=past or {}
    )


def events_of(job, stop_after=None):
    """All events of a job, stopped after an epoch if asked to."""
    events = []
    run(job, events.append, lambda: stop_after is not None and len(events) >= stop_after - 1)
    assert all((event.trial, event.attempt) == (5, 2) for event in events)
    return events


def written_here(monkeypatch, function):
    """A job whose objective is a function of this test."""
    import curves

    monkeypatch.setattr(curves, "here", function, raising=False)
    return job("curves:here")


def failure_of(job):
    *_, end = events_of(job)
    assert isinstance(end, TrialDone)
    assert (end.state, end.model) == ("failed", None)
    return end.outcome.error


def test_complete_trial_sends_its_epochs_in_order_and_its_outcome():
    *epochs, end = events_of(job())
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5, 6]
    assert all(isinstance(epoch, EpochDone) and epoch.state is None for epoch in epochs)
    assert (end.state, end.outcome.reason, end.outcome.epoch) == ("complete", "finished", 6)
    assert end.outcome.value == epochs[-1].metrics["value"]
    assert end.model.unpacked().arrays["trace"].shape == (4,)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Writes a module in a folder on Python's path, as its only content; returns its digest."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, text):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return hashlib.sha256(text.encode()).hexdigest()

    return write


def test_a_trial_sends_what_its_process_has_imported_whenever_that_changes(elsewhere, monkeypatch):
    first, second = elsewhere("sample_first", "x = 1"), elsewhere("sample_second", "x = 2")

    def objective(settings, data, report):
        for number in range(1, 5):
            if number == 1:
                import sample_first  # noqa: F401
            if number == 3:
                import sample_second  # noqa: F401
            report(Epoch(number, {"value": 1.0}, 0.1))
        return Outcome(4)

    sent = [
        None if event.imported is None else {
            name: event.imported[name] for name in event.imported if name.startswith("sample_")
        }
        for event in events_of(
            dataclasses.replace(written_here(monkeypatch, objective), own_modules=("curves",))
        )
    ]  # fmt: skip
    one = {"sample_first.py": first}
    assert sent == [one, None, {**one, "sample_second.py": second}, None, None]


def test_an_error_in_reading_what_was_imported_is_no_failure(monkeypatch):
    monkeypatch.setattr("tracking.provenance.imported.files", lambda _: 1 / 0)
    *epochs, end = events_of(dataclasses.replace(job(), own_modules=("curves",)))
    assert (end.state, {event.imported for event in [*epochs, end]}) == ("complete", {None})


def test_our_own_objective_imports_nothing_else():
    assert {event.imported for event in events_of(job())} == {None}


def test_pruned_trial_ends_with_the_reason_and_keeps_its_model():
    epoch, end = events_of(job(pruning=median()))
    assert (end.state, end.outcome.reason, end.outcome.epoch) == ("pruned", "pruned", 1)
    assert end.outcome.pruned == PruneReason("median", 1, epoch.metrics["value"], 1.0)
    assert end.model is not None


def test_pruned_epoch_leaves_no_checkpoint():
    """Or a worker killed just then would continue a trial that has been pruned."""
    kept = dataclasses.replace(job(pruning=median()), checkpoint_seconds=0.0)
    epoch, end = events_of(kept)
    assert epoch.state is None
    assert end.state == "pruned"


def test_a_trial_stops_at_the_end_of_its_epoch_with_a_checkpoint():
    *epochs, end = events_of(job(), stop_after=2)
    assert [epoch.state is not None for epoch in epochs] == [False, True]
    assert end == TrialStopped(5, 2)


def test_a_trial_pruned_at_a_stop_is_pruned():
    *_, end = events_of(job(pruning=median()), stop_after=1)
    assert end.state == "pruned"


def test_trial_continues_from_a_checkpoint_bit_by_bit():
    whole = events_of(job())
    for stop in range(1, 6):
        first = events_of(job(), stop_after=stop)[:-1]
        past = {epoch.number: epoch.metrics["value"] for epoch in first}
        rest = events_of(job(state=first[-1].state, past=past))
        assert [epoch.number for epoch in rest[:-1]] == list(range(stop + 1, 7))
        assert [dataclasses.replace(e, state=None) for e in first] + rest[:-1] == whole[:-1]
        assert rest[-1].outcome == whole[-1].outcome


def test_trial_that_continues_after_its_last_epoch_only_ends():
    whole = events_of(dataclasses.replace(job(), checkpoint_seconds=0.0))
    past = {epoch.number: epoch.metrics["value"] for epoch in whole[:-1]}
    (end,) = events_of(job(state=whole[-2].state, past=past))
    assert end.outcome == whole[-1].outcome


def test_checkpoints_are_sent_no_more_often_than_asked(monkeypatch):
    clock = iter(np.arange(0.0, 100.0, 5.0))
    monkeypatch.setattr("studies.workers.attempt.time.monotonic", lambda: next(clock))
    kept = dataclasses.replace(job(), checkpoint_seconds=8.0)
    *epochs, _ = events_of(kept)
    with_state = [epoch for epoch in epochs if epoch.state is not None]
    assert 0 < len(with_state) < len(epochs)
    assert [unpack(epoch.state)["epoch"] for epoch in with_state] == [e.number for e in with_state]


def test_objective_without_resume_has_neither_checkpoint_nor_model():
    kept = dataclasses.replace(job("curves:climb_from_the_start"), checkpoint_seconds=0.0)
    *epochs, end = events_of(kept)
    assert all(epoch.state is None for epoch in epochs)
    assert (end.state, end.model) == ("complete", None)


def test_a_state_too_large_for_the_ledger_is_not_a_checkpoint(monkeypatch):
    """The trial goes on: when a checkpoint is due is the machine's affair, how it ends is not."""
    monkeypatch.setattr("studies.workers.attempt.MOST_BYTES", 10)
    *epochs, end = events_of(dataclasses.replace(job(), checkpoint_seconds=0.0))
    assert all(epoch.state is None for epoch in epochs)
    assert end.state == "complete"


def test_a_state_that_cannot_be_restored_is_not_a_checkpoint(monkeypatch):
    def forgetful(settings, data, report):
        report(Epoch(1, {"value": 0.5}, 0.0, state=lambda: {"epoch": 1}))
        return Outcome(1)

    kept = dataclasses.replace(written_here(monkeypatch, forgetful), checkpoint_seconds=0.0)
    epoch, _ = events_of(kept)
    assert epoch.state is None


def test_pruned_trial_of_an_objective_without_outcomes_is_valued_at_its_last_epoch():
    epoch, end = events_of(job("curves:climb_from_the_start", pruning=median()))
    assert (end.state, end.outcome.epoch, end.model) == ("pruned", 1, None)
    assert end.outcome.value == epoch.metrics["value"]


def test_objective_that_prunes_itself_is_pruned_and_no_pruner_is_blamed(monkeypatch):
    def gives_up(settings, data, report):
        report(Epoch(1, {"value": 0.5}, 0.0))
        report(Epoch(2, {"value": 0.25}, 0.0))
        raise optuna.TrialPruned("enough")

    *epochs, end = events_of(written_here(monkeypatch, gives_up))
    assert [epoch.number for epoch in epochs] == [1, 2]
    outcome = end.outcome
    assert (end.state, outcome.reason, outcome.value, outcome.epoch) == (
        "pruned",
        "pruned",
        0.25,
        2,
    )
    assert outcome.pruned is None


def test_objective_that_prunes_itself_before_its_first_epoch_fails_where_it_did(monkeypatch):
    def gives_up(settings, data, report):
        raise optuna.TrialPruned

    failure = failure_of(written_here(monkeypatch, gives_up))
    assert failure.summary == (
        "RuntimeError: the objective pruned its trial before it reported an epoch"
    )
    assert failure.place.startswith(f"{__file__}:")


def test_an_exception_is_reported_with_type_place_and_traceback():
    error = failure_of(job(settings={"fault": "always"}))
    assert (error.type, error.message) == (
        "ZeroDivisionError", "a mistake in the objective",
    )  # fmt: skip
    assert error.place.rpartition(":")[0].endswith("curves.py")
    assert "in climb" in error.traceback


def test_objective_that_leaves_python_fails_its_trial_only():
    assert failure_of(job(settings={"fault": "exit", "seed": 3})).type == "SystemExit"


def test_objective_that_catches_everything_is_pruned_all_the_same(monkeypatch):
    def stubborn(settings, data, report):
        for number in range(1, 7):
            try:
                report(Epoch(number, {"value": 0.0}, 0.0))
            except Exception:
                continue
        return Outcome(6)

    trial = dataclasses.replace(written_here(monkeypatch, stubborn), pruning=median())
    *_, end = events_of(trial)
    assert (end.state, end.outcome.epoch) == ("pruned", 1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_value_that_is_not_finite_ends_as_diverged(monkeypatch, value):
    def diverging(settings, data, report):
        report(Epoch(1, {"value": value}, 0.0))
        return Outcome(1)

    *_, end = events_of(written_here(monkeypatch, diverging))
    assert (end.state, end.outcome.reason) == ("pruned", "diverged")
    assert repr(end.outcome.value) == repr(value)


def test_diverged_trial_is_tagged_so_even_where_the_pruner_ended_it(monkeypatch):
    def diverging(settings, data, report):
        report(Epoch(1, {"value": math.nan}, 0.0, outcome=lambda: Outcome(1, "diverged")))

    trial = dataclasses.replace(written_here(monkeypatch, diverging), pruning=median())
    *_, end = events_of(trial)
    assert (end.state, end.outcome.reason) == ("pruned", "diverged")
    assert end.outcome.pruned is None


def test_value_is_that_of_the_epoch_whose_weights_are_kept(monkeypatch):
    def early(settings, data, report):
        for number, value in enumerate([0.1, 0.7, 0.3], start=1):
            report(Epoch(number, {"value": value}, 0.0))
        return Outcome(2, "early stopping")

    *_, end = events_of(written_here(monkeypatch, early))
    assert (end.state, end.outcome.value, end.outcome.epoch) == ("complete", 0.7, 2)
    assert end.outcome.reason == "early stopping"


def test_metrics_arrive_as_plain_floats(monkeypatch):
    def of_numpy(settings, data, report):
        report(Epoch(np.int64(1), {"value": np.float32(0.5), "hits": 3}, np.float32(0.25)))
        return Outcome(np.int64(1))

    epoch, end = events_of(written_here(monkeypatch, of_numpy))
    assert [type(v) for v in (*epoch.metrics.values(), epoch.seconds)] == [float, float, float]
    assert epoch.metrics == {"value": 0.5, "hits": 3.0}
    assert [type(number) for number in (epoch.number, end.outcome.epoch)] == [int, int]


A_STRING = "expected a string of at most 250 characters that UTF-8 can hold"


def after_an_epoch(report, outcome):
    report(Epoch(1, {"value": 1.0}, 0.0))
    return outcome


def speechless():
    class Speechless(Exception):
        def __str__(self):
            return self.no_such_thing

    raise Speechless


MISTAKES = {
    "no epoch": (lambda report: Outcome(1), "the objective reported no epoch"),
    "epoch 0": (
        lambda report: report(Epoch(0, {"value": 1.0}, 0.0)),
        "report: got epoch 0, expected the next one: 1",
    ),
    "an epoch twice": (
        lambda report: [report(Epoch(1, {"value": 1.0}, 0.0)) for _ in range(2)],
        "report: got epoch 1, expected the next one: 2",
    ),
    "another metric": (
        lambda report: report(Epoch(1, {"accuracy": 1.0, "loss": 2.0}, 0.0)),
        "study.metric: the objective does not report 'value', expected one of its metrics: "
        "accuracy, loss",
    ),
    "no metric": (
        lambda report: report(Epoch(1, {}, 0.0)),
        "study.metric: the objective does not report 'value', expected one of its metrics: "
        "it has none",
    ),
    "no outcome": (
        lambda report: report(Epoch(1, {"value": 1.0}, 0.0)),
        "the objective returned None, expected an Outcome",
    ),
    "an epoch nobody saw": (
        lambda report: [report(Epoch(1, {"value": 1.0}, 0.0)), Outcome(7)][1],
        "Outcome.epoch: got 7, expected the number of a reported epoch: 1 to 1",
    ),
    "a model of objects": (
        lambda report: [
            report(Epoch(1, {"value": 1.0}, 0.0)),
            Outcome(1, model=Model("", {"w": np.array([None])})),
        ][1],
        "Model.arrays: w has the type object, expected numbers",
    ),
    "a name that is none": (
        lambda report: report(Epoch(1, {"value": 1.0, 3: 1.0}, 0.0)),
        f"report: name of metrics: got 3, {A_STRING}",
    ),
    "a name without end": (
        lambda report: report(Epoch(1, {"value": 1.0, "x" * 251: 1.0}, 0.0)),
        f"report: name of metrics: got {('x' * 251)!r:.100}, {A_STRING}",
    ),
    "a metric that is no number": (
        lambda report: report(Epoch(1, {"value": 1.0, "loss": "small"}, 0.0)),
        "report: metric loss: got 'small', expected a number",
    ),
    "metrics without end": (
        lambda report: report(Epoch(1, dict.fromkeys(map(str, range(1001)), 1.0), 0.0)),
        "report: got 1001 metrics, expected at most 1,000",
    ),
    "a digest of bytes": (
        lambda report: report(Epoch(1, {"value": 1.0}, 0.0, {"weights": b"x"})),
        f"report: digest weights: got b'x', {A_STRING}",
    ),
    "a digest of NumPy": (
        lambda report: report(Epoch(1, {"value": 1.0}, 0.0, {"weights": np.int64(3)})),
        f"report: digest weights: got np.int64(3), {A_STRING}",
    ),
    "seconds that are none": (
        lambda report: report(Epoch(1, {"value": 1.0}, math.nan)),
        "report: seconds: got nan, expected a number of at least 0",
    ),
    "seconds backwards": (
        lambda report: report(Epoch(1, {"value": 1.0}, -1.0)),
        "report: seconds: got -1.0, expected a number of at least 0",
    ),
    "a reason that is no text": (
        lambda report: after_an_epoch(report, Outcome(1, reason=["tired"])),
        f"Outcome.reason: got ['tired'], {A_STRING}",
    ),
    "a source that is no text": (
        lambda report: after_an_epoch(report, Outcome(1, model=Model("\udcff", {}))),
        "Model.source: got '\\udcff', expected a string of at most 900,000,000 characters that "
        "UTF-8 can hold",
    ),
    "a model beyond a row": (
        lambda report: after_an_epoch(
            report, Outcome(1, model=Model("", {"w": np.broadcast_to(np.zeros(1), 200_000_000)}))
        ),
        "Model: got 1,600,001,000 bytes, expected at most 900,000,000, the limit of SQLite",
    ),
    "files beyond a row": (
        lambda report: after_an_epoch(
            report, Outcome(1, model=Model("", {}, {"a": b"x" * 900_000_001}, "mlflow"))
        ),
        "Model: got 900,000,001 bytes, expected at most 900,000,000, the limit of SQLite",
    ),
    "a file that is no bytes": (
        lambda report: after_an_epoch(report, Outcome(1, model=Model("", {}, {"a": "b"}, "c"))),
        "Model.files: a: got 'b', expected bytes",
    ),
    "a file outside of its folder": (
        lambda report: after_an_epoch(report, Outcome(1, model=Model("", {}, {"../a": b""}, "c"))),
        "Model.files: got '../a', expected a relative path",
    ),
    "a file and a folder of one name": (
        lambda report: after_an_epoch(
            report, Outcome(1, model=Model("", {}, {"a": b"", "a/b": b""}, "c"))
        ),
        "Model.files: a is a file, and a folder with a/b",
    ),
    "files without a format": (
        lambda report: after_an_epoch(report, Outcome(1, model=Model("", {}, {"a": b""}))),
        "Model.format: got '' and 1 files, expected the name of a format exactly where there are "
        "files",
    ),
    "files without end": (
        lambda report: after_an_epoch(
            report, Outcome(1, model=Model("", {}, dict.fromkeys(map(str, range(1001)), b""), "c"))
        ),
        "Model: got 1,001 files, expected at most 1,000",
    ),
    "a message that is no text": (
        lambda report: os.stat("/nowhere/\udcff"),
        "[Errno 2] No such file or directory: '/nowhere/\\udcff'",
    ),
    "a message that cannot be had": (
        lambda report: speechless(),
        "it has a message that cannot be shown",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_of_an_objective_fails_its_trial_with_a_sentence(mistake, monkeypatch):
    does, message = MISTAKES[mistake]
    trial = written_here(monkeypatch, lambda settings, data, report: does(report))
    error = failure_of(trial)
    assert error.message == message
    json.dumps(error.to_json(), ensure_ascii=False).encode()


LACKS = {
    "memory": (MemoryError("3 GiB"), "MemoryError: 3 GiB"),
    "a disk": (OSError(errno.ENOSPC, "full"), f"OSError: [Errno {errno.ENOSPC}] full"),
    "files": (OSError(errno.EMFILE, "many"), f"OSError: [Errno {errno.EMFILE}] many"),
}


def lacking(what, times):
    """An objective whose machine lacks something the first times that it trains."""
    left = [LACKS[what][0]] * times

    def objective(settings, data, report):
        report(Epoch(1, {"value": 0.5}, 0.0))
        if left:
            raise left.pop()
        return Outcome(1)

    return objective


@pytest.mark.parametrize("what", LACKS)
def test_a_lack_of_the_machine_is_not_a_failure_of_the_trial(what, monkeypatch):
    trial = written_here(monkeypatch, lacking(what, times=1))
    assert events_of(trial)[-1] == WorkerCrashed(5, 2, LACKS[what][1])
    assert events_of(trial)[-1].state == "complete"


def test_repetition_has_as_many_chances_as_a_trial(monkeypatch):
    once = train(written_here(monkeypatch, lacking("memory", times=0)))
    assert train(written_here(monkeypatch, lacking("memory", times=2))) == once
    failed = train(written_here(monkeypatch, lacking("memory", times=3)))
    assert failed.end.state == "failed"
    assert failed.end.outcome.error.message == (
        "its worker crashed 3 times; the last time: MemoryError: 3 GiB"
    )


def test_file_that_is_not_there_is_a_fault_of_the_trial(monkeypatch):
    trial = written_here(monkeypatch, lambda settings, data, report: os.stat("/nowhere"))
    assert failure_of(trial).type == "FileNotFoundError"


def test_mistake_in_a_report_is_placed_where_the_objective_reported(monkeypatch):
    def of_another_metric(settings, data, report):
        report(Epoch(1, {"accuracy": 1.0}, 0.0))

    place = failure_of(written_here(monkeypatch, of_another_metric)).place
    assert place == f"{__file__}:{of_another_metric.__code__.co_firstlineno + 1}"


def test_pruner_that_raises_fails_its_trial_only():
    class Broken:
        def prune(self, study, trial):
            raise RuntimeError("broken pruner")

    broken = dataclasses.replace(median(), pruner=Broken())
    assert failure_of(job(pruning=broken)).message == "broken pruner"


def test_objective_that_cannot_be_loaded_fails_its_trial():
    assert failure_of(job("curves:no_such")).type == "InputError"


def test_a_worker_elsewhere_loads_its_own_data_and_checks_that_it_is_the_same(tmp_path):
    nowhere = str(tmp_path / "of another machine")
    found = dataset(nowhere, "digits", None)
    assert len(found.images) == 1437
    assert dataset(nowhere, "digits", found.sha256).sha256 == found.sha256
    with pytest.raises(InputError, match=r"digits has SHA-256 .* on .*, expected the study's"):
        dataset(nowhere, "digits", "f" * 64)
