"""The objective: its reports, how it ends, and that any training can be resumed."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from typing import get_args, get_type_hints

import numpy as np
import pytest

from nets.data import Dataset, load
from nets.errors import InputError
from nets.losses import CrossEntropy
from nets.objective import objective
from nets.settings import FILTERS, Settings, to_json
from nets.state import pack, unpack
from nets.trainer import Training

SEED = 5


def stripes(count=230, size=6, classes=3):
    """Images of one bright row on a noisy background; the label is the index of the row."""
    generator = np.random.default_rng(SEED)
    labels = generator.integers(classes, size=count, dtype=np.uint8)
    images = generator.integers(60, size=(count, size, size, 1))
    images[np.arange(count), labels] += 120
    images = images.astype(np.uint8)
    return Dataset(
        name="stripes",
        images=images[:200],
        labels=labels[:200],
        test_images=images[200:],
        test_labels=labels[200:],
        classes=classes,
        full_scale=255,
    )


DATA = stripes()
BASE = Settings(validation=50, epochs=5, batch_size=32, hidden=(12,), learning_rate=3e-3, seed=SEED)

# Together: every optimizer, schedule, architecture and kind of regularization.
VARIANTS = {
    "adam": {},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 1e-3},
    "momentum": {"optimizer": "momentum", "schedule": "step", "step_epochs": 2},
    "nesterov": {"optimizer": "nesterov", "schedule": "cosine", "warmup": 0.2},
    "adagrad": {"optimizer": "adagrad", "clip_norm": 0.5},
    "rmsprop": {"optimizer": "rmsprop", "label_smoothing": 0.1},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "one_cycle"},
    "dropout": {"dropout": 0.3},
    "batch normalization": {"batch_normalization": True},
    "early stopping": {"patience": 2},
    "augmentation": {"shift": 1.0, "rotation": 10.0, "elastic": 0.5},
    "no validation": {"validation": 0},
    "lenet": {"architecture": "lenet", "dropout": 0.3, "epochs": 3},
    "deep_convnet": {"architecture": "deep_convnet", "batch_normalization": True, "epochs": 3},
}
every_variant = pytest.mark.parametrize("name", VARIANTS)


def run(settings, resume=None, data=DATA):
    """Train; return the outcome and everything that was reported, with packed states."""
    reported = []

    def report(epoch):
        reported.append(
            {
                "number": epoch.number,
                "metrics": dict(epoch.metrics),
                "digests": dict(epoch.digests),
                "state": pack(epoch.state()),
                "outcome": epoch.outcome(),
            }
        )

    return objective(settings, data, report, resume), reported


def facts(reported):
    return [(epoch["number"], epoch["metrics"], epoch["digests"]) for epoch in reported]


def digest(model):
    return {name: (a.dtype.str, a.tobytes()) for name, a in model.arrays.items()}


@every_variant
def test_training_resumed_from_any_epoch_is_identical_to_the_bit(name):
    settings = replace(BASE, **VARIANTS[name])
    outcome, whole = run(settings)
    for stop in range(1, len(whole) + 1):
        resumed, rest = run(settings, unpack(whole[stop - 1]["state"]))
        assert facts(rest) == facts(whole[stop:])
        assert (resumed.epoch, resumed.reason) == (outcome.epoch, outcome.reason)
        assert digest(resumed.model) == digest(outcome.model)


@every_variant
def test_training_learns(name):
    _, reported = run(replace(BASE, **VARIANTS[name]))
    losses = [epoch["metrics"]["train_loss"] for epoch in reported]
    assert losses[-1] < losses[0]


def test_training_is_bit_identical_in_two_fresh_processes(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "import sys\n"
        f"sys.path[:0] = {[os.path.dirname(__file__), os.getcwd()]}\n"
        "from test_objective import DATA, objective\n"
        "from nets.settings import from_json\n"
        "def report(epoch):\n"
        "    print(epoch.number, dict(epoch.metrics), dict(epoch.digests))\n"
        "objective(from_json(sys.argv[1]), DATA, report)\n"
    )
    settings = replace(
        BASE, architecture="lenet", dropout=0.3, batch_normalization=True, rotation=10.0
    )
    outputs = {
        subprocess.run(
            [sys.executable, script, to_json(replace(settings, epochs=2))],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1
    assert len(outputs.pop().splitlines()) == 2


@pytest.mark.parametrize("name", ["adam", "dropout", "augmentation"])
def test_no_global_random_state_is_read_or_written(name):
    settings = replace(BASE, **VARIANTS[name] | {"epochs": 2})
    np.random.seed(1)  # noqa: NPY002 the global state is the subject here
    before = np.random.get_state()  # noqa: NPY002
    _, first = run(settings)
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_equal(after, before)
    np.random.seed(2)  # noqa: NPY002
    assert facts(run(settings)[1]) == facts(first)


def test_every_image_is_used_once_an_epoch_and_validation_never():
    training = Training(BASE, DATA)
    seen = []
    original = training._step
    training._step = lambda rows, *others: (seen.append(rows), original(rows, *others))[1]
    training.run_epoch()
    assert [len(rows) for rows in seen] == [32, 32, 32, 32, 22]
    assert sorted(np.concatenate(seen)) == sorted(training.training_rows)
    assert not set(np.concatenate(seen)) & set(training.validation_rows)


def test_the_order_of_the_mini_batches_changes_from_epoch_to_epoch():
    _, reported = run(BASE)
    assert len({epoch["digests"]["batches"] for epoch in reported}) == BASE.epochs


def test_dropout_changes_neither_initial_weights_nor_order():
    plain, dropped = (Training(replace(BASE, dropout=d), DATA) for d in (0.0, 0.5))
    np.testing.assert_array_equal(plain.network.parameters, dropped.network.parameters)
    assert plain.run_epoch().digests["batches"] == dropped.run_epoch().digests["batches"]


def test_metrics_are_those_of_the_network():
    training = Training(BASE, DATA)
    metrics = training.run_epoch().metrics
    assert set(metrics) == {
        "train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate",
    }  # fmt: skip
    rows = training.validation_rows
    x = (DATA.images[rows] / 255).astype(np.float32)
    outputs = training.network.predict(x)
    assert metrics["val_loss"] == pytest.approx(CrossEntropy()(outputs, DATA.labels[rows])[0])
    assert metrics["val_accuracy"] == (outputs.argmax(axis=1) == DATA.labels[rows]).mean()
    assert metrics["learning_rate"] == BASE.learning_rate


def test_train_metrics_are_means_over_the_mini_batches_in_training_mode():
    settings = replace(BASE, batch_size=150, epochs=1)  # one mini-batch: all images
    training = Training(settings, DATA)
    x = (DATA.images[training.training_rows] / 255).astype(np.float32)
    outputs = training.network.predict(x)
    labels = DATA.labels[training.training_rows]
    metrics = training.run_epoch().metrics
    assert metrics["train_loss"] == pytest.approx(CrossEntropy()(outputs, labels)[0], rel=1e-6)
    assert metrics["train_accuracy"] == (outputs.argmax(axis=1) == labels).mean()


def test_validation_loss_has_no_label_smoothing():
    smoothed = replace(BASE, label_smoothing=0.5)
    training = Training(smoothed, DATA)
    loss = training.run_epoch().metrics["val_loss"]
    rows = training.validation_rows
    x = (DATA.images[rows] / 255).astype(np.float32)
    expected = CrossEntropy()(training.network.predict(x), DATA.labels[rows])[0]
    assert loss == pytest.approx(expected)


def test_without_validation_there_are_no_validation_metrics():
    _, reported = run(replace(BASE, validation=0, epochs=1))
    assert set(reported[0]["metrics"]) == {"train_loss", "train_accuracy", "learning_rate"}


ONLY_WITH = {
    field.name: field.metadata["only_with"] for field in fields(Settings)
    if "only_with" in field.metadata
}  # fmt: skip
OTHER_VALUE = {
    "initial_std": 0.1, "momentum": 0.5, "beta1": 0.5, "beta2": 0.5,
    "step_epochs": 2, "step_factor": 0.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "other", "value"),
    [
        (name, other, value)
        for name, only_with in ONLY_WITH.items()
        for other in only_with
        for value in get_args(get_type_hints(Settings)[other])
    ],
)
def test_setting_has_an_effect_only_with_the_values_that_its_metadata_names(name, other, value):
    settings = replace(BASE, epochs=2, step_epochs=1, **{other: value})
    other_value = (3,) * len(FILTERS.get(value, (1,))) if name == "filters" else OTHER_VALUE[name]
    changed = replace(settings, **{name: other_value})
    one, another = facts(run(settings)[1]), facts(run(changed)[1])
    assert (one != another) == (value in ONLY_WITH[name][other])


def test_digests_are_the_documented_ones():
    training = Training(replace(BASE, batch_normalization=True), DATA)
    digests = training.run_epoch().digests
    network = training.network
    content = network.parameters.tobytes() + network.statistics.tobytes()
    assert digests["weights"] == hashlib.sha256(content).hexdigest()
    states = training.state()["generators"]
    text = json.dumps(states, sort_keys=True).encode()
    assert digests["generators"] == hashlib.sha256(text).hexdigest()


def test_state_holds_copies():
    training = Training(BASE, DATA)
    state = training.run_epoch().state()
    before = pack(state)
    training.run_epoch()
    assert pack(state) == before


def test_an_exception_from_report_ends_the_training_and_propagates():
    class Pruned(Exception):
        pass

    numbers = []

    def report(epoch):
        numbers.append(epoch.number)
        if epoch.number == 2:
            raise Pruned

    with pytest.raises(Pruned):
        objective(BASE, DATA, report)
    assert numbers == [1, 2]


def test_an_epoch_s_outcome_is_the_model_at_that_epoch():
    outcome, reported = run(BASE)
    second = reported[1]["outcome"]
    assert (second.epoch, second.reason) == (2, "finished")
    shorter, _ = run(replace(BASE, epochs=2))
    np.testing.assert_array_equal(
        second.model.arrays["parameters"], shorter.model.arrays["parameters"]
    )
    assert (outcome.epoch, outcome.reason) == (5, "finished")
    assert digest(reported[-1]["outcome"].model) == digest(outcome.model)


class TestDivergence:
    settings = replace(BASE, optimizer="sgd", learning_rate=1e30, epochs=4)

    def test_a_loss_that_is_not_finite_ends_the_training_after_its_report(self):
        outcome, reported = run(self.settings)
        assert (outcome.epoch, outcome.reason) == (1, "diverged")
        assert len(reported) == 1
        assert not np.isfinite(reported[0]["metrics"]["train_loss"])

    def test_a_diverged_training_stays_diverged_when_resumed(self):
        _, reported = run(self.settings)
        outcome, rest = run(self.settings, unpack(reported[0]["state"]))
        assert (outcome.reason, rest) == ("diverged", [])


class TestEarlyStopping:
    # The learning rate is so large that the validation loss soon rises.
    settings = replace(BASE, patience=2, epochs=40, learning_rate=0.05)

    def test_training_stops_and_the_best_weights_are_restored(self):
        outcome, reported = run(self.settings)
        losses = [epoch["metrics"]["val_loss"] for epoch in reported]
        best = int(np.argmin(losses)) + 1
        assert outcome.reason == "early stopping"
        assert outcome.epoch == best == len(reported) - 2
        weights = unpack(reported[best - 1]["state"])["parameters"]
        np.testing.assert_array_equal(outcome.model.arrays["parameters"], weights)
        assert outcome.parameter_count == weights.size

    def test_the_best_weights_are_kept_when_the_epochs_run_out_too(self):
        _, reported = run(self.settings)
        settings = replace(self.settings, epochs=len(reported) - 1)
        outcome, _ = run(settings)
        assert (outcome.epoch, outcome.reason) == (len(reported) - 2, "finished")


def test_the_state_of_another_network_is_refused():
    _, reported = run(replace(BASE, epochs=1))
    with pytest.raises(
        InputError,
        match=r"^resume: got a state with 483 parameters and 0 statistics, expected 803 and 0 for",
    ):
        run(replace(BASE, hidden=(20,)), unpack(reported[0]["state"]))


def test_weight_decay_applies_only_to_weights():
    # Zero gradients: all images are black and every label's share is the same.
    black = Dataset(
        name="black",
        images=np.zeros((30, 4, 4, 1), np.uint8),
        labels=np.tile(np.arange(3, dtype=np.uint8), 10),
        test_images=np.zeros((1, 4, 4, 1), np.uint8),
        test_labels=np.zeros(1, np.uint8),
        classes=3,
        full_scale=255,
    )
    settings = Settings(
        validation=0, epochs=1, batch_size=30, hidden=(5,), optimizer="sgd",
        learning_rate=0.5, weight_decay=0.2,
    )  # fmt: skip
    training = Training(settings, black)
    before = training.network.parameters.copy()
    training.run_epoch()
    weights = training.network.weights.size
    after = training.network.parameters
    np.testing.assert_allclose(after[:weights], before[:weights] * 0.9, rtol=1e-6)
    np.testing.assert_allclose(after[weights:], before[weights:], atol=1e-7)


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_weights_of_black_pixels_become_zero_instead_of_subnormal(name, monkeypatch):
    images = np.asarray(DATA.images).copy()
    images[:, :, 3:] = 0
    settings = replace(BASE, optimizer=name, weight_decay=1e-3, batch_size=5, epochs=60)

    def train():
        training = Training(settings, replace(DATA, images=images))
        metrics = [training.run_epoch().metrics for _ in range(settings.epochs)]
        kept = [training.network.parameters, *training.optimizer.vectors.values()]
        sizes = np.abs(np.concatenate(kept))
        return metrics, np.count_nonzero((sizes > 0) & (sizes < np.finfo(np.float32).tiny))

    metrics, subnormal = train()
    assert subnormal == 0
    monkeypatch.setattr("nets.optimizers.NEGLIGIBLE", 0)
    before, subnormal = train()
    assert subnormal > 100
    assert metrics == before


def test_clipping_bounds_every_step():
    settings = replace(
        BASE,
        optimizer="sgd",
        clip_norm=0.01,
        learning_rate=1.0,
        epochs=1,
        validation=0,
        batch_size=200,
    )
    training = Training(settings, DATA)
    before = training.network.parameters.copy()
    training.run_epoch()
    moved = np.linalg.norm(training.network.parameters - before)
    assert moved == pytest.approx(0.01, rel=1e-3)


def test_real_digits_are_learnt(tmp_path):
    data = load("digits", tmp_path)
    settings = Settings(epochs=30, hidden=(100,), learning_rate=3e-3, schedule="cosine")
    _, reported = run(settings, data=data)
    assert reported[-1]["metrics"]["val_accuracy"] > 0.95
