"""The first convolution of a network for images with one channel.

With one channel a window of k * k numbers is too short for Winograd's algorithm to save anything.
Here the windows are copied to a transposed matrix, ``(k * k [+ 1], pixels)``, each row of which is
the whole image shifted. First the image is shifted sideways k times; each of these shifted upwards
is one contiguous run of memory. An additional row of ones makes the bias part of the product,
forward and backward::

    y = columns^T [w; b]        [dw; db] = columns dy

The gradient of the images is not needed.
"""

import math

import numpy as np

from nets.arrays import Array
from nets.kernels.base import Ends, Kernel, Part, Stage, Step
from nets.kernels.rectifier import Rectifier
from nets.kernels.views import allocate, pieces, strided
from nets.kernels.workspace import Workspace
from nets.layers import Convolution
from nets.network import Network


class FirstConvolutionKernel(Kernel):
    """A convolution with stride 1 of the input images, and the ReLU after it if there is one."""

    def __init__(self, network: Network, index: int, layer: Convolution, *, relu: bool) -> None:
        super().__init__(network, index)
        self.relu = relu
        self.window, self.padding = layer.kernel, layer.padding
        self.weight = self.parameters["weight"]
        self.bias = self.parameters.get("bias")
        self.taps = self.window[0] * self.window[1]
        self.rows = self.taps + (self.bias is not None)
        self.filters = self.weight.shape[3]
        self.matrix = allocate((self.rows, self.filters), self.dtype)
        self.sums = self.matrix.size
        self.footprint += self.rows * math.prod(self.output_shape[:2])

    def prepare(self, step: Step) -> None:
        """Copy the weights, and the bias below them, to one matrix."""
        self.matrix[: self.taps] = self.weight.reshape(self.taps, -1)
        if self.bias is not None:
            self.matrix[self.taps] = self.bias

    def bind(self, ends: Ends, workspace: Workspace, sums: Array) -> Stage:
        """Build the stage."""
        return FirstConvolutionStage(self, ends, workspace, sums)

    def finish(self, total: Array) -> None:
        """Split the sums into the gradients of weights and bias."""
        rows = total.reshape(self.matrix.shape)
        self.gradients["weight"].reshape(self.taps, -1)[...] = rows[: self.taps]
        if self.bias is not None:
            self.gradients["bias"][...] = rows[self.taps]


class FirstConvolutionStage(Stage):
    """One micro-batch of the first convolution."""

    def __init__(
        self, kernel: FirstConvolutionKernel, ends: Ends, workspace: Workspace, sums: Array
    ) -> None:
        self.kernel = kernel
        rows, height, width, _ = ends.x.shape
        _, out_height, out_width, filters = ends.y.shape
        top, left = kernel.padding
        padded = workspace.keep((rows, height + 2 * top, width + 2 * left))
        self.images = ends.x[..., 0]
        self.inside = padded[:, top : top + height, left : left + width]
        image, line, _ = (stride // padded.itemsize for stride in padded.strides)
        down, right = kernel.window
        lines = height + 2 * top
        self.sideways = strided(padded, (right, rows, lines, out_width), (1, image, line, 1))
        self.beside = workspace.scratch("lines", self.sideways.shape)
        pixels_of_one = out_height * out_width
        self.upwards = strided(
            self.beside,
            (down, right, rows, pixels_of_one),
            (out_width, self.beside[0].size, lines * out_width, 1),
        )
        pixels = rows * pixels_of_one
        columns = workspace.keep((kernel.rows, pixels))
        columns[kernel.taps :] = 1
        self.windows = columns[: kernel.taps].reshape(self.upwards.shape)

        count = pieces(pixels, pixels * kernel.rows * filters, at_least=256)
        self.columns = columns.reshape(kernel.rows, count, -1).swapaxes(0, 1)
        self.outputs = ends.y.reshape(count, -1, filters)
        self.rectifier = Rectifier(ends.y, ends.dy, workspace) if kernel.relu else None
        if ends.dy is None:
            return
        self.gradients = ends.dy.reshape(count, -1, filters)
        self.shares = workspace.keep((count, kernel.rows, filters))
        self.sums = sums.reshape(-1, kernel.rows, filters)

    def forward(self, part: Part) -> None:
        """Copy the windows and multiply."""
        np.copyto(self.inside, self.images)
        np.copyto(self.beside, self.sideways)
        np.copyto(self.windows, self.upwards)
        np.matmul(self.columns.swapaxes(1, 2), self.kernel.matrix, out=self.outputs)
        if self.rectifier:
            self.rectifier.forward()

    def backward(self, part: Part) -> None:
        """Multiply by the gradient."""
        if self.rectifier:
            self.rectifier.backward()
        np.matmul(self.columns, self.gradients, out=self.shares)
        total = self.sums[part.lane]
        if part.first:
            total[...] = 0
        for share in self.shares:
            total += share
