"""The executor: takes a mini-batch through a plan, part by part and thread by thread.

Depth first: a part goes forward through all layers, through the loss and all the way back before
the next one starts, so that its activations never leave the cache. A batch normalization cuts the
plan into segments; then each segment is done for all parts before the next one starts.

What comes out does not depend on the number of threads. Parts and their rows follow from the
architecture; part i adds its sums to lane i modulo 8, a lane is always computed by one thread, its
parts in their order, and at the end the lanes are added in their order.
"""

from __future__ import annotations

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
"""Partial sums of a mini-batch. More threads than lanes have nothing to do."""


BUFFER = 2048
"""Numbers that NumPy's loops buffer at a time, a quarter of what it does by itself.

Loops over views that are not contiguous, and those that convert (a mask to floats), go through it.
"""


@contextmanager
def computing() -> Iterator[None]:
    """Compute inside the block, and in the threads started there, as the kernels want it.

    BLAS has one thread, NumPy's loops have `BUFFER`, and the flag "invalid" is not looked at: very
    rarely OpenBLAS leaves it behind after a product of tiny matrices that are all finite. A NaN
    that is really there shows in the loss.
    """
    with pinned(), np.errstate(invalid="ignore"):  # which restores the size of the buffer as well
        np.setbufsize(BUFFER)
        yield


class Executor:
    """The fast form of a network: its methods, over its own flat vectors.

    Arrays are made when a mini-batch of a size is first seen, and kept.

    Parameters
    ----------
    network
        Whose parameters are read, and whose gradients and running statistics are written.
    kernels
        The plan, from `nets.kernels.plan`.
    rows
        Of a part.
    threads
        How many share the parts.

    Attributes
    ----------
    outputs
        The scores of the last mini-batch that `loss_and_gradients` saw, ``(batch, classes)``.
    """

    def __init__(
        self, network: Network, kernels: Sequence[Kernel], rows: int, threads: int = 1
    ) -> None:
        self.network, self.kernels, self.rows = network, kernels, rows
        self.team = Team(threads)
        self.workspaces = [Workspace(network.dtype) for _ in range(threads)]
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

        Equal to `nets.network.Network.loss_and_gradients`, but for rounding.
        """
        self._check(x)
        self._check_targets(x, targets)
        parts = self._parts(len(x))
        self._prepare(Step(len(x), len(parts), True, noise))
        if len(self.outputs) != len(x):
            self.outputs = np.empty((len(x), *self.network.output_shape), x.dtype)
        values = [0.0] * len(parts)

        def go(segment: int, part: Part, one: Pass) -> None:
            if segment == 0:
                np.copyto(one.x, x[part.start : part.stop])
            one.forward(segment, part)

        def turn(segment: int, part: Part, one: Pass) -> None:
            go(segment, part, one)
            self.outputs[part.start : part.stop] = one.y
            values[part.index] = one.loss(loss, targets[part.start : part.stop], len(x))
            one.backward(segment, part)

        def come_back(segment: int, part: Part, one: Pass) -> None:
            one.backward(segment, part)

        with computing():
            for segment, barrier in enumerate(self.barriers):
                self._each(parts, partial(go, segment))
                barrier.gather()
            self._each(parts, partial(turn, len(self.barriers)))
            for segment, barrier in reversed(list(enumerate(self.barriers))):
                barrier.gather_gradients()
                self._each(parts, partial(come_back, segment))
            np.add.reduce(self.sums[: len(parts)], axis=0, out=self.total)
            for kernel, place in zip(self.kernels, self.places, strict=True):
                kernel.finish(self.total[place])
        return sum(values)

    def predict(self, x: Array) -> Array:
        """Return the scores of a batch of any size. Equal to the network's, but for rounding."""
        self._check(x)
        parts = self._parts(len(x))
        self._prepare(Step(len(x), len(parts), False))
        outputs: Array = np.empty((len(x), *self.network.output_shape), x.dtype)

        def through(part: Part, one: Pass) -> None:
            np.copyto(one.x, x[part.start : part.stop])
            one.forward(0, part)
            outputs[part.start : part.stop] = one.y

        with computing():
            self._each(parts, through, training=False)
        return outputs

    def _each(
        self, parts: Sequence[Part], work: Callable[[Part, Pass], None], *, training: bool = True
    ) -> None:
        """Do something for every part, each thread for those of its lanes."""
        threads = self.team.size

        def share(thread: int) -> None:
            for part in parts:
                if part.lane % threads == thread:
                    work(part, self._pass(part, thread, training))

        self.team.run(share)

    def _pass(self, part: Part, thread: int, training: bool) -> Pass:
        """Return the pass for a part: one for all parts, or its own if it must wait for others."""
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
        """Refuse what the network refuses; a sum of squares finds NaN and infinity fastest."""
        right = x.dtype == self.network.dtype and x.shape[1:] == self.network.input_shape
        if not (right and len(x) and math.isfinite(np.vdot(x, x))):
            self.network.check(x)

    def _check_targets(self, x: Array, targets: NDArray[Any]) -> None:
        if len(targets) != len(x):
            raise InputError(f"targets: there must be one a row, got {len(targets)} for {len(x)}")
        if np.ndim(targets) == 1:
            check_labels(targets, self.network.output_shape[-1])
