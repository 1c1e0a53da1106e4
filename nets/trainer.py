"""The trainer: runs one training, epoch by epoch.

It uses the settings, the data and the network, and contains no pruning, printing or recording.
Everything that changes during a training is in `Training.state`; a training restored from it gives
the same results, to the bit, as an uninterrupted one.
"""

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import threads
from nets.architectures import build
from nets.arrays import Array, scaled
from nets.augmentation import Augmenter, wanted
from nets.data.dataset import Dataset
from nets.errors import InputError
from nets.evaluation import evaluate
from nets.kernels.plan import executor
from nets.layers import Standardization
from nets.losses import CrossEntropy
from nets.model_source import to_model
from nets.optimizers import clip_by_norm, make
from nets.outcome import Epoch, Outcome, Reason, State
from nets.randomness import Purpose, stream
from nets.schedules import learning_rate
from nets.settings import Settings

PURPOSES: tuple[Purpose, ...] = ("shuffling", "dropout", "augmentation")
"""The streams that are drawn from during a training."""
ZEROING = 16
"""Number of steps after which negligible numbers are set to zero: 1 % of the time of a step."""


@dataclass(frozen=True)
class Best:
    """The epoch with the lowest validation loss so far, and its weights."""

    epoch: int
    loss: float
    parameters: Array
    statistics: Array


class Training:
    """One training: what is fixed, what changes, and how an epoch changes it.

    Parameters
    ----------
    settings
        What to train. The split, the initial weights, the order of the mini-batches, dropout and
        augmentation each draw from a separate stream, derived from the seeds in the settings.
    data
        Images and labels. Pixels become float32 in [0, 1] mini-batch by mini-batch.
    """

    def __init__(self, settings: Settings, data: Dataset) -> None:
        self.settings = settings
        self.data = data
        self.images, self.labels = np.asarray(data.images), np.asarray(data.labels)
        self.training_rows, self.validation_rows = data.split(
            settings.validation, settings.split_seed
        )
        self.network = build(
            settings, data.image_shape, data.classes, stream(settings.seed, "initialization")
        )
        if isinstance(first := self.network.layers[0], Standardization):
            first.follow(self.network.statistic_views[0], self.images[self.training_rows])
        self.executor = executor(self.network, threads=threads.count())
        self.optimizer = make(
            settings, self.network.parameters.size, self.network.weights.size, np.float32
        )
        self.loss = CrossEntropy(settings.label_smoothing)
        self.generators = {purpose: stream(settings.seed, purpose) for purpose in PURPOSES}
        check_augmentation(settings, data)
        self.augmenter = Augmenter(settings, data.image_shape) if wanted(settings) else None
        self.epoch = 0
        self.diverged = False
        self.best: Best | None = None
        self.steps_per_epoch = math.ceil(len(self.training_rows) / settings.batch_size)
        self.decay = np.empty_like(self.network.weights)
        self.pixels = np.empty((settings.batch_size, *data.image_shape), np.float32)

    @property
    def reason(self) -> Reason | None:
        """The reason why the training has ended, or None if it has not."""
        if self.diverged:
            return "diverged"
        if self.epoch >= self.settings.epochs:
            return "finished"
        if (
            self.settings.patience
            and self.best is not None
            and self.epoch - self.best.epoch >= self.settings.patience
        ):
            return "early stopping"
        return None

    def run_epoch(self) -> Epoch:
        """Train on every image once, score the validation images, and return the epoch."""
        started = time.perf_counter()
        order = self.generators["shuffling"].permutation(self.training_rows)
        # Overflow in float32 raises no warning here: it shows in the loss, which then ends the
        # training.
        with threads.pinned(), np.errstate(all="ignore"):
            metrics = self._train(order) | self._validate()
        self.epoch += 1
        losses = [value for name, value in metrics.items() if name.endswith("loss")]
        self.diverged = not all(map(math.isfinite, losses))
        self._remember(metrics)
        return Epoch(
            number=self.epoch,
            metrics=metrics,
            seconds=time.perf_counter() - started,
            digests=self._digests(order),
            state=self.state,
            outcome=self.outcome,
        )

    def _train(self, order: NDArray[np.int64]) -> dict[str, float]:
        """Take one step for each mini-batch; return the running means over the epoch."""
        total, hits, rate = 0.0, 0, 0.0
        for number, start in enumerate(range(0, len(order), self.settings.batch_size)):
            rows = order[start : start + self.settings.batch_size]
            step = self.epoch * self.steps_per_epoch + number
            rate = learning_rate(self.settings, step, self.steps_per_epoch)
            total += len(rows) * self._step(rows, rate)
            if step % ZEROING == 0:
                self.optimizer.zero_negligible(self.network.parameters)
            hits += int((self.executor.outputs.argmax(axis=1) == self.labels[rows]).sum())
            if not math.isfinite(total):
                break  # no later step can repair the weights
        return {
            "train_loss": total / len(order),
            "train_accuracy": hits / len(order),
            "learning_rate": rate,
        }

    def _step(self, rows: NDArray[np.int64], rate: float) -> float:
        """Train on one mini-batch: gradient, clipping, weight decay, update."""
        network, settings = self.network, self.settings
        pixels = scaled(self.images[rows], self.data.full_scale, out=self.pixels[: len(rows)])
        if self.augmenter is not None:
            pixels = self.augmenter(pixels, self.generators["augmentation"])
        noise = network.draw(len(rows), self.generators["dropout"])
        value = self.executor.loss_and_gradients(pixels, self.labels[rows], self.loss, noise)
        if settings.clip_norm:
            clip_by_norm(network.gradients, settings.clip_norm)
        if settings.weight_decay and settings.optimizer != "adamw":  # AdamW applies it itself
            np.multiply(network.weights, settings.weight_decay, out=self.decay)
            network.gradients[: network.weights.size] += self.decay
        self.optimizer.update(network.parameters, network.gradients, rate)
        return value

    def _validate(self) -> dict[str, float]:
        """Score the network on the images held out, if there are any."""
        if not self.validation_rows.size:
            return {}
        score = evaluate(
            self.executor, self.images, self.labels, self.data.full_scale, self.validation_rows
        )
        return {"val_loss": score.loss, "val_accuracy": score.accuracy}

    def _remember(self, metrics: dict[str, float]) -> None:
        """Keep the weights of the best epoch for early stopping."""
        if not self.settings.patience:
            return
        loss = metrics["val_loss"]
        if math.isfinite(loss) and (self.best is None or loss < self.best.loss):
            self.best = Best(
                self.epoch, loss, self.network.parameters.copy(), self.network.statistics.copy()
            )

    def _digests(self, order: NDArray[np.int64]) -> dict[str, str]:
        """Return the SHA-256 of everything that must be equal when this epoch is reproduced."""
        return {
            "weights": self.network.digest(),
            "batches": _sha256(order.astype("<i8").tobytes()),
            "generators": _sha256(json.dumps(self._generator_states(), sort_keys=True).encode()),
        }

    def _generator_states(self) -> dict[str, Any]:
        """Return the states as plain values that JSON represents exactly."""
        return {name: g.bit_generator.state for name, g in self.generators.items()}

    def state(self) -> State:
        """Return copies of everything that changes in training; `restore` takes them."""
        return {
            "epoch": self.epoch,
            "diverged": self.diverged,
            "parameters": self.network.parameters.copy(),
            "statistics": self.network.statistics.copy(),
            "optimizer": self.optimizer.state(),
            "generators": self._generator_states(),
            "best": None if self.best is None else asdict(self.best),
        }

    def restore(self, state: State) -> None:
        """Resume from what `state` returned, in this process or another.

        Raises InputError for the state of another network.
        """
        sizes = (state["parameters"].size, state["statistics"].size)
        expected = (self.network.parameters.size, self.network.statistics.size)
        if sizes != expected:
            raise InputError(
                "resume",
                problem=f"got a state with {sizes[0]} parameters and {sizes[1]} statistics",
                expected=f"{expected[0]} and {expected[1]} for these settings",
            )
        self.epoch = state["epoch"]
        self.diverged = state["diverged"]
        self.network.parameters[:] = state["parameters"]
        self.network.statistics[:] = state["statistics"]
        self.optimizer.restore(state["optimizer"])
        for name, generator in self.generators.items():
            generator.bit_generator.state = state["generators"][name]
        self.best = None if state["best"] is None else Best(**state["best"])

    def outcome(self) -> Outcome:
        """Return the outcome if the training ended here; with early stopping, of the best epoch."""
        kept = self.best or Best(
            self.epoch, math.nan, self.network.parameters, self.network.statistics
        )
        return Outcome(
            kept.epoch,
            self.reason or "finished",
            to_model(self.settings, self.data, kept.parameters, kept.statistics),
            parameter_count=kept.parameters.size,
        )


def check_fits(settings: Settings, data: Dataset) -> None:
    """Raise InputError unless networks with these settings can be trained on this data."""
    check_augmentation(settings, data)
    build(settings, data.image_shape, data.classes, None)


def check_augmentation(settings: Settings, data: Dataset) -> None:
    """Raise InputError for augmentation of a table."""
    if data.is_table and wanted(settings):
        raise InputError("augmentation", problem=f"{data.name} is a table", expected="images")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
