"""A ledger to write trials into, a store of its own for every test, and all that a store holds."""

import math
import shutil
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from waiting import PATIENCE

from nets.outcome import Model
from tracking.ledger import Ledger
from tracking.records import (
    Blas,
    Environment,
    EpochRecord,
    SamplerAttributes,
    TrialOutcome,
    TrialRecord,
)
from tracking.runs.recorder import Recorder
from tracking.store import names
from tracking.store.store import open_store, prepare_mlflow


def pytest_collection_modifyitems(items):
    """Warnings are errors, but for those of MLflow's own about the libraries it stands on."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:The ``noload``"))


STUDY = "digits"
DEFINITION = {
    "study": {
        "name": STUDY, "trials": 4, "metric": "val_accuracy", "direction": "maximize",
        "sampler": {"name": "tpe"}, "pruner": {"name": "median"}, "seed": 3,
        "objective": "nets.objective:objective", "settings": "nets.settings:Settings",
    },
    "fixed": {"epochs": 4},
    "space": {"learning_rate": {"low": 1e-5, "high": 0.1, "log": True}},
}  # fmt: skip
ENVIRONMENT = Environment(
    python="3.11.7", versions={"numpy": "2.4.6"}, code={"nets": "c" * 64},
    blas=Blas("openblas", "0.3", "Haswell", 1), simd=("X86_V2", "X86_V3"),
    command="retrial search digits", user="ada", data={"digits": "d" * 64},
)  # fmt: skip

# Doubles its input: enough to see that source and weights found each other.
MODEL_SOURCE = '''"""A model of one number."""
import mlflow
import numpy as np


class Doubling(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        with np.load(context.artifacts["weights"], allow_pickle=False) as arrays:
            self.factor = arrays["factor"]

    def predict(self, context, model_input: np.ndarray, params=None):
        return np.asarray(model_input, np.float32).reshape(len(model_input), -1) * self.factor


mlflow.models.set_model(Doubling())
'''


class Trials:
    """Writes what a driver would: trials, their epochs and ends, with times one second apart."""

    def __init__(self, ledger):
        self.ledger = ledger
        self._now = 1_700_000_000.0

    def add(self, number, **settings):
        parameters = {"learning_rate": 0.001 * (number + 1)}
        settings = {"epochs": 4, "hidden": [16], "validation": 100, **parameters, **settings}
        self.ledger.add_trial(
            TrialRecord(
                STUDY, number, "running", settings, parameters, SamplerAttributes(), self._tick()
            )
        )

    def epoch(self, number, epoch, **metrics):
        accuracy = 1 - math.exp(-epoch / (number + 1))
        usual = {"train_loss": 1 / epoch, "val_loss": 1.1 / epoch, "val_accuracy": accuracy}
        digests = {"weights": f"{number:032d}{epoch:032d}"}
        self.ledger.add_epoch(
            STUDY, number, EpochRecord(epoch, usual | metrics, digests, 0.1, self._tick())
        )

    def finish(self, number, state="complete", *, model=True, value=math.nan, **outcome):
        epochs = self.ledger.epochs(STUDY, number)
        if state == "failed":
            value = None
        elif math.isnan(value):
            value = epochs[-1].metrics["val_accuracy"]
        outcome = TrialOutcome(
            **{
                "value": value,
                "epoch": epochs[-1].number if epochs else None,
                "reason": "finished" if state == "complete" else state,
                "attributes": {},
                **outcome,
            }
        )
        self.ledger.finish_trial(STUDY, number, state, outcome, self.model() if model else None)
        with self.ledger.transaction() as connection:
            connection.execute(
                "UPDATE trial SET started = asked, finished = ? WHERE number = ?",
                (self._tick(), number),
            )

    def whole(self, number, state="complete", epochs=4, **outcome):
        """Add, train and finish a trial."""
        self.add(number)
        for epoch in range(1, epochs + 1):
            self.epoch(number, epoch)
        self.finish(number, state, **outcome)

    @staticmethod
    def model():
        arrays = {
            "factor": np.float32(2),
            "image_shape": np.array((2, 2, 1)),
            "classes": np.array(4),
            names.INPUT_EXAMPLE: np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1),
        }
        return Model(MODEL_SOURCE, arrays)

    def _tick(self):
        self._now += 1
        return self._now


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory):
    """A database that has been through MLflow's migrations, once a session."""
    root = tmp_path_factory.mktemp("template")
    prepare_mlflow()
    with warnings.catch_warnings(action="ignore"):
        # Some of its modules warn of each other while they are imported.
        import mlflow.pyfunc  # noqa: F401
    open_store(root).close()
    return root / names.MLFLOW_DATABASE


@pytest.fixture
def root(tmp_path, migrated_database):
    """The folder of a fresh store."""
    root = tmp_path / "mlruns"
    root.mkdir()
    shutil.copyfile(migrated_database, root / names.MLFLOW_DATABASE)
    return root


@pytest.fixture
def store(root, monkeypatch):
    """An open, empty store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return open_store(root)


@pytest.fixture
def ledger(root):
    """A ledger with the study ``digits`` and no trial."""
    ledger = Ledger(root / names.LEDGER)
    ledger.add_study(STUDY, DEFINITION, ENVIRONMENT)
    yield ledger
    ledger.close()


@pytest.fixture
def trials(ledger):
    """What writes trials into the ledger."""
    return Trials(ledger)


@pytest.fixture(scope="session")
def new_study():
    """Adds the study ``digits`` to a ledger and returns what writes its trials."""

    def add(ledger):
        ledger.add_study(STUDY, DEFINITION, ENVIRONMENT)
        return Trials(ledger)

    return add


@pytest.fixture
def quick_figures(monkeypatch):
    """Figures that cost nothing, where they are not what is tested."""
    monkeypatch.setattr("tracking.figures.curves.curves_png", lambda *_: b"png")


@pytest.fixture
def environment():
    """An environment as `tracking.provenance.environment.capture` returns it."""
    return ENVIRONMENT


@pytest.fixture
def contents():
    """Everything a store holds of the study, without ids and times of delivery."""
    return read_contents


def read_contents(store):
    client = store.client
    experiment = client.get_experiment_by_name(STUDY)
    runs = client.search_runs([experiment.experiment_id])
    by_id = {run.info.run_id: run.info.run_name for run in runs}
    models = client.search_logged_models([experiment.experiment_id])
    found = {
        run.info.run_name: {
            "status": run.info.status,
            "params": run.data.params,
            "tags": {
                key: by_id.get(value, value)
                for key, value in run.data.tags.items()
                if not key.startswith("mlflow.source")
            },
            "metrics": {
                key: [(m.step, repr(m.value), m.timestamp) for m in _history(client, run, key)]
                for key in run.data.metrics
            },
            "files": _files(client, run),
            "inputs": [(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs],
            "models": [
                {
                    "name": model.name,
                    "status": str(model.status),
                    "metrics": sorted((m.key, m.value, m.timestamp) for m in model.metrics),
                    "is an output": [output.model_id for output in run.outputs.model_outputs]
                    == [model.model_id],
                }
                for model in models
                if model.source_run_id == run.info.run_id
            ],
        }
        for run in runs
    }
    assert len(found) == len(runs), "two runs have one name"
    return found


def _history(client, run, key):
    return sorted(client.get_metric_history(run.info.run_id, key), key=lambda m: (m.step, m.value))


def _files(client, run):
    """Return the run's files: JSON as values, of others only that they are there."""
    files = {}
    for info in client.list_artifacts(run.info.run_id):
        path = Path(client.download_artifacts(run.info.run_id, info.path))
        files[info.path] = path.read_text() if path.suffix in (".json", ".txt") else path.is_file()
    return files


@pytest.fixture
def until(monkeypatch):
    """Wait until a recorder has brought something about; looks after each of its deliveries."""
    delivered = threading.Condition()
    attempt = Recorder._attempt

    def tell(self, *arguments):
        try:
            return attempt(self, *arguments)
        finally:
            with delivered:
                delivered.notify_all()

    def until(condition):
        with delivered:
            assert delivered.wait_for(condition, PATIENCE), "no delivery brought it about"

    monkeypatch.setattr(Recorder, "_attempt", tell)
    return until
