"""The limits of a trial: it fails with the reason, everything it started ends, others go on."""

import os
import sys
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
from drivers import OBJECTIVES_PATH, ledger_of
from programs import run_to_end
from searches import ShuffledEngine, a_study, admit
from searches import search as run_search
from waiting import until

import studies
from nets.errors import InputError
from studies.definition import study_file
from studies.workers.limits import failure, resident
from studies.workers.local import LocalEngine
from studies.workers.messages import Job, Limits, TrialDone

STUDY = """
[study]
name = "greedy"
metric = "score"
objective = "greedy:objective"
sampler = {{ name = "grid" }}
trials = 10
{limits}

[space]
kind = {{ choices = {kinds} }}
"""


def a_job(kind, limits, objective="greedy:objective", **options):
    return Job(
        trial=0, attempt=1, objective=objective, settings_class=None, settings={"kind": kind},
        data=None, pruning=None, metric="score", limits=limits, **options,
    )  # fmt: skip


@pytest.fixture
def engine():
    engine = LocalEngine(1)
    yield engine
    engine.close()


def end_of(engine, job):
    """Run one job; return its end."""
    engine.start(job)
    return until(lambda: [e for e in engine.events(0.2) if isinstance(e, TrialDone)])[0]


def search(folder, *options, **study):
    path = folder / "greedy.toml"
    path.write_text(STUDY.format(**study))
    return run_to_end(
        [sys.executable, "-m", "studies.cli.main", "search", path, "--store", folder / "store",
         "--no-record", "--jobs", "2", *options],
        env={**os.environ, "PYTHONPATH": OBJECTIVES_PATH},
    )  # fmt: skip


def errors_of(folder):
    with ledger_of(folder / "store") as ledger:
        trials = ledger.trials("greedy")
    assert all(trial.crashes == 0 and trial.attempts == 1 for trial in trials)
    return {t.parameters["kind"]: t.outcome.error for t in trials}


def test_memory_of_a_process_contains_that_of_its_children():
    own = os.getpid()
    before = resident([own])[own]
    assert before >= psutil.Process().memory_info().rss / 2
    code = "held = bytearray(b'x') * 200_000_000; print(flush=True); input()"
    with psutil.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as child:
        child.stdout.readline()
        assert resident([own])[own] > before + 200_000_000
        child.kill()
    assert resident([2**22 + 1]) == {2**22 + 1: 0}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (None, None),
        (Limits(memory="1 GiB", bytes=2**30), None),
        (
            Limits(memory="1 MiB", bytes=2**20),
            'its worker held 0.50 GiB, more than study.memory = "1 MiB"',
        ),
        (Limits(seconds=20.0), None),
        (Limits(seconds=20.0, spent=15.0), "it took longer than study.trial_seconds = 20"),
        (Limits(seconds=9.5), "it took longer than study.trial_seconds = 9.5"),
    ],
)
def test_an_attempt_fails_for_the_limit_that_it_exceeds(limits, message):
    found = failure(a_job("modest", limits), seconds=10.0, memory=2**29)
    assert (found and found.outcome.error.message) == message
    if found is not None:
        assert (found.state, found.outcome.error.type) == ("failed", "LimitExceeded")


@pytest.mark.parametrize("kind", ["memory", "child"])
def test_a_worker_that_holds_too_much_is_ended_with_what_it_started(engine, kind):
    limits = Limits(memory="400 MB", bytes=400_000_000)
    engine.start(a_job(kind, limits))
    worker = engine._workers[0]
    until(lambda: list(engine.events(0.2)) or worker.has_begun)
    family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
    (end,) = until(lambda: list(engine.events(0.2)))
    assert end.outcome.error.place == "study.memory"
    until(lambda: not any(process.is_running() for process in family))
    assert end_of(engine, replace(a_job("modest", limits), trial=1)).state == "complete"


def test_a_worker_that_never_returns_to_python_is_ended(engine):
    end = end_of(engine, a_job("forever", Limits(seconds=1.0)))
    assert end.outcome.error.summary == (
        "LimitExceeded: it took longer than study.trial_seconds = 1"
    )
    assert end_of(engine, replace(a_job("modest", None), trial=1)).state == "complete"


def test_a_worker_is_not_ended_while_what_it_sent_is_unread(engine):
    engine.start(a_job("modest", Limits(seconds=0.5)))
    worker = engine._workers[0]
    until(lambda: list(engine.events(0.2)) or worker.has_begun)
    time.sleep(1.0)  # as after the driver was suspended
    end = until(lambda: [e for e in engine.events(0.2) if isinstance(e, TrialDone)])[0]
    assert end.state == "complete"


@pytest.mark.slow
def test_a_search_goes_on_without_the_trials_that_exceed_a_limit(tmp_path):
    kinds = ["modest", "memory", "forever", "child"]
    limits = 'memory = "400 MB"\ntrial_seconds = 30'
    done = search(tmp_path, kinds=kinds, limits=limits)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 trials" in done.stdout
    errors = errors_of(tmp_path)
    places = {kind: error and error.place for kind, error in errors.items()}
    assert places == {
        "modest": None, "memory": "study.memory", "child": "study.memory",
        "forever": "study.trial_seconds",
    }  # fmt: skip
    again = search(tmp_path, kinds=kinds, limits='memory = "8 GB"')
    assert (again.returncode, again.stderr) == (0, ""), "the limits may change"
    assert "nothing to do" in again.stdout
    assert errors_of(tmp_path) == errors


class Recorded(ShuffledEngine):
    """Workers in this process; what a job says of the trial's time is compared with the record."""

    def __init__(self, ledger, study, **chances):
        super().__init__(2, np.random.default_rng(0), **chances)
        self.ledger, self.study, self.resumed = ledger, study, 0

    def start(self, job):
        epochs = self.ledger.epochs(self.study.name, job.trial)
        kept = sum(epoch.seconds for epoch in epochs if epoch.number <= len(job.past))
        assert job.limits == Limits("4 GiB", 4 * 2**30, 60.0, kept)
        self.resumed += bool(job.past)
        return super().start(job)


def test_time_of_the_epochs_that_a_resumed_trial_keeps_counts(ledger):
    study = a_study(memory="4 GiB", trial_seconds=60)
    admit(study, ledger)
    engine = Recorded(ledger, study, death=0.3)
    assert run_search(study, ledger, engine, checkpoint_seconds=0.0) == "finished"
    assert engine.resumed
    assert not study_file.differences(study.definition, a_study(trial_seconds=5.0).definition)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("memory = 4", "study.memory: got 4, expected a string"),
        *[
            (
                f'memory = "{size}"',
                f"study.memory: got '{size}', expected a size such as \"4 GiB\", in kB, MB, GB, "
                "TB, KiB, MiB, GiB or TiB",
            )
            for size in ("4", "4 gib", "0 GB", "-1 GB", "many GB", "1e3 MB")
        ],
        ("trial_seconds = 0", "study.trial_seconds: got 0, expected a number above 0"),
        ("trial_seconds = inf", "study.trial_seconds: got inf, expected a finite number"),
        ("trial_seconds = '9'", "study.trial_seconds: got '9', expected a number"),
    ],
)
def test_a_limit_that_is_none_is_refused(value, expected, tmp_path):
    path = tmp_path / "greedy.toml"
    path.write_text(STUDY.format(limits=value, kinds=["modest"]))
    with pytest.raises(InputError) as refused:
        study_file.read(path)
    assert str(refused.value) == expected


def test_limits_in_python_are_those_of_a_study_file():
    study = studies.Study(
        space={"dropout": studies.Float(0, 0.5)}, name="x", memory="1.5 GB", trial_seconds=600
    )
    assert 'memory = "1.5 GB"\ntrial_seconds = 600' in study.to_toml()
