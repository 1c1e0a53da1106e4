"""The executor: computes a mini-batch with the kernels of a plan, in parts and in threads.

Depth first: the forward pass, the loss and the backward pass of a part are completed before the
next part starts, so that its activations stay in the cache. A batch normalization divides the plan
into segments; each segment is then computed for all parts before the next one starts.

The result does not depend on the number of threads. Parts and their rows are determined by the
architecture; part i adds its sums to lane i modulo 8, one thread computes the parts of a lane in
order, and at the end the lanes are added in order.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array
from nets.errors import InputError
from nets.kernels.base import Kernel, Part, Step
from nets.kernels.batch_normalization import BatchNormalizationKernel
from nets.kernels.passes import Pass
from nets.kernels.views import allocate
from nets.kernels.workspace import Workspace
from nets.losses import Loss, check_labels
from nets.network import Network, Noise
from nets.threads import Team, pinned

LANES = 8
"""Partial sums of a mini-batch, and the largest number of threads that can be used."""


BUFFER = 2048
"""Size of the buffer of NumPy's loops, in numbers: a quarter of the default.

Loops over views that are not contiguous, and those that convert (a mask to floats), use it.
"""


@contextmanager
def computing() -> Iterator[None]:
    """Set the floating-point environment of the kernels for the block and threads started in it.

    BLAS uses one thread, NumPy's loops use `BUFFER`, and the flag "invalid" is ignored: very rarely
    OpenBLAS sets it in a product of tiny matrices that are all finite. A real NaN shows in the
    loss.
    """
    with pinned(), np.errstate(invalid="ignore"):  # also restores the buffer size
        np.setbufsize(BUFFER)
        yield


class Executor:
    """The fast form of a network: the same methods on the same flat vectors.

    Arrays are allocated for the first mini-batch of a size, and kept.

    Parameters
    ----------
    network
        Its parameters are read; its gradients and running statistics are written.
    kernels
        The plan, from `nets.kernels.plan`.
    rows
        Number of rows of a part.
    threads
        Number of threads that share the parts, at most `LANES` of them.

    Attributes
    ----------
    outputs
        The scores of the last mini-batch of `loss_and_gradients`, ``(batch, classes)``.
    """

    def __init__(
        self, network: Network, kernels: Sequence[Kernel], rows: int, threads: int = 1
    ) -> None:
        self.network, self.kernels, self.rows = network, kernels, rows
        self.team = Team(min(threads, LANES))
        self.workspaces = [Workspace(network.dtype) for _ in range(self.team.size)]
        self.barriers = [k for k in kernels if isinstance(k, BatchNormalizationKernel)]
        ends = np.cumsum([0, *(kernel.sums for kernel in kernels)])
        self.places = [slice(*pair) for pair in itertools.pairwise(ends)]
        self.sums = allocate((LANES, ends[-1]), network.dtype)
        self.total = np.zeros(ends[-1], network.dtype)
        self.passes: dict[tuple[object, ...], Pass] = {}
        self.outputs: Array = np.empty((0, *network.output_shape), network.dtype)

    def loss_and_gradients(
        self, x: Array, targets: NDArray[Any], loss: Loss, noise: Noise | None = None
    ) -> float:
        """Compute a mini-batch's loss in training and fill ``network.gradients``.

        Equal to `nets.network.Network.loss_and_gradients` except for rounding.
        """
        self._check(x)
        self._check_targets(x, targets)
        parts = self._parts(len(x))
        self._prepare(Step(len(x), len(parts), True, noise))
        if len(self.outputs) != len(x):
            self.outputs = np.empty((len(x), *self.network.output_shape), x.dtype)
        values = [0.0] * len(parts)

        def forward(segment: int, part: Part, one: Pass) -> None:
            if segment == 0:
                np.copyto(one.x, x[part.start : part.stop])
            one.forward(segment, part)

        def forward_and_back(segment: int, part: Part, one: Pass) -> None:
            forward(segment, part, one)
            self.outputs[part.start : part.stop] = one.y
            values[part.index] = one.loss(loss, targets[part.start : part.stop], len(x))
            one.backward(segment, part)

        def backward(segment: int, part: Part, one: Pass) -> None:
            one.backward(segment, part)

        with computing():
            for segment, barrier in enumerate(self.barriers):
                self._each(parts, partial(forward, segment))
                barrier.gather()
            self._each(parts, partial(forward_and_back, len(self.barriers)))
            for segment, barrier in reversed(list(enumerate(self.barriers))):
                barrier.gather_gradients()
                self._each(parts, partial(backward, segment))
            np.add.reduce(self.sums[: len(parts)], axis=0, out=self.total)
            for kernel, place in zip(self.kernels, self.places, strict=True):
                kernel.finish(self.total[place])
        total = 0.0  # not sum(values): since Python 3.12 it also adds up what was rounded away
        for value in values:
            total += value
        return total

    def predict(self, x: Array) -> Array:
        """Return the scores of a batch of any size, equal to the network's except for rounding."""
        self._check(x)
        parts = self._parts(len(x))
        self._prepare(Step(len(x), len(parts), False))
        outputs: Array = np.empty((len(x), *self.network.output_shape), x.dtype)

        def predict(part: Part, one: Pass) -> None:
            np.copyto(one.x, x[part.start : part.stop])
            one.forward(0, part)
            outputs[part.start : part.stop] = one.y

        with computing():
            self._each(parts, predict, training=False)
        return outputs

    def _each(
        self, parts: Sequence[Part], work: Callable[[Part, Pass], None], *, training: bool = True
    ) -> None:
        """Call ``work`` for every part, each thread for the parts of its lanes."""
        threads = min(self.team.size, len(parts))

        def share(thread: int) -> None:
            for part in parts:
                if part.lane % threads == thread:
                    work(part, self._pass(part, thread, training))

        self.team.run(share, threads)

    def _pass(self, part: Part, thread: int, training: bool) -> Pass:
        """Return the pass for a part: a shared one, or its own if parts wait for each other."""
        rows = part.stop - part.start
        waits = training and bool(self.barriers)
        key = (training, rows, thread, part.index if waits else None)
        if key not in self.passes:
            self.passes[key] = Pass(
                self.network,
                self.kernels,
                rows,
                self.workspaces[thread],
                [self.sums[:, place] for place in self.places],
                training=training,
            )
        return self.passes[key]

    def _parts(self, batch: int) -> list[Part]:
        """Cut a mini-batch into parts; only the last may have fewer rows."""
        starts = range(0, batch, self.rows)
        return [
            Part(index, start, min(start + self.rows, batch), index % LANES, index < LANES)
            for index, start in enumerate(starts)
        ]

    def _prepare(self, step: Step) -> None:
        for kernel in self.kernels:
            kernel.prepare(step)

    def _check(self, x: Array) -> None:
        """Check an input as the network does; a sum of squares finds NaN and infinity fastest."""
        right = x.dtype == self.network.dtype and x.shape[1:] == self.network.input_shape
        if not (right and len(x) and math.isfinite(np.vdot(x, x))):
            self.network.check(x)

    def _check_targets(self, x: Array, targets: NDArray[Any]) -> None:
        if len(targets) != len(x):
            raise InputError("targets", len(targets), f"{len(x)}, one per row")
        if np.ndim(targets) == 1:
            check_labels(targets, self.network.output_shape[-1])
