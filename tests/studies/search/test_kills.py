"""Killed anywhere: at least 50 times, at moments nobody chose, and nothing is different.

Drivers, single workers and all workers get SIGKILL while two studies are searched and recorded.
What stands in the ledger, in Optuna's storage and in MLflow at the end is compared with an
undisturbed search of the same study.
"""

import os
import signal

import optuna
import psutil
import pytest
from drivers import Driver, ledger_of, write_study
from searches import trials
from waiting import wait_until_ended

from studies.definition import study_file
from tracking.store import names

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload``"),  # SQLAlchemy's to MLflow
]

KILLS = 25
"""At least so many of each study."""
MOST_SECONDS = 6.0
"""Within which of a driver's start a kill falls: while it starts, trains, or ends its record."""


@pytest.fixture
def digits(tmp_path):
    """A study over our own networks, whose trials take a second or two."""
    path = tmp_path / "digits.toml"
    path.write_text(
        """
        [study]
        name = "digits"
        trials = 24
        window = 8
        seed = 3
        pruner = { name = "hyperband", min_resource = 4 }
        [network]
        hidden = [200, 100]
        [training]
        epochs = 30
        [space]
        learning_rate = { low = 1e-4, high = 1e-1, log = true }
        dropout = { low = 0.0, high = 0.6 }
        """
    )
    return path


@pytest.fixture
def curves(tmp_path):
    """A study over curves that take their time, some of which cannot be drawn."""
    return write_study(tmp_path, trials=40, epochs=10, delay=0.1, fault="raise")


@pytest.mark.parametrize("name", ["digits", "curves"])
def test_study_killed_everywhere_is_the_undisturbed_one(name, request, tmp_path, generator):
    path = request.getfixturevalue(name)
    kills = Kills(path, tmp_path / "killed", generator)
    total = kills.until(KILLS)
    print(f"{name}: {kills.counts}, {total} trials")
    undisturbed = Driver(path, tmp_path / "undisturbed", "--jobs", "2", "--trials", str(total))
    code, _, errors = undisturbed.finish()
    assert (code, errors) == (0, "")

    study = study_file.read(path, trials=total)
    found = {store: everything(tmp_path / store, study) for store in ("killed", "undisturbed")}
    assert found["killed"] == found["undisturbed"]
    assert len(found["killed"]["trials"]) == total
    check_mlflow(tmp_path / "killed", study, found["killed"]["trials"])


class Kills:
    """Searches a study while killing its processes, until there were enough kills."""

    def __init__(self, path, store, generator):
        self.path, self.store, self.generator = path, store, generator
        self.counts = {"driver": 0, "worker": 0, "all workers": 0}
        self.total = study_file.read(path).section.trials

    def until(self, kills):
        """Kill at least so many times, then let it end; returns the number of trials."""
        while sum(self.counts.values()) < kills:
            if self.once():
                # Done in spite of it all: there is to be more of it.
                self.total += 8
        code, _, errors = self.drive().finish()
        assert code == 0, errors
        return self.total

    def drive(self):
        return Driver(
            self.path, self.store, "--jobs", "2", "--trials", str(self.total),
            checkpoints=self.generator.choice([0.0, 0.3, 30.0]),
        )  # fmt: skip

    def once(self):
        """Start a driver, kill workers and in the end the driver; returns whether it was done."""
        driver = self.drive()
        for _ in range(int(self.generator.integers(1, 3))):
            if driver.ends_within(self.generator.uniform(0.0, MOST_SECONDS / 2)):
                code, _, errors = driver.finish()
                assert code == 0, errors
                return True
            self.kill_workers(driver)
        left = driver.kill_alone()
        self.counts["driver"] += 1
        wait_until_ended(left)
        return False

    def kill_workers(self, driver):
        """Kill one worker, or all of them, if that leaves every trial a death to spare."""
        if self.generator.random() < 0.5 or not (self.store / names.LEDGER).exists():
            return
        ledger = ledger_of(self.store)
        open_trials = [t for t in ledger.trials(self.path.stem) if t.state == "running"]
        ledger.close()
        workers = [child for child in driver.children() if "loky" in name_of(child)]
        if not workers or max((t.crashes for t in open_trials), default=2) > 0:
            return
        every = bool(self.generator.random() < 0.5)
        for worker in workers if every else [workers[self.generator.integers(len(workers))]]:
            try:
                os.kill(worker.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.counts["all workers" if every else "worker"] += 1


def name_of(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def everything(store, study):
    """What the ledger and Optuna's storage have of a study, but for times and worker names."""
    ledger = ledger_of(store)
    found = {
        "trials": trials(ledger, study),
        "open": [t.number for t in ledger.trials(study.name) if t.state == "running"],
        "checkpoints": [ledger.checkpoint(study.name, n) for n in range(study.section.trials)],
    }
    ledger.close()
    stored = optuna.load_study(study_name=study.name, storage=names.optuna_uri(store))
    found["optuna"] = [
        (
            t.number, t.state, t.values, t.params, t.distributions, t.user_attrs,
            repr(t.intermediate_values),
            {k: v for k, v in t.system_attrs.items() if not k.startswith("cma")},
        )
        for t in stored.get_trials()
    ]  # fmt: skip
    found["best"] = stored.best_trial.number
    return found


def client_of(store):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=names.mlflow_uri(store))


def runs_of(store, study):
    """All runs of a study in MLflow."""
    client = client_of(store)
    experiment = client.get_experiment_by_name(study.name)
    return client.search_runs([experiment.experiment_id], max_results=1000)


def check_mlflow(store, study, expected):
    """Every run is ended, there is one for each trial, and it has every epoch once."""
    client, runs = client_of(store), runs_of(store, study)
    assert {run.info.status for run in runs} <= {"FINISHED", "FAILED"}
    kinds = [run.data.tags[names.KIND_TAG] for run in runs]
    assert kinds.count(names.STUDY_KIND) == 1
    by_trial = {
        int(run.data.tags[names.TRIAL_TAG]): run
        for run in runs
        if run.data.tags[names.KIND_TAG] == names.TRIAL_KIND
    }
    assert len(by_trial) == len(runs) - 1
    assert sorted(by_trial) == [trial["number"] for trial in expected]
    metric = "loss" if study.section.metric == "value" else study.section.metric
    for trial in expected:
        run = by_trial[trial["number"]]
        assert run.data.tags[names.STATE_TAG] == trial["state"]
        steps = [m.step for m in client.get_metric_history(run.info.run_id, metric)]
        assert sorted(steps) == [number for number, *_ in trial["epochs"]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The file of a study whose epochs take their time, and the store of a search of it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = write_study(folder, trials=16, delay=0.1)
    assert Driver(path, folder / "store", "--jobs", "2").finish()[0] == 0
    return path, folder / "store"


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT] * 2])
def test_interrupted_search_leaves_no_run_running_and_continues(signals, undisturbed, tmp_path):
    path, another_store = undisturbed
    store = tmp_path / "store"
    driver = Driver(path, store, "--jobs", "2", checkpoints=0)
    driver.wait_for_trial()
    for number in signals:
        driver.signal(number)
        driver.error_line()  # it has received the signal
    children = driver.children()
    code, _, _ = driver.finish()
    assert code == 130
    wait_until_ended(children)
    study = study_file.read(path)
    statuses = [run.info.status for run in runs_of(store, study)]
    assert "RUNNING" not in statuses
    assert "KILLED" in statuses
    code, _, errors = Driver(path, store, "--jobs", "2").finish()
    assert (code, errors) == (0, "")
    found = everything(store, study)
    assert found == everything(another_store, study)
    check_mlflow(store, study, found["trials"])


def test_driver_killed_while_it_writes_its_last_lines_leaves_no_run_running(tmp_path, generator):
    """The last trial is recorded, the study's own run is not ended yet: it must be continued."""
    path = write_study(tmp_path, trials=3, epochs=2)
    store = tmp_path / "store"
    for _ in range(12):
        driver = Driver(path, store, "--jobs", "2")
        for _ in range(3):
            driver.line()
        if driver.ends_within(generator.uniform(0.0, 6.0)):
            break
        driver.kill_alone()
    code, _, errors = Driver(path, store, "--jobs", "2").finish()
    assert (code, errors) == (0, "")
    study = study_file.read(path)
    check_mlflow(store, study, everything(store, study)["trials"])
