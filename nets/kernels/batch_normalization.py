"""Batch normalization, in a network that is otherwise computed in micro-batches.

Its mean and variance are those of the whole mini-batch. So all parts are computed up to this kernel
before any part continues. Meanwhile a stage keeps its input, which is all that both directions
need::

    forward    y = a x + b             a = scale / sqrt(variance + epsilon),  b = shift - a mean
    backward   dx = a dy + c x + d     c = -a s / (variance + epsilon) / n
                                       d = -a sum(dy) / n - c mean
               where s = sum(dy (x - mean)),  dscale = s / sqrt(variance + epsilon),
               dshift = sum(dy), each over the n values of a channel

Each part stores its count, its mean and the sum of squares around this mean; these are combined in
the order of the parts, in float64 (Chan, Golub and LeVeque, Updating Formulae and a Pairwise
Algorithm for Computing Sample Variances, 1982). This avoids cancellation, and the result does not
depend on the order of the threads.

In prediction the running statistics replace mean and variance, and no part waits.
"""

import math

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array
from nets.kernels.base import Ends, Kernel, Part, Stage, Step
from nets.kernels.rectifier import Rectifier
from nets.kernels.views import allocate, repeats
from nets.kernels.workspace import Workspace
from nets.layers import BatchNormalization
from nets.network import Network


class BatchNormalizationKernel(Kernel):
    """Batch normalization, and the ReLU after it if there is one."""

    keeps_input = True
    keeps_gradient = True
    mixes_rows = True

    def __init__(
        self, network: Network, index: int, layer: BatchNormalization, *, relu: bool
    ) -> None:
        super().__init__(network, index)
        self.layer, self.relu = layer, relu
        self.running = network.statistic_views[index]
        self.channels = self.input_shape[-1]
        self.repeat = repeats(math.prod(self.input_shape[:-1]), self.channels)
        row = (self.repeat, self.channels)
        self.a, self.b, self.c, self.d = (allocate(row, self.dtype) for _ in range(4))
        self.counts: NDArray[np.float64] = np.zeros(0)
        self.means, self.squares, self.dy, self.dy_x = (
            allocate((0, *row), self.dtype) for _ in range(4)
        )
        """Per part: its mean, and columns of sums of (x - mean)^2, dy and dy x."""

    def prepare(self, step: Step) -> None:
        """Allocate arrays for the sums of the parts, or use the running statistics."""
        if not step.training:
            self._normalize(self.running["mean"], self.running["variance"])
            return
        if len(self.counts) != step.parts:
            row = (step.parts, self.repeat, self.channels)
            self.counts = np.zeros(step.parts)
            self.means, self.squares, self.dy, self.dy_x = (
                allocate(row, self.dtype) for _ in range(4)
            )

    def bind(self, ends: Ends, workspace: Workspace, sums: Array) -> Stage:
        """Build the stage."""
        return BatchNormalizationStage(self, ends, workspace)

    def gather(self) -> None:
        """Compute mean and variance of the mini-batch, after `measure` of all parts."""
        n = self.counts.sum()
        share = (self.counts / n)[:, None]
        means = self.means[:, 0].astype(np.float64)
        mean = (share * means).sum(axis=0)
        squares = self._add_up(self.squares) + n * (share * (means - mean) ** 2).sum(axis=0)
        self.total, self.true_mean, self.variance = n, mean, squares / n
        self._normalize(mean, self.variance)
        if n > 1:
            self.layer.follow(self.running, mean, squares / (n - 1))

    def gather_gradients(self) -> None:
        """Compute the parameters' gradients, c and d, after `measure_gradient` of all parts."""
        sum_dy = self._add_up(self.dy)
        s = self._add_up(self.dy_x) - self.true_mean * sum_dy
        inverse = 1 / np.sqrt(self.variance + self.layer.epsilon)
        self.gradients["scale"][...] = s * inverse
        self.gradients["shift"][...] = sum_dy
        a = self.parameters["scale"] * inverse
        c = -a * s * inverse**2 / self.total
        self.c[...] = c
        self.d[...] = -a * sum_dy / self.total - c * self.true_mean

    def _add_up(self, columns: Array) -> NDArray[np.float64]:
        """Sum the columns of all parts, channel by channel."""
        total: NDArray[np.float64] = columns.sum(axis=(0, 1), dtype=np.float64)
        return total

    def _normalize(self, mean: Array, variance: Array) -> None:
        """Set a and b."""
        a = self.parameters["scale"] / np.sqrt(variance + self.layer.epsilon)
        self.a[...] = a
        self.b[...] = self.parameters["shift"] - a * mean


class BatchNormalizationStage(Stage):
    """One part of a batch normalization: four steps; after the first and third all parts wait."""

    def __init__(self, kernel: BatchNormalizationKernel, ends: Ends, workspace: Workspace) -> None:
        self.kernel = kernel
        unit = kernel.repeat * kernel.channels
        self.x, self.y = ends.x.reshape(-1, unit), ends.y.reshape(-1, unit)
        self.a, self.b, self.c, self.d = (
            row.reshape(unit) for row in (kernel.a, kernel.b, kernel.c, kernel.d)
        )
        self.rectifier = Rectifier(ends.y, ends.dy, workspace) if kernel.relu else None
        if ends.dy is None:
            return
        self.count = ends.x.size // kernel.channels
        self.scratch = workspace.scratch("lines", self.x.shape)
        self.ones = np.ones(len(self.x), self.x.dtype)
        self.dy = ends.dy.reshape(self.x.shape)
        self.dx = None if ends.dx is None else ends.dx.reshape(self.x.shape)

    def measure(self, part: Part) -> None:
        """Store the part's mean and sum of squares."""
        kernel = self.kernel
        channels = (self.ones @ self.x).reshape(-1, kernel.channels)
        mean = kernel.means[part.index]
        mean[...] = channels.sum(axis=0, dtype=np.float64) / self.count
        kernel.counts[part.index] = self.count
        np.subtract(self.x, mean.reshape(-1), out=self.scratch)
        self._sum_products(self.scratch, self.scratch, kernel.squares[part.index])

    def forward(self, part: Part) -> None:
        """Normalize, then rectify."""
        np.multiply(self.x, self.a, out=self.y)
        np.add(self.y, self.b, out=self.y)
        if self.rectifier:
            self.rectifier.forward()

    def measure_gradient(self, part: Part) -> None:
        """Store the part's sums of dy and of dy x."""
        kernel = self.kernel
        if self.rectifier:
            self.rectifier.backward()
        np.matmul(self.ones, self.dy, out=kernel.dy[part.index].reshape(-1))
        self._sum_products(self.dy, self.x, kernel.dy_x[part.index])

    def backward(self, part: Part) -> None:
        """Compute dx."""
        if self.dx is None:
            return
        np.multiply(self.x, self.c, out=self.dx)
        np.add(self.dx, self.d, out=self.dx)
        np.multiply(self.dy, self.a, out=self.dy)
        np.add(self.dx, self.dy, out=self.dx)

    @staticmethod
    def _sum_products(rows: Array, others: Array, sums: Array) -> None:
        """Sum the products of two arrays in each column, in one pass over both."""
        np.einsum("ij,ij->j", rows, others, out=sums.reshape(-1))
