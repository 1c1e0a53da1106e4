"""Question: where does the time of a training step go?

Each row is a network of `benchmarks.training`, batch 128, one core: milliseconds of a step, and
their shares in percent. "Products" are the calls of np.matmul inside the stages of convolutions and
affine layers, "transforms" everything else in these stages: Winograd's transforms, copies between
images and planes, biases. Measuring adds about a microsecond to each of some 200 calls per
micro-batch, so that the shares of small stages are overstated a little.

    python -m benchmarks.shares
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.measure import head
from benchmarks.training import ROWS
from benchmarks.twins import our_step
from nets import threads
from nets.kernels.passes import Pass
from nets.settings import Settings

REPEATS = 15
KINDS = {
    "Winograd": "convolution", "Correlation": "convolution", "FirstLayer": "convolution",
    "Convolution": "convolution", "BatchNormalization": "batch normalization",
    "Pooling": "pooling", "Affine": "affine", "Rectifier": "ReLU", "Dropout": "dropout",
}  # fmt: skip
COLUMNS = (
    "convolution products", "convolution transforms", "pooling", "batch normalization",
    "affine products", "affine transforms", "ReLU", "dropout", "other",
)  # fmt: skip


def kind(stage: object) -> str:
    """Return the column of a stage."""
    name = type(stage).__name__
    return next((column for part, column in KINDS.items() if part in name), "other")


class Clock:
    """Adds up the nanoseconds of stages and of the matrix products in them."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self.products = 0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call of a stage with its time added up."""
        column = kind(getattr(call, "__self__", None))

        def measure(*arguments: Any) -> Any:
            self.products, began = 0, time.perf_counter_ns()
            result = call(*arguments)
            taken = time.perf_counter_ns() - began
            if column in ("convolution", "affine"):
                self.spent[f"{column} products"] += self.products
                self.spent[f"{column} transforms"] += taken - self.products
            else:
                self.spent[column] += taken
            return result

        return measure

    def product(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return np.matmul with its time added up."""

        def measure(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter_ns()
            result = call(*arguments, **options)
            self.products += time.perf_counter_ns() - began
            return result

        return measure


def shares(settings: Settings, batch: int) -> tuple[float, dict[str, float]]:
    """Return the median milliseconds of a step, and the median share of each column in it."""
    clock = Clock()
    segments = Pass._segments

    def timed_segments(self: Pass, stages: Any) -> Any:
        return tuple(
            [[clock.timed(call) for call in calls] for calls in segment]
            for segment in segments(self, stages)
        )

    steps: list[float] = []
    found: dict[str, list[float]] = {column: [] for column in COLUMNS}
    with (
        patch.object(Pass, "_segments", timed_segments),
        patch.object(np, "matmul", clock.product(np.matmul)),
    ):
        step = our_step(settings, batch)
        for number in range(REPEATS + 3):
            clock.spent.clear()
            began = time.perf_counter_ns()
            step()
            taken = time.perf_counter_ns() - began
            clock.spent["other"] += taken - sum(clock.spent.values())
            if number >= 3:  # the first steps allocate, and have biases of zero
                steps.append(taken / 1e6)
                for column in COLUMNS:
                    found[column].append(clock.spent[column] / taken)
    return statistics.median(steps), {name: statistics.median(v) for name, v in found.items()}


def main() -> None:
    head(__doc__)
    with threads.use(1):
        for name, settings, batch, *_ in ROWS:
            if batch == 128:
                milliseconds, parts = shares(settings, batch)
                cells = (f"{column} {part:.0%}" for column, part in parts.items() if part >= 0.005)
                print(f"  {name:26}{milliseconds:8.2f} ms  {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
