"""Max pooling over 2 x 2 windows, with the rectifier after it.

First the maximum of two neighbouring columns, then of two rows. Each step stores in a mask, one
byte per number, whether the first of the two was chosen. If both are equal it is the first, so the
gradient is always passed to exactly one number: the first in (row, column) order of those that are
largest, as in the plain form and in PyTorch. (Rows first would be a fifth faster, and would choose
the lower left number where it equals the upper right one.) Backward::

    e0 = d * mask      e1 = d - e0

A rectifier and a max pooling commute: the larger of max(a, 0) and max(b, 0) is max(a, b)
or 0. So a ReLU before the pooling is applied after it, to a quarter of the numbers.
"""

import numpy as np

from nets.arrays import Array
from nets.kernels.base import Ends, Kernel, Part, Stage
from nets.kernels.rectifier import Rectifier
from nets.kernels.views import strided
from nets.kernels.workspace import Workspace
from nets.network import Network


class PoolingKernel(Kernel):
    """A max pooling with window and stride (2, 2), and the ReLU before or after it, if any."""

    def __init__(self, network: Network, index: int, *, relu: bool) -> None:
        super().__init__(network, index)
        self.relu = relu

    def bind(self, ends: Ends, workspace: Workspace, sums: Array) -> Stage:
        """Build the stage."""
        return PoolingStage(self, ends, workspace)


class PoolingStage(Stage):
    """One micro-batch of a pooling."""

    def __init__(self, kernel: PoolingKernel, ends: Ends, workspace: Workspace) -> None:
        rows, height, _, channels = ends.x.shape
        _, out_height, out_width, _ = ends.y.shape
        larger = workspace.scratch("lines", (rows, height, out_width, channels))
        self.left, self.right = column_pairs(ends.x, out_width)
        self.larger = larger
        self.upper, self.lower = row_pairs(larger, out_height)
        self.y = ends.y.reshape(self.upper.shape)
        self.rectifier = Rectifier(ends.y, ends.dy, workspace) if kernel.relu else None
        self.learns = ends.dy is not None
        if ends.dy is None or ends.dx is None:
            return
        self.from_left = workspace.keep(larger.shape, bool)
        self.from_upper = workspace.keep(self.y.shape, bool)
        self.dy = ends.dy.reshape(self.y.shape)
        self.to_pixels = column_pairs(ends.dx, out_width)
        outside = [larger[:, 2 * out_height :], ends.dx[:, :, 2 * out_width :]]
        self.outside = [rest for rest in outside if rest.size]

    def forward(self, part: Part) -> None:
        """Compare columns, then rows, then with zero."""
        np.maximum(self.left, self.right, out=self.larger)
        np.maximum(self.upper, self.lower, out=self.y)
        if self.learns:
            np.equal(self.left, self.larger, out=self.from_left)
            np.equal(self.upper, self.y, out=self.from_upper)
        if self.rectifier:
            self.rectifier.forward()

    def backward(self, part: Part) -> None:
        """Pass each gradient to the largest number, rows first."""
        if self.rectifier:
            self.rectifier.backward()
        for rest in self.outside:
            rest[...] = 0
        np.multiply(self.dy, self.from_upper, out=self.upper)
        np.subtract(self.dy, self.upper, out=self.lower)
        left, right = self.to_pixels
        np.multiply(self.larger, self.from_left, out=left)
        np.subtract(self.larger, left, out=right)


def row_pairs(images: Array, pairs: int) -> tuple[Array, Array]:
    """Return views of the even and the odd rows, ``(batch, pairs, width * channels)`` each."""
    batch, height, width, channels = images.shape
    line = width * channels
    both = strided(images, (batch, pairs, 2, line), (height * line, 2 * line, line, 1))
    return both[:, :, 0], both[:, :, 1]


def column_pairs(images: Array, pairs: int) -> tuple[Array, Array]:
    """Return views of the even and the odd columns, ``(batch, height, pairs, channels)`` each."""
    return images[:, :, 0 : 2 * pairs : 2], images[:, :, 1 : 2 * pairs : 2]
