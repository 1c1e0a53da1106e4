"""The fully connected layer, with the rectifier behind it.

``y = x W + b``, ``dx = dy W^T``, ``dW = x^T dy``, ``db = ones dy``.

Products are cut along their inner axis (forward) or along the axis that they share (backward) into
pieces of at most a million multiplications. The way back uses a copy of W^T made once a mini-batch:
with few rows, a product with a transposed view runs at a quarter of the speed.

dW needs no micro-batches: every part leaves its rows of x and of dy in two arrays of the whole
mini-batch, and one long product at the end of the step does the rest. Where the mini-batch is a
single part, that product is taken on the spot, without copies.
"""

from __future__ import annotations

import numpy as np

from nets.arrays import Array
from nets.kernels.base import Ends, Kernel, Part, Stage, Step
from nets.kernels.rectifier import Rectifier
from nets.kernels.views import allocate, pieces
from nets.kernels.workspace import Workspace
from nets.network import Network

SHORTEST_PIECE = 64


class AffineKernel(Kernel):
    """An affine layer, and the ReLU after it if there is one."""

    keeps_input = True

    def __init__(self, network: Network, index: int, *, relu: bool) -> None:
        super().__init__(network, index)
        self.relu = relu
        self.weight = self.parameters["weight"]
        self.bias = self.parameters.get("bias")
        self.transposed = allocate(self.weight.shape[::-1], self.dtype)
        self.inputs = self.output_gradients = np.empty((0, 0), self.dtype)
        self.step = Step(0, 1, False)

    def prepare(self, step: Step) -> None:
        """Transpose the weights, and see to it that the mini-batch's rows have a place."""
        self.step = step
        if not step.training:
            return
        np.copyto(self.transposed, self.weight.T)
        if step.parts > 1 and len(self.inputs) != step.batch:
            inputs, outputs = self.weight.shape
            self.inputs = allocate((step.batch, inputs), self.dtype)
            self.output_gradients = allocate((step.batch, outputs), self.dtype)

    def bind(self, ends: Ends, workspace: Workspace, sums: Array) -> Stage:
        """Build the stage."""
        return AffineStage(self, ends, workspace)

    def finish(self, total: Array) -> None:
        """Compute the gradients from all rows, unless a part has done so."""
        if self.step.parts > 1:
            self.differentiate(self.inputs, self.output_gradients)

    def differentiate(self, x: Array, dy: Array) -> None:
        """Fill the gradients of the whole mini-batch."""
        inputs, outputs = self.weight.shape
        count = pieces(inputs, len(x) * inputs * outputs, SHORTEST_PIECE)
        columns = x.reshape(len(x), count, -1).transpose(1, 2, 0)
        np.matmul(columns, dy, out=self.gradients["weight"].reshape(count, -1, outputs))
        if self.bias is not None:
            np.add.reduce(dy, axis=0, out=self.gradients["bias"])


class AffineStage(Stage):
    """One micro-batch of an affine layer."""

    def __init__(self, kernel: AffineKernel, ends: Ends, workspace: Workspace) -> None:
        self.kernel = kernel
        inputs, outputs = kernel.weight.shape
        rows = len(ends.x)
        self.x, self.y = ends.x.reshape(rows, inputs), ends.y
        count = pieces(inputs, rows * inputs * outputs, SHORTEST_PIECE)
        self.slices = self.x.reshape(rows, count, -1).swapaxes(0, 1)
        self.weights = kernel.weight.reshape(count, -1, outputs)
        self.shares = workspace.scratch("products", (count, rows, outputs))
        self.rectifier = Rectifier(ends.y, ends.dy is not None) if kernel.relu else None
        if ends.dy is None:
            return
        self.dy = ends.dy
        self.dx = None
        if ends.dx is not None:
            self.dx = ends.dx.reshape(rows, count, -1).swapaxes(0, 1)
            self.transposed = kernel.transposed.reshape(outputs, count, -1).swapaxes(0, 1)

    def forward(self, part: Part) -> None:
        """Multiply, add the bias, rectify."""
        kernel = self.kernel
        if len(self.shares) == 1:
            np.matmul(self.x, kernel.weight, out=self.y)
        else:
            np.matmul(self.slices, self.weights, out=self.shares)
            np.add.reduce(self.shares, axis=0, out=self.y)
        if kernel.bias is not None:
            np.add(self.y, kernel.bias, out=self.y)
        if self.rectifier:
            self.rectifier.forward()

    def backward(self, part: Part) -> None:
        """Leave x and dy to the gradients, then go on to dx."""
        kernel = self.kernel
        if self.rectifier:
            self.rectifier.backward(self.dy)
        if kernel.step.parts == 1:
            kernel.differentiate(self.x, self.dy)
        else:
            kernel.inputs[part.start : part.stop] = self.x
            kernel.output_gradients[part.start : part.stop] = self.dy
        if self.dx is not None:
            np.matmul(self.dy, self.transposed, out=self.dx)
