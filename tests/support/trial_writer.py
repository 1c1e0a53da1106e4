"""Trials of a study written into a ledger as a driver would, without training them."""

import math

import numpy as np

from nets.outcome import Model
from nets.state import PackedModel
from tracking.records import (
    Blas,
    Environment,
    EpochRecord,
    SamplerAttributes,
    TrialOutcome,
    TrialRecord,
)
from tracking.store import names

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

# Doubles its input: shows that the source has found its weights.
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
        packed = PackedModel.of(self.model()) if model else None
        self.ledger.finish_trial(STUDY, number, state, outcome, packed)
        with self.ledger.transaction() as connection:
            connection.execute(
                "UPDATE trial SET started = asked, finished = ? WHERE number = ?",
                (self._tick(), number),
            )

    def whole(self, number, state="complete", epochs=4, *, value=math.nan, **outcome):
        """Add, train and finish a trial; its last epoch has the value if there is one."""
        self.add(number)
        for epoch in range(1, epochs + 1):
            is_last = epoch == epochs and not math.isnan(value)
            self.epoch(number, epoch, **({"val_accuracy": value} if is_last else {}))
        self.finish(number, state, value=value, **outcome)

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
