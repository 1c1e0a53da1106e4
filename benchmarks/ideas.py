"""Question: what does each idea of the kernels gain?

One idea at a time is switched off, and a training step of the deep_convnet and of lenet (batch 128,
one core) is timed in alternation with all ideas on. Prints time without the idea / time with all:
1.30 means that without it a step takes 30 % longer.

    python -m benchmarks.ideas
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.measure import head, in_turns
from benchmarks.twins import DEEP, LENET, mini_batch, network
from nets import threads
from nets.kernels.executor import Executor
from nets.kernels.plan import executor, kernels
from nets.kernels.rectifier import Rectifier
from nets.kernels.views import allocate
from nets.losses import CrossEntropy
from nets.network import Network
from nets.settings import Settings

BATCH = 128

Form = Callable[[Network], Any]


def slow_rectifier(self: Rectifier) -> None:
    """Apply ReLU with the scalar 0 instead of a row of zeros."""
    if self.mask is not None:
        np.greater(self.y, 0, out=self.mask)
    np.maximum(self.y, 0, out=self.y)


IDEAS: list[tuple[str, Form, dict[str, Any]]] = [
    ("all ideas", executor, {}),
    ("none: the plain layers", lambda network: network, {}),
    (
        "without Winograd's algorithm: tiles of one row",
        executor,
        {"nets.kernels.winograd.tile_height": lambda taps, outputs: 1},
    ),
    (
        "without micro-batches: all 128 images at once",
        lambda network: Executor(network, kernels(network), BATCH),
        {},
    ),
    (
        "pooling by argmax, ReLU before it",
        executor,
        {"nets.kernels.plan.is_fast_pooling": lambda layer: False},
    ),
    (
        "matrix products of any size: none is split",
        executor,
        {"nets.kernels.views.SMALL_PRODUCT": 1 << 60},
    ),
    (
        "maximum with the scalar 0",
        executor,
        {"nets.kernels.rectifier.Rectifier.forward": slow_rectifier},
    ),
    (
        "separate arrays, not one block of huge pages",
        executor,
        {"nets.kernels.workspace.Workspace._take": lambda self, *array: allocate(*array)},
    ),
    (
        "NumPy's placement, not aligned to cache lines",
        executor,
        {"nets.kernels.views.CACHE_LINE": 16},
    ),
]


def main() -> None:
    head(__doc__)
    with threads.use(1):
        columns = {name: ratios(settings) for name, settings in (("deep", DEEP), ("lenet", LENET))}
    print(f"  {'':50}{'deep_convnet':>14}{'lenet':>8}")
    for name, _, _ in IDEAS:
        print(f"  {name:50}{columns['deep'][name]:14.2f}{columns['lenet'][name]:8.2f}")


def ratios(settings: Settings) -> dict[str, float]:
    """Return the time of each variant relative to that with all ideas."""
    steps = {name: step(settings, form, patches) for name, form, patches in IDEAS}
    taken = in_turns(steps, repeats=21)
    return {name: value / taken["all ideas"] for name, value in taken.items()}


def step(settings: Settings, form: Form, patches: dict[str, Any]) -> Callable[[], float]:
    """Return a training step without its update, with patches applied."""
    ours = network(settings)
    x, labels = mini_batch(BATCH)
    noise = ours.draw(BATCH, np.random.default_rng(0))
    fast = form(ours) if not patches else None

    def run() -> float:
        nonlocal fast
        with ExitStack() as stack:
            for name, value in patches.items():
                stack.enter_context(patch(name, value))
            fast = fast or form(ours)
            return fast.loss_and_gradients(x, labels, CrossEntropy(), noise)

    return run


if __name__ == "__main__":
    main()
