"""Searches that are disturbed at random moments, and compared with an undisturbed one.

Whatever happens to a search, the ledger, MLflow and Optuna's storage have in the end what they
would have had without it: no trial is lost, doubled or changed, nothing is left open, and no
command hangs or ends with another exit code than it should.
"""

import contextlib
import hashlib
import resource
import shutil
import sqlite3
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import optuna
import psutil
import pytest
from drivers import Driver, ledger_of, write_study
from flaky import FlakyAddress
from mlflow_server import MLflowServer
from programs import killed_afterwards
from searches import trials
from waiting import until, wait_until_ended

from tracking.store import names

MOST_SECONDS = 6.0
"""Within which of a driver's start a kill falls: while it starts, trains, or ends its record."""
LONGEST_FREEZE = 2.0
MOST_KILLS = 12
"""Of one study, which then may end."""

KILLS = ("driver killed", "worker killed", "all workers killed")
DISTURBANCES = (*KILLS, "driver frozen", "worker frozen", "disk full", "server failed")
FAULTS = (
    "trials lost",
    "trials doubled",
    "trials changed",
    "runs left open",
    "wrong exits",
    "hangs",
)

HOSTILE = ("none", "raise", "nan", "exit")
"""What goes wrong in a third of the trials of a study over curves."""

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
LIBRARIES = {"sgd": "skops", "mlp": "torch", "boosting": "lightgbm"}
"""Those examples whose trials are disturbed while they train, and what each needs."""

DIGITS = """
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


class Chaos:
    """Disturbs searches in a folder until there were enough kills; counts what was found.

    `kinds` are the studies that are searched in turn.
    """

    def __init__(self, folder, generator, *, kinds=("digits", *HOSTILE), with_server=False):
        self.folder, self.generator, self.with_server = folder, generator, with_server
        self.kinds = kinds
        self.counts = Counter(dict.fromkeys(("studies", "trials", *DISTURBANCES, *FAULTS), 0))
        self.problems = []
        self._expected = {}

    @property
    def kills(self):
        return sum(self.counts[kind] for kind in KILLS)

    def until(self, kills):
        """Search one study after another, until so many processes have been killed."""
        while self.kills < kills:
            print(f"study {self.counts['studies']}: {self.kills} kills so far", flush=True)
            number = self.counts["studies"]
            self.counts["studies"] += 1
            with killed_afterwards():
                self._round(self.kinds[number % len(self.kinds)], self.folder / str(number), kills)

    def _round(self, kind, folder, kills):
        """Search one study; its folder stays where something was found."""
        path, expected = self._undisturbed(kind)
        # Every third: it takes the time of ten kills to start a server.
        is_served = self.with_server and self.counts["studies"] % 3 == 0
        before = sum(self.counts[fault] for fault in FAULTS)
        with served(folder) if is_served else contextlib.nullcontext() as server:
            search = Disturbed(path, folder, self.generator, self.counts, server)
            try:
                most = min(kills, self.kills + MOST_KILLS)
                search.until_done(lambda: self.kills < most)
                found = contents(folder, named(path.stem), server and server.direct)
            except pytest.fail.Exception as error:
                self.counts["hangs"] += 1
                self._report(f"{folder}: {error}")
                return
            except WrongExit as error:
                self.counts["wrong exits"] += 1
                self._report(f"{folder}: {error}")
                return
        self.counts["trials"] += len(expected["ledger"])
        for place in expected:
            self._compare(f"{folder}: {place}", found[place], expected[place])
        if sum(self.counts[fault] for fault in FAULTS) == before:
            shutil.rmtree(folder)

    def _undisturbed(self, kind):
        """Return the file of a study, and what a search of it has that nothing disturbs."""
        folder = self.folder / f"undisturbed-{kind}"
        if kind not in self._expected:
            folder.mkdir(parents=True)
            if kind == "digits":
                path = folder / "digits.toml"
                path.write_text(DIGITS)
            elif kind in LIBRARIES:
                path = Path(shutil.copy(EXAMPLES / f"{kind}.py", folder))
            else:
                path = write_study(folder, trials=40, epochs=10, delay=0.1, fault=kind)
            code, _, errors = Driver(path, folder / "store", "--jobs", "2").finish()
            assert (code, errors) == (0, "")
            self._expected[kind] = path, contents(folder / "store", named(path.stem))
        return self._expected[kind]

    def _compare(self, where, found, expected):
        numbers = [number for number, _ in found]
        known = dict(expected)
        problems = {
            "trials lost": sorted(set(known) - set(numbers)),
            "trials doubled": sorted(
                {n for n in numbers if numbers.count(n) > 1} | set(numbers) - set(known)
            ),
            "trials changed": [n for n, content in found if n in known and content != known[n]],
            "runs left open": [n for n, content in found if "RUNNING" in content],
        }
        for kind, which in problems.items():
            self.counts[kind] += len(which)
            if which:
                first = f"  {dict(found).get(which[0])}\n  {known.get(which[0])}"
                self._report(f"{where}: {kind}: {which}\n{first}")

    def _report(self, problem):
        self.problems.append(problem)
        print(problem, flush=True)


class WrongExit(Exception):
    """A search ended with an exit code that it should not have had."""


class Disturbed:
    """One study that is searched and disturbed."""

    def __init__(self, path, store, generator, counts, server=None):
        self.path, self.store, self.generator, self.counts = path, store, generator, counts
        self.server = server

    def until_done(self, goes_on):
        """Disturb the search until it is done, or until there was enough; then let it end."""
        while goes_on():
            if self.generator.random() < 0.08:
                self.fill_disk()
            elif self.disturb():
                return
        self.end(self.drive())

    def drive(self, **options):
        if self.server is not None:
            options["MLFLOW_TRACKING_URI"] = self.server.url
        checkpoints = self.generator.choice([0.0, 0.3, 30.0])
        return Driver(self.path, self.store, "--jobs", "2", checkpoints=checkpoints, **options)

    def end(self, driver, *, expected=(0,)):
        code, _, errors = driver.finish()
        if code not in expected or "Traceback (most recent call last)" in errors:
            raise WrongExit(f"exit code {code}: {errors[-2000:]}")

    def disturb(self):
        """Start a driver, disturb it and kill it in the end; return whether it was done."""
        driver = self.drive()
        if self.path.stem in LIBRARIES and self.generator.random() < 0.75:
            self.wait_for_epoch(driver)  # importing a library takes longer than to train
        chosen = []
        for _ in range(int(self.generator.integers(1, 4))):
            if driver.ends_within(self.generator.uniform(0.0, MOST_SECONDS / 2)):
                self.end(driver)
                return True
            steps = [self.freeze_driver, self.freeze_worker]
            if chosen.count(self.kill_workers) < 2:  # a search ends if a third start is killed
                steps += [self.kill_workers] * 2
            if self.server is not None:
                steps += [self.fail_server] * 2
            chosen.append(steps[self.generator.integers(len(steps))])
            chosen[-1](driver)
        left = driver.kill_alone()
        self.counts["driver killed"] += 1
        wait_until_ended(left)
        return False

    def wait_for_epoch(self, driver):
        """Wait until the ledger has another epoch, or the driver has ended."""
        before = self.count_epochs()
        until(lambda: driver.ends_within(0.02) or self.count_epochs() > before, "an epoch")

    def count_epochs(self):
        address = f"file:{self.store / names.LEDGER}?mode=ro"
        try:
            with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
                return connection.execute("SELECT COUNT(*) FROM epoch").fetchone()[0]
        except sqlite3.OperationalError:  # it is not there yet, or has no table
            return 0

    def kill_workers(self, driver):
        """Kill one worker, or all of them, if that leaves every trial a death to spare."""
        workers = workers_of(driver)
        if not workers or not (self.store / names.LEDGER).exists():
            return
        ledger = ledger_of(self.store)
        crashes = [t.crashes for t in ledger.trials(self.path.stem) if t.state == "running"]
        ledger.close()
        if max(crashes, default=2) > 0:
            return
        every = bool(self.generator.random() < 0.5)
        for worker in workers if every else [self.one_of(workers)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        self.counts["all workers killed" if every else "worker killed"] += 1

    def freeze_worker(self, driver):
        if workers := workers_of(driver):
            with contextlib.suppress(psutil.NoSuchProcess):
                self.freeze(self.one_of(workers))
                self.counts["worker frozen"] += 1

    def freeze_driver(self, driver):
        with contextlib.suppress(psutil.NoSuchProcess):
            self.freeze(psutil.Process(driver.pid))
            self.counts["driver frozen"] += 1

    def freeze(self, process):
        process.suspend()
        time.sleep(self.generator.uniform(0.0, LONGEST_FREEZE))
        process.resume()

    def fail_server(self, driver):
        """Let the server fail while a search runs."""
        kind = self.generator.choice(FlakyAddress.TROUBLES)
        with self.server.trouble(kind):
            time.sleep(self.generator.uniform(0.0, LONGEST_FREEZE))
        self.counts["server failed"] += 1

    def fill_disk(self):
        """Run a driver whose files cannot grow by more than some kilobytes."""
        files = [path.stat().st_size for path in self.store.glob("ledger.db*")]
        most = max(files, default=0) + int(self.generator.integers(20_000, 100_000))

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

        self.counts["disk full"] += 1
        self.end(self.drive(preexec_fn=limit), expected=(0, 1))

    def one_of(self, processes):
        return processes[self.generator.integers(len(processes))]


@contextlib.contextmanager
def served(folder):
    """Start a server of MLflow behind an address that can fail."""
    place = folder.with_name(f"{folder.name}-server")
    place.mkdir(parents=True)
    server = MLflowServer(f"sqlite:///{place}/mlflow.db", place / "artifacts")
    server.start()
    flaky = FlakyAddress(int(server.url.rpartition(":")[2]))
    flaky.direct = server.url
    try:
        yield flaky
    finally:
        flaky.close()
        server.stop()
        shutil.rmtree(place)


def workers_of(driver):
    """Its workers, and the process that draws."""
    return [child for child in driver.children() if "popen_loky" in name_of(child)]


def name_of(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def named(name):
    """What `contents` needs of a study."""
    return SimpleNamespace(name=name)


def contents(store, study, url=None):
    """What the ledger, Optuna's storage and MLflow have of each trial, but for times and workers.

    Each place has a list of numbers with contents as text, in which NaN is equal to itself.
    """
    ledger = ledger_of(store)
    found = {
        "ledger": [
            (t["number"], repr((t, ledger.checkpoint(study.name, t["number"]))))
            for t in trials(ledger, study)
        ]
    }
    ledger.close()
    stored = optuna.load_study(study_name=study.name, storage=names.optuna_uri(store))
    found["Optuna"] = [
        (
            t.number,
            repr((
                t.state.name, t.values, t.params, t.distributions, t.user_attrs,
                t.intermediate_values,
                {k: v for k, v in t.system_attrs.items() if not k.startswith("cma")},
            )),
        )
        for t in stored.get_trials()
    ]  # fmt: skip
    found["MLflow"] = recorded(client_of(store, url), study, store)
    return found


def client_of(store, url=None):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=url or names.mlflow_uri(store))


def served_artifacts(store):
    """The folder with the artifacts of the server beside a store."""
    return store.with_name(f"{store.name}-server") / "artifacts"


def runs_of(client, study):
    """All runs of a study in MLflow."""
    experiment = client.get_experiment_by_name(study.name)
    with warnings.catch_warnings(action="ignore"):  # SQLAlchemy's to MLflow
        return client.search_runs([experiment.experiment_id], max_results=1000)


def recorded(client, study, store):
    """What MLflow has of a study's runs, and of their models: -1 is the study's own."""
    found, models = [], models_of(client, study, store)
    for run in runs_of(client, study):
        tags, metrics = run.data.tags, {}
        number = int(tags.get(names.TRIAL_TAG, -1))
        for key in run.data.metrics if number >= 0 else ():
            if "seconds" not in key:
                history = client.get_metric_history(run.info.run_id, key)
                metrics[key] = sorted((m.step, repr(m.value)) for m in history)
        files = [file.path for file in client.list_artifacts(run.info.run_id)] if metrics else []
        content = (
            run.info.status, tags.get(names.STATE_TAG), sorted(run.data.params.items()),
            sorted(metrics.items()), sorted(files), models[run.info.run_id],
        )  # fmt: skip
        found.append((number, repr(content)))
    return sorted(found)


def models_of(client, study, store):
    """The files of each run's model with their SHA-256.

    Without the one in which MLflow keeps ids, times and places.
    """
    found = defaultdict(list)
    experiment = client.get_experiment_by_name(study.name)
    for model in client.search_logged_models([experiment.experiment_id], max_results=1000):
        place = urlsplit(model.artifact_location)
        folder = Path(place.path)
        if place.scheme == "mlflow-artifacts":
            folder = served_artifacts(store) / place.path.lstrip("/")
        found[model.source_run_id] += sorted(
            (str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest())
            for path in folder.rglob("*")
            if path.is_file() and path.name != "MLmodel"
        )
    return found
