"""A recorded table of configurations: 1,080 trainings on the digits, with every epoch.

Searches that look up their values here need no training time, so that hundreds of them can be
compared. `python -m benchmarks.recorded` records the table again, in some minutes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nets import data, objective
from nets.outcome import Epoch, Outcome
from nets.settings import Settings

PATH = Path(__file__).parent / "tables" / "digits.npz"
EPOCHS = 20
RATES = tuple(float(rate) for rate in np.geomspace(1e-5, 1e-1, 20).round(8))
DECAYS = tuple(float(decay) for decay in np.geomspace(1e-8, 1e-2, 6).round(12))
DROPOUTS = tuple(float(dropout) for dropout in np.linspace(0.0, 0.72, 9).round(2))
SPACE = {
    "rate": {"low": 0, "high": len(RATES) - 1},
    "decay": {"low": 0, "high": len(DECAYS) - 1},
    "dropout": {"low": 0, "high": len(DROPOUTS) - 1},
}
"""A study's space over the table: indices on its three axes."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Settings of a study over the table; `epoch_seconds` is the simulated time of an epoch."""

    rate: int = 0
    decay: int = 0
    dropout: int = 0
    epochs: int = EPOCHS
    epoch_seconds: float = 0.0
    seed: int = 0


@cache
def table() -> NDArray[np.float64]:
    """Return the validation losses: (rate, decay, dropout, epoch)."""
    with np.load(PATH) as archive:
        return np.asarray(archive["loss"], np.float64)


def curve(place: Place) -> list[float]:
    """Return the validation losses of a configuration, epoch by epoch."""
    losses: list[float] = table()[place.rate, place.decay, place.dropout].tolist()
    return losses


def wait_and_look_up(settings: Place, dataset: None, report) -> Outcome:
    """Report a recorded curve and sleep for `epoch_seconds` in each epoch: an objective."""
    for number, loss in enumerate(curve(settings), start=1):
        began = time.perf_counter()
        time.sleep(settings.epoch_seconds)
        report(Epoch(number, {"val_loss": loss}, time.perf_counter() - began))
    return Outcome(EPOCHS)


def main() -> None:
    dataset = data.load("digits", data.default_folder())
    shape = (len(RATES), len(DECAYS), len(DROPOUTS), EPOCHS)
    losses = np.empty(shape, np.float32)
    for place in product(*(range(size) for size in shape[:3])):
        epochs: list[Epoch] = []
        settings = Settings(
            hidden=(100, 50), epochs=EPOCHS, batch_size=32, learning_rate=RATES[place[0]],
            weight_decay=DECAYS[place[1]], dropout=DROPOUTS[place[2]],
            seed=int(np.ravel_multi_index(place, shape[:3])),
        )  # fmt: skip
        objective(settings, dataset, epochs.append)
        # A divergence is recorded as a large loss; four digits are enough to tell trials apart.
        found = [epoch.metrics["val_loss"] for epoch in epochs]
        losses[place] = np.nan_to_num(np.pad(found, (0, EPOCHS - len(found)), "edge"), nan=9.9)
    PATH.parent.mkdir(exist_ok=True)
    np.savez_compressed(PATH, loss=losses.clip(max=9.9).round(4))
    print(f"{losses[..., 0].size} configurations, best validation loss {losses[..., -1].min():.4f}")


if __name__ == "__main__":
    main()
