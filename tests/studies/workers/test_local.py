"""Real worker processes on this machine: determinism, deaths, and what a worker is."""

import os
import shutil
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from joblib.externals.loky import get_reusable_executor
from searches import (
    MIXED,
    SAMPLERS,
    ShuffledEngine,
    a_study,
    admit,
    search,
    space_for,
    trials,
    trials_with,
)
from waiting import PATIENCE, has_ended, until, wait_until_ended

from nets.state import pack
from studies.confirmation.batch import train_all
from studies.search.driver import Plan, Search
from studies.workers.engine import EngineLost
from studies.workers.local import LocalEngine
from studies.workers.messages import EpochDone, Job, TrialDone, TrialStopped, WorkerCrashed
from tracking.ledger import Ledger
from tracking.provenance import source_code

TPE = {"name": "tpe", "startup_trials": 4}
MEDIAN = {"name": "median", "startup_trials": 2}


def a_job(trial=0, attempt=1, objective="curves:climb", **settings):
    return Job(
        trial=trial, attempt=attempt, objective=objective, settings_class="curves:Curve",
        settings={"epochs": 3, "seed": 1, **settings}, data=None, pruning=None, metric="value",
    )  # fmt: skip


def events_until_the_end(engine, timeout=10.0):
    """All events of the one running job."""
    events = []

    def ended():
        events.extend(engine.events(timeout))
        return events and not isinstance(events[-1], EpochDone)

    until(ended, "the end of a job")
    return events


def next_event(engine):
    """The next event of the one running job."""
    (event,) = until(lambda: list(engine.events(10.0)), "an event of a job")
    return event


def pid_of(worker):
    """The process of one of the engine's workers, once it is there."""
    (pid,) = worker._executor._processes
    return pid


def kill_worker(engine):
    """Kill the process of an engine's first worker, and wait until it is gone."""
    worker = psutil.Process(pid_of(engine._workers[0]))
    worker.kill()
    worker.wait(PATIENCE)


@pytest.fixture
def engine():
    engine = LocalEngine(1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    """The trials of a study, searched by one worker."""
    return trials_with(slow_study(), tmp_path_factory.mktemp("one") / "ledger.db", 1)


def slow_study():
    """A study whose epochs take up to 20 ms, by a clock that no two runs share."""
    return a_study(MIXED, {"delay": 0.02}, sampler=TPE, pruner=MEDIAN, trials=16)


@pytest.mark.parametrize("jobs", [2, 4])
def test_number_of_processes_does_not_matter(jobs, one_worker, tmp_path):
    assert trials_with(slow_study(), tmp_path / "ledger.db", jobs) == one_worker
    assert {t["state"] for t in one_worker} == {"complete", "pruned"}


def test_number_of_processes_does_not_matter_where_a_class_refuses_values(tmp_path):
    study = a_study(MIXED, {"delay": 0.02}, kind="curves:Picky", sampler=TPE, trials=12)
    one, two = (trials_with(study, tmp_path / f"{jobs}.db", jobs) for jobs in (1, 2))
    assert one == two
    assert {t["state"] for t in one} == {"complete", "failed"}


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("pruner", ["median", "hyperband", "patient"])
def test_number_of_processes_matters_to_no_sampler(sampler, pruner, tmp_path):
    pruner = {
        "median": MEDIAN,
        "hyperband": {"name": "hyperband"},
        "patient": {"name": "patient", "patience": 1, "wrapped": MEDIAN},
    }[pruner]
    study = a_study(
        space_for(SAMPLERS[sampler]),
        {"delay": 0.01, "fault": "nan"},
        sampler=SAMPLERS[sampler],
        pruner=pruner,
        trials=16,
    )
    one, four = (trials_with(study, tmp_path / f"{jobs}.db", jobs) for jobs in (1, 4))
    assert one == four
    assert {"complete", "pruned"} <= {trial["state"] for trial in one}


def test_a_worker_that_crashes_while_idle_affects_no_trial(engine):
    engine.start(a_job())
    events_until_the_end(engine)
    kill_worker(engine)
    assert engine.start(a_job(1)) == "worker 0"
    *_, end = events_until_the_end(engine)
    assert isinstance(end, TrialDone)


def test_worker_is_replaced_only_by_one_that_has_the_same_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.py").write_text("one = 1")
    engine = LocalEngine(1, code={"mine": source_code.digest("mine")})
    kill_worker(engine)
    engine.start(a_job())
    events_until_the_end(engine)
    (tmp_path / "mine.py").write_text("one = 2")
    kill_worker(engine)
    engine.start(a_job(1))
    with pytest.raises(EngineLost, match=r"worker 0 crashed, .* code of mine has changed"):
        events_until_the_end(engine)
    engine.close()


def test_a_worker_that_reads_nothing_blocks_nothing(engine):
    """It is idle and stopped, as by a debugger, when it gets more than fits into its pipe."""
    engine.start(a_job())
    events_until_the_end(engine)
    worker = psutil.Process(pid_of(engine._workers[0]))
    worker.suspend()
    until(lambda: worker.status() == psutil.STATUS_STOPPED)
    in_the_end = threading.Timer(30.0, worker.resume)
    in_the_end.start()
    state = pack({"epoch": 0, "level": 0.0, "trace": np.zeros(4), "more": np.zeros(10**6)})
    engine.start(replace(a_job(1), state=state))
    engine.stop_trials()
    assert worker.status() == psutil.STATUS_STOPPED
    in_the_end.cancel()
    worker.resume()
    epoch, end = events_until_the_end(engine)
    assert (epoch.number, end) == (1, TrialStopped(1, 1))


def test_a_worker_that_crashes_in_a_trial_is_reported_with_its_signal_and_replaced(engine):
    engine.start(a_job(fault="die", seed=3))
    events = events_until_the_end(engine)
    assert [type(event) for event in events] == [EpochDone, WorkerCrashed]
    assert events[-1] == WorkerCrashed(0, 1, "SIGKILL(-9)")
    assert engine.free == 1
    engine.start(a_job(attempt=2))
    assert isinstance(events_until_the_end(engine)[-1], TrialDone)


@pytest.mark.parametrize("objective", ["child_processes:orphan", "child_processes:orphan_of_c"])
def test_a_worker_whose_child_outlives_it_is_reported_and_the_child_ended(
    objective, engine, tmp_path
):
    """The child has a copy of the worker's end of the pipe, which so has no end."""
    word = tmp_path / "word"
    engine.start(a_job(objective=objective, kind=str(word)))
    epoch, death = events_until_the_end(engine, timeout=0.2)
    assert death == WorkerCrashed(0, 1, "EXIT(3)")
    until(lambda: has_ended(int(epoch.metrics["value"])))
    assert not word.exists()
    engine.start(a_job(attempt=2))
    assert isinstance(events_until_the_end(engine)[-1], TrialDone)


def test_what_an_objective_has_started_ends_with_the_driver(engine, tmp_path):
    word = tmp_path / "word"
    engine.start(a_job(objective="child_processes:parent", kind=str(word)))
    epoch = next_event(engine)
    engine._workers[0].connection.close()  # as the system does for a driver that is gone
    until(lambda: has_ended(int(epoch.metrics["value"])))
    assert not word.exists()


def test_a_worker_out_of_memory_is_reported_as_crashed_and_replaced(engine):
    engine.start(a_job(objective="child_processes:without_memory"))
    epoch, death = events_until_the_end(engine)
    assert death == WorkerCrashed(0, 1, "MemoryError")
    assert engine.free == 1
    assert pid_of(engine._workers[0]) != epoch.metrics["value"]


def test_worker_leaves_it_to_its_driver_what_signals_mean(engine):
    engine.start(a_job())
    events_until_the_end(engine)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid_of(engine._workers[0]), number)
    engine.start(a_job(1))
    assert isinstance(events_until_the_end(engine)[-1], TrialDone)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_worker_leaves_it_to_its_driver_while_it_starts_too(engine, number):
    os.kill(pid_of(engine._workers[0]), number)  # it is importing what it is made of
    engine.start(a_job())
    assert isinstance(events_until_the_end(engine)[-1], TrialDone)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_worker_holds_no_signal_back_from_what_its_objective_starts(engine):
    engine.start(a_job())
    events_until_the_end(engine)
    held = psutil.Process(pid_of(engine._workers[0]))
    with open(f"/proc/{held.pid}/status", encoding="ascii") as status:
        masks = dict(line.split(":", 1) for line in status)
    blocked = int(masks["SigBlk"], 16)
    assert not blocked & (1 << (signal.SIGINT - 1) | 1 << (signal.SIGTERM - 1))


PRINTED = ["by Python", "by a program", "by the system"]


def test_worker_leaves_the_output_to_its_driver(capfd):
    engine = LocalEngine(1)
    engine.start(a_job(objective="child_processes:talkative"))
    events_until_the_end(engine)
    engine.close()
    output, errors = capfd.readouterr()
    assert (output, sorted(errors.splitlines())) == ("", PRINTED)


def test_repetitions_leave_the_output_to_their_command(capfd):
    get_reusable_executor().shutdown()  # processes of another test print where they began
    jobs = [a_job(objective="child_processes:talkative")] * 2
    print("before", end="")
    for trained in train_all(jobs, 2):
        assert trained.end.state == "complete"
    print(", after")
    output, errors = capfd.readouterr()
    assert (output, sorted(errors.splitlines())) == ("before, after\n", sorted(PRINTED * 2))


@pytest.mark.parametrize(
    ("jobs", "processes", "threads"),
    [(1, 2, [2]), (2, 2, [1, 1]), (3, 2, [1, 1, 2]), (2, 5, [2, 2])],
)
def test_repetitions_of_the_last_round_share_the_idle_cores(jobs, processes, threads):
    found = {}
    for trained in train_all([a_job(objective="curves:count_threads")] * jobs, processes):
        found[trained.place] = trained.end.outcome.value
    assert [found[place] for place in range(jobs)] == threads


@pytest.mark.parametrize(
    "objective", ["child_processes:ended_program", "child_processes:ended_fork"]
)
def test_objective_can_end_what_it_starts(objective, engine):
    engine.start(a_job(objective=objective))
    epoch, _ = events_until_the_end(engine)
    ends = {name: int(code) for name, code in epoch.metrics.items() if name != "value"}
    assert ends == {"SIGTERM": -signal.SIGTERM, "SIGINT": -signal.SIGINT}


def test_closed_engine_leaves_no_process():
    engine = LocalEngine(2)
    engine.start(a_job(epochs=1000, delay=0.1))
    processes = [psutil.Process(pid_of(worker)) for worker in engine._workers]
    engine.close()
    wait_until_ended(processes)


def test_engine_whose_start_is_broken_off_leaves_no_process(monkeypatch):
    """Python waits for the workers of an executor at its end, so it would wait for ever."""
    from studies.workers import local

    started = []
    worker = local._Worker

    def interrupted(name, environment):
        if len(started) == 2:
            raise KeyboardInterrupt
        started.append(worker(name, environment))
        return started[-1]

    monkeypatch.setattr(local, "_Worker", interrupted)
    with pytest.raises(KeyboardInterrupt):
        LocalEngine(3)
    assert all(w._executor._executor_manager_thread is None for w in started)


def test_trials_stop_at_the_end_of_their_epoch_and_continue(engine, ledger):
    study = a_study(settings={"delay": 0.01}, trials=1)
    search_ = Search(plan_of(study, ledger), ledger, engine, [Stopper(after_epochs=2)])
    search_._listeners[0].search = search_
    assert search_.run() == "stopped"
    (open_trial,) = ledger.trials(study.name)
    assert (open_trial.state, open_trial.attempts) == ("running", 1)
    epochs = ledger.epochs(study.name, 0)
    assert 2 <= len(epochs) < 6
    assert ledger.checkpoint(study.name, 0)[0] == len(epochs)
    assert search(study, ledger, engine) == "finished"
    whole = Ledger(ledger.path.parent / "whole.db")
    search(study, whole, LocalEngine(1))
    assert trials(ledger, study) == trials(whole, study)
    whole.close()


def plan_of(study, ledger):
    admit(study, ledger)
    return Plan(study=study, total=study.section.trials, folders={})


class Listener:
    """Receives every event and does nothing."""

    def started(self, trial):
        pass

    def epoch(self, trial, epoch):
        pass

    def finished(self, trial):
        pass

    def warned(self, message):
        pass

    def waited(self):
        pass


class Stopper(Listener):
    """Stops the search after some epochs, as a signal's handler does."""

    def __init__(self, after_epochs):
        self.left = after_epochs

    def epoch(self, trial, epoch):
        self.left -= 1
        if self.left == 0:
            self.search.stop()


class Warnings(Listener):
    """Keeps what a person is warned of."""

    def __init__(self):
        self.messages = []

    def warned(self, message):
        self.messages.append(message)


@pytest.mark.slow
def test_trial_that_kills_its_worker_three_times_fails_and_the_study_goes_on(ledger):
    study = a_study(settings={"fault": "die"}, trials=10)
    heard = Warnings()
    engine = LocalEngine(2)
    try:
        assert Search(plan_of(study, ledger), ledger, engine, [heard]).run() == "finished"
    finally:
        engine.close()
    found = ledger.trials(study.name)
    deadly = [t.number for t in found if t.settings["seed"] % 3 == 0]
    assert deadly
    assert [t.number for t in found if t.state == "failed"] == deadly
    for number in deadly:
        trial = found[number]
        assert (trial.crashes, trial.attempts) == (3, 3)
        assert trial.outcome.error.type == "WorkerDied"
        assert trial.outcome.error.message == (
            "its worker crashed 3 times; the last time: SIGKILL(-9)"
        )
        assert heard.messages.count(
            f"trial {number}: its worker crashed (SIGKILL(-9)); retrying"
        ) == 2  # fmt: skip


@pytest.mark.parametrize(
    ("executable", "said"),
    [
        ("/nonexistent", "worker 0 cannot be started: /nonexistent is no program that this user"),
        (shutil.which("false"), r"worker 0 cannot be started: .*EXIT\(1\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:resource_tracker")
def test_search_whose_workers_cannot_be_started_ends(executable, said, ledger, monkeypatch):
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(EngineLost, match=said):
        search(a_study(), ledger, LocalEngine(2))
    assert {(trial.state, trial.crashes) for trial in ledger.trials("curves")} <= {("running", 0)}


def test_a_child_in_a_session_of_its_own_ends_with_its_worker(engine, tmp_path):
    word = tmp_path / "word"
    engine.start(a_job(objective="child_processes:daemon", kind=str(word)))
    epoch, _ = events_until_the_end(engine)
    child = int(epoch.metrics["value"])
    assert os.getsid(child) == child
    engine.close()
    until(lambda: has_ended(child))
    assert not word.exists()


class Interrupted(ShuffledEngine):
    """Its workers crash by the signal that stops the search."""

    def events(self, timeout):
        for event in super().events(timeout):
            if isinstance(event, TrialStopped):
                yield WorkerCrashed(event.trial, event.attempt, "SIGINT(-2)")
            else:
                yield event


def test_crashes_of_workers_while_a_search_is_stopped_do_not_count(ledger, generator):
    study = a_study(trials=6)
    for _ in range(3):
        heard = Warnings()
        stopper = Stopper(after_epochs=1)
        stopper.search = Search(
            plan_of(study, ledger), ledger, Interrupted(2, generator), [stopper, heard]
        )
        assert stopper.search.run() == "stopped"
        assert not any("crashed" in message for message in heard.messages)
    assert {trial.crashes for trial in ledger.trials(study.name)} == {0}
    assert {trial.state for trial in ledger.trials(study.name)} == {"running"}


class WithoutChildren(ShuffledEngine):
    """The child processes of its objectives end by the signal that stops the search."""

    def events(self, timeout):
        for event in super().events(timeout):
            if isinstance(event, TrialStopped):
                yield TrialDone(event.trial, event.attempt, "failed", {"error": {}})
            else:
                yield event


def test_failures_of_trials_while_a_search_is_stopped_do_not_count(ledger, generator):
    study = a_study(trials=6)
    stopper = Stopper(after_epochs=1)
    stopper.search = Search(
        plan_of(study, ledger), ledger, WithoutChildren(2, generator), [stopper]
    )
    assert stopper.search.run() == "stopped"
    assert {trial.state for trial in ledger.trials(study.name)} == {"running"}
    assert search(study, ledger, ShuffledEngine(2, generator)) == "finished"


class Forgetful(ShuffledEngine):
    """Its workers die once after their first epoch, and repeat it a little differently."""

    def start(self, job):
        super().start(job)
        _, events = self.running[job.trial]
        if job.attempt == 1:
            del events[1:]
            events.append(WorkerCrashed(job.trial, 1, "by chance"))
        else:
            events[0].metrics["value"] += 1e-9
        return "here"


def test_objective_that_is_not_repeatable_is_warned_of(ledger, generator):
    study = a_study(trials=1)
    heard = Warnings()
    assert (
        Search(plan_of(study, ledger), ledger, Forgetful(1, generator), [heard]).run() == "finished"
    )
    assert heard.messages == [
        "trial 0: its worker crashed (by chance); retrying",
        "trial 0: epoch 1 gave other results when it was repeated; the objective is not "
        "deterministic, or the machine has changed",
    ]
