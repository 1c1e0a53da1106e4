"""The Dask engine against a real scheduler and real workers that join, leave and are killed."""

import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest
from dask_cluster import Cluster
from drivers import Driver
from programs import run_to_end
from searches import a_study, admit, search, trials, trials_with
from waiting import until

from nets.errors import InputError
from studies.cli.main import main
from studies.definition import study_file
from studies.search.driver import Plan, Search
from studies.workers import cpu_pinning
from studies.workers.admission import Admission
from studies.workers.dask import DaskEngine
from studies.workers.dask_client import connect
from studies.workers.engine import EngineLost
from studies.workers.messages import EpochDone, Notice, WorkerCrashed
from tracking.ledger import Ledger
from tracking.store import names

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def scheduler():
    """A cluster without workers."""
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(scheduler, tmp_path, monkeypatch):
    """A cluster whose workers are those that the test starts."""
    # Dask's workers write here, and two of them never share a folder.
    monkeypatch.setenv("DASK_TEMPORARY_DIRECTORY", str(tmp_path))
    yield scheduler
    scheduler.remove_workers()


class Watched:
    """An engine whose events a test sees, with the worker each comes from, before the search."""

    def __init__(self, engine, see):
        self._engine, self._see, self._workers = engine, see, {}

    def start(self, job):
        worker = self._engine.start(job)
        self._workers[job.trial] = worker
        return worker

    def events(self, timeout):
        for event in self._engine.events(timeout):
            self._see(event, self._workers.get(getattr(event, "trial", None)))
            yield event

    def __getattr__(self, name):
        return getattr(self._engine, name)


def search_on(cluster, study, ledger, see=lambda event, worker: None, *, mixed=False, pinned=None):
    """Search a study on a cluster to the end; return its trials."""
    admit(study, ledger)
    with connect(cluster.address) as client:
        admission = Admission(ledger, study, pinned or {}, mixed=mixed)
        engine = DaskEngine(client, admission, modules=study.own_modules)
        end = search(study, ledger, Watched(engine, see), checkpoint_seconds=0.0)
    assert end == "finished"
    return trials(ledger, study)


def search_until_joined(cluster, study, ledger, pinned=None):
    """Search on a cluster whose worker is refused, and have another join; return the rejection."""
    notices = []

    def see(event, worker):
        if isinstance(event, Notice):
            notices.append(event.message)
            if event.message.endswith("waiting for one to join"):
                cluster.start_worker(**(pinned or {}))

    search_on(cluster, study, ledger, see, pinned=pinned)
    rejection, waiting = notices
    assert waiting == "the cluster has no worker for this study; waiting for one to join"
    return rejection


@pytest.mark.slow
def test_a_cluster_gives_the_same_study_as_this_machine(cluster, ledger, tmp_path):
    study = a_study(trials=24, pruner={"name": "median"}, settings={"delay": 0.01})
    cluster.start_worker()
    cluster.start_worker()
    assert search_on(cluster, study, ledger) == trials_with(study, tmp_path / "local.db", 2)
    workers = {trial.worker for trial in ledger.trials(study.name)}
    assert workers == set(cluster.workers)


@pytest.mark.slow
def test_workers_are_killed_and_join_while_the_study_runs(cluster, ledger, tmp_path):
    # No trial is pruned before epoch 20, so those that are killed at epoch 2 are in their middle.
    pruner = {"name": "median", "warmup_epochs": 20}
    study = a_study(trials=16, pruner=pruner, settings={"delay": 0.02, "epochs": 30})
    cluster.start_worker()
    cluster.start_worker()
    deaths = []

    def see(event, worker):
        if isinstance(event, EpochDone) and (event.trial, event.number) in {(3, 2), (9, 2)}:
            cluster.kill_worker(worker)
            cluster.start_worker()
        if isinstance(event, WorkerCrashed):
            deaths.append((event.trial, event.reason))

    there = search_on(cluster, study, ledger, see)
    assert there == trials_with(study, tmp_path / "local.db", 2)
    # Each death is that of one trial, and names it.
    assert [trial for trial, _ in deaths] == [3, 9]
    assert all(re.fullmatch(r"tcp://127\.0\.0\.1:\d+ has left", reason) for _, reason in deaths)
    assert {t.number: t.crashes for t in ledger.trials(study.name) if t.crashes} == {3: 1, 9: 1}


@pytest.mark.slow
def test_a_trial_that_kills_every_worker_fails_after_three_and_the_study_goes_on(cluster, ledger):
    # Every trial whose seed is divisible by 3 kills its worker at epoch 2.
    study = a_study(trials=5, window=1, settings={"fault": "die"})
    cluster.start_worker()

    def see(event, worker):
        if isinstance(event, WorkerCrashed):
            cluster.start_worker()

    found = {t["number"]: t for t in search_on(cluster, study, ledger, see)}
    killers = [n for n, t in found.items() if t["settings"]["seed"] % 3 == 0]
    assert killers
    for number, trial in found.items():
        assert trial["state"] == ("failed" if number in killers else "complete")
    error = found[killers[0]]["outcome"].error
    assert error.message.startswith("its worker crashed 3 times; the last time: tcp://")


@pytest.mark.slow
def test_a_worker_that_is_asked_to_leave_has_not_crashed(cluster, ledger, tmp_path):
    study = a_study(trials=8, settings={"delay": 0.02})
    leaving = cluster.start_worker()
    cluster.start_worker()

    def see(event, worker):
        if isinstance(event, EpochDone) and worker == leaving and leaving in cluster.workers:
            with connect(cluster.address) as client:
                client.retire_workers([leaving])
            cluster.kill_worker(leaving)

    assert search_on(cluster, study, ledger, see) == trials_with(study, tmp_path / "local.db", 1)
    assert [trial.crashes for trial in ledger.trials(study.name)] == [0] * 8
    assert leaving not in cluster.workers


@pytest.mark.slow
def test_a_trial_that_exceeds_a_limit_fails_and_another_worker_goes_on(cluster, ledger):
    section = {
        "name": "greedy", "metric": "score", "objective": "greedy:objective",
        "sampler": {"name": "grid"}, "trials": 3, "memory": "400 MB", "trial_seconds": 300,
    }  # fmt: skip
    kinds = {"choices": ["memory", "modest", "small"]}
    study = study_file.build({"study": section, "space": {"kind": kinds}})
    cluster.start_worker()

    def see(event, worker):
        if isinstance(event, Notice):
            assert event.message.endswith("waiting for one to join")
            cluster.start_worker()

    search_on(cluster, study, ledger, see)
    found = {trial.parameters["kind"]: trial for trial in ledger.trials("greedy")}
    error = found["memory"].outcome.error
    assert (error.type, error.place) == ("LimitExceeded", "study.memory")
    assert found["modest"].state == found["small"].state == "complete"
    assert {trial.crashes for trial in found.values()} == {0}


@pytest.mark.slow
def test_running_trials_stop_at_their_next_epoch_and_continue(cluster, ledger, tmp_path):
    study = a_study(trials=4, settings={"delay": 0.02, "epochs": 30})
    cluster.start_worker()
    admit(study, ledger)
    with connect(cluster.address) as client:
        engine = DaskEngine(client, Admission(ledger, study, {}), modules=study.own_modules)
        plan = Plan(study=study, total=4, folders={})
        running = Search(
            plan, ledger, Watched(engine, lambda event, worker: running.stop()), earlier=()
        )
        assert running.run() == "stopped"
        engine.close()
    [first] = [trial for trial in ledger.trials(study.name) if trial.attempts]
    assert first.state == "running"
    assert ledger.checkpoint(study.name, first.number) is not None
    assert search_on(cluster, study, ledger) == trials_with(study, tmp_path / "local.db", 1)


@pytest.mark.slow
def test_a_worker_that_computes_differently_is_refused_until_the_study_is_mixed(cluster, ledger):
    study = a_study(trials=4)
    first = cluster.start_worker()
    search_on(cluster, study, ledger)
    cluster.kill_worker(first)
    kernels = {ledger.notes(study.name).first_worker.blas.kernel, "Nehalem"}
    other = cluster.start_worker(OPENBLAS_CORETYPE="Nehalem")
    rejection = search_until_joined(cluster, a_study(trials=8), ledger)
    assert rejection.startswith(f"worker {other} is rejected: it differs from the study's first")
    assert all(name in rejection for name in kernels)
    assert "or --mixed" in rejection
    assert other not in {trial.worker for trial in ledger.trials(study.name)}
    assert ledger.notes(study.name).mixed is None

    [equal] = cluster.workers.keys() - {other}
    cluster.kill_worker(equal)
    search_on(cluster, a_study(trials=9), ledger, mixed=True)
    last = ledger.trials(study.name)[-1]
    assert last.worker == other
    # The record states it: with the trial, and with the study.
    assert last.outcome.environment.mixed == ledger.notes(study.name).mixed
    assert all(name in str(last.outcome.environment.mixed) for name in kernels)


@pytest.mark.slow
def test_a_portable_study_says_how_to_start_its_workers(cluster, ledger):
    study = a_study(trials=4, portable=True)
    pinned = cpu_pinning.choose()
    # Whatever this machine is, its own kernel may be the pinned one.
    cluster.start_worker(OPENBLAS_CORETYPE="Sandybridge")
    rejection = search_until_joined(cluster, study, ledger, pinned)
    assert f"start it with: {cpu_pinning.as_command(pinned)} dask worker ..." in rejection
    environment = ledger.trials(study.name)[0].outcome.environment
    assert environment.blas.kernel == pinned[cpu_pinning.BLAS]
    assert environment.pinned == pinned


HELPER = "def added(x):\n    return x + {offset}\n"
OBJECTIVE = """
import helper
import studies

def objective(trial, x, epochs=4):
    walk = [x]
    for epoch in trial.epochs(epochs, walk):
        walk.append(helper.added(walk[-1]) / epoch)
        trial.report(loss=walk[-1])

study = studies.Study(objective, {"x": studies.Float(0, 1)}, metric="loss", trials=6, window=4)
study.search(jobs=2)
"""


def search_script(folder, offset, *options):
    """Search a study of one's own modules in a folder, in another process; return its losses."""
    folder.mkdir(exist_ok=True)
    (folder / "own_objective.py").write_text(OBJECTIVE)
    (folder / "helper.py").write_text(HELPER.format(offset=offset))
    store = folder / ("there" if options else "here")
    driver = Driver(folder / "own_objective.py", store, "--no-record", *options)
    assert driver.finish()[::2] == (0, "")
    with Ledger(store / names.LEDGER) as ledger:
        return trials(ledger, ledger.study("own_objective"))


@pytest.mark.slow
def test_workers_that_have_none_of_the_users_files_train_with_those_of_the_driver(
    cluster, tmp_path
):
    for _ in range(2):
        cluster.start_worker(PYTHONPATH=str(ROOT))
    address = ["--cluster", cluster.address]
    first = search_script(tmp_path / "first", 1, *address)
    assert first == search_script(tmp_path / "first", 1)
    # Another study whose modules have the same names.
    other = search_script(tmp_path / "other", 2, *address)
    assert other == search_script(tmp_path / "other", 2)
    assert other != first
    again = search_script(tmp_path / "again", 1, *address)
    assert again == first


@pytest.mark.slow
def test_a_worker_prefers_equal_modules_of_its_own(cluster, tmp_path):
    place = tmp_path / "study"
    here = search_script(place, 1)
    cluster.start_worker(PYTHONPATH=f"{ROOT}{os.pathsep}{place}")
    assert search_script(place, 1, "--cluster", cluster.address) == here
    assert not list(tmp_path.rglob("retrial-*/helper.py"))


@pytest.mark.slow
def test_a_worker_with_another_retrial_is_refused(cluster, ledger, tmp_path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "__init__.py").write_text("")
    cluster.start_worker(folder=tmp_path)
    rejection = search_until_joined(cluster, a_study(trials=2), ledger)
    assert "is rejected: the code of studies is " in rejection
    assert "start the worker with what the driver has" in rejection


@pytest.mark.slow
def test_tasks_end_at_their_next_epoch_when_the_driver_is_killed(cluster, tmp_path):
    store = tmp_path / "store"
    worker = cluster.start_worker()
    (tmp_path / "long.toml").write_text(_LONG)
    driver = Driver(tmp_path / "long.toml", store, "--cluster", cluster.address, "--no-record")
    with connect(cluster.address) as client:
        client.run(_wait_for_a_task)
        until(lambda: _has_epochs(store / names.LEDGER), "a committed epoch")
        driver.signal(signal.SIGKILL)
        driver.wait()
        client.run(_wait_for_no_thread)
    cluster.kill_worker(worker)


def _has_epochs(path):
    """Return whether the driver has committed an epoch."""
    ledger = Ledger(path)
    try:
        return ledger.study("long") and ledger.epochs("long", 0)
    finally:
        ledger.close()


async def _wait_for_a_task(dask_worker):
    import asyncio

    async with asyncio.timeout(600):
        while not dask_worker.state.executing_count:
            await asyncio.sleep(0.01)


async def _wait_for_no_thread(dask_worker):
    import asyncio

    async with asyncio.timeout(600):
        while dask_worker.active_threads:
            await asyncio.sleep(0.01)


_LONG = """
[study]
name = "long"
trials = 4
metric = "value"
direction = "maximize"
objective = "curves:climb"
settings = "curves:Curve"

[settings]
epochs = 100000
delay = 0.01

[space]
rate = { low = 0.1, high = 1.0 }
"""


@pytest.mark.slow
def test_the_command_line_trains_digits_on_a_cluster_bit_by_bit_as_here(cluster, tmp_path, capsys):
    # A worker with several threads trains one trial at a time, and BLAS with one thread.
    cluster.start_worker("--nthreads", "4", OPENBLAS_NUM_THREADS="2")
    cluster.start_worker()
    command = ["search", "digits", "--trials", "8", "--no-record"]
    assert main([*command, "--store", str(tmp_path / "here"), "--jobs", "1"]) == 0
    there = ["--store", str(tmp_path / "there"), "--cluster", cluster.address]
    assert main([*command, *there]) == 0
    found = []
    for name in ("here", "there"):
        ledger = Ledger(tmp_path / name / names.LEDGER)
        found.append(trials(ledger, ledger.study("digits")))
        ledger.close()
    assert found[0] == found[1]
    assert "digits: 8 of 8 trials" in capsys.readouterr().out


@pytest.mark.slow
def test_a_lost_scheduler_ends_the_search_and_says_so(ledger):
    lost = Cluster()
    try:
        lost.start_worker()
        study = a_study(trials=4, settings={"delay": 0.05})

        def see(event, worker):
            if isinstance(event, EpochDone):
                lost.scheduler.kill()

        with pytest.raises(EngineLost, match=r"the Dask scheduler is gone .*; the same command"):
            search_on(lost, study, ledger, see)
    finally:
        lost.close()


def test_an_address_where_nobody_listens_is_refused_within_seconds(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("studies.workers.dask_client.SECONDS_TO_CONNECT", 0.5)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        store = tmp_path / "store"
        assert main(["search", "digits", "--cluster", address, "--store", str(store)]) == 2
    assert f"cluster: no Dask scheduler answers at {address!r}" in capsys.readouterr().err
    assert not store.exists()


@pytest.mark.parametrize("address", ["nowhere", "http://127.0.0.1:1", "tcp://"])
def test_what_is_no_address_is_refused(address):
    expected = pytest.raises(InputError, match="expected the address that `dask scheduler` pr")
    with expected, connect(address):
        pass


def test_without_dask_the_command_line_says_how_to_install_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "studies.workers.dask_client")
    store = ["--store", str(tmp_path / "store")]
    assert main(["search", "digits", "--cluster", "tcp://127.0.0.1:1", *store]) == 2
    assert "install it with: pip install dask distributed" in capsys.readouterr().err


def test_what_is_no_address_is_refused_in_one_line(tmp_path):
    """In another process, because what Dask makes of it is discarded only at exit."""
    command = ["search", "digits", "--cluster", "foo", "--store", str(tmp_path / "store")]
    done = run_to_end([sys.executable, "-m", "studies.cli.main", *command])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "cluster: no Dask scheduler answers at 'foo': missing port" in done.stderr
