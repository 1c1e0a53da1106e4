"""The fully connected layer, with the rectifier after it.

``y = x W + b``, ``dx = dy W^T``, ``dW = x^T dy``, ``db = ones dy``.

Products are cut into pieces of at most a million multiplications: along the rows, or for dW along
the inputs. Backward uses a copy of W^T that is made once per mini-batch: with few rows, a product
with a transposed view runs at a quarter of the speed.

dW is not summed part by part. Every part copies its rows of x and of dy to two arrays for the whole
mini-batch, and one long product at the end of the step computes dW. A mini-batch with a single part
needs no such copies.
"""

import numpy as np

from nets.arrays import Array
from nets.kernels.base import Ends, Kernel, Part, Stage, Step
from nets.kernels.rectifier import Rectifier
from nets.kernels.views import allocate, pieces
from nets.kernels.workspace import Workspace
from nets.network import Network

FEWEST_ROWS, FEWEST_INPUTS = 2, 32
"""Minimum of a piece."""


class AffineGradients:
    """Computes dW and db of a whole mini-batch from and into fixed arrays.

    Parameters
    ----------
    x, dy
        ``(rows, inputs)`` and ``(rows, outputs)``.
    gradients
        Receives ``weight``, and ``bias`` if there is one.
    """

    def __init__(self, x: Array, dy: Array, gradients: dict[str, Array]) -> None:
        (rows, inputs), outputs = x.shape, dy.shape[1]
        self.x, self.dy = x, dy
        count = pieces(inputs, rows * inputs * outputs, FEWEST_INPUTS)
        self.columns = x.reshape(rows, count, -1).transpose(1, 2, 0)
        self.weight = gradients["weight"].reshape(count, -1, outputs)
        self.bias = gradients.get("bias")
        self.ones = np.ones(rows, x.dtype)

    def __call__(self) -> None:
        """Fill the gradients."""
        np.matmul(self.columns, self.dy, out=self.weight)
        if self.bias is not None:
            np.matmul(self.ones, self.dy, out=self.bias)


class AffineKernel(Kernel):
    """An affine layer, and the ReLU after it if there is one."""

    keeps_input = True

    def __init__(self, network: Network, index: int, *, relu: bool) -> None:
        super().__init__(network, index)
        self.relu = relu
        self.weight = self.parameters["weight"]
        self.bias = self.parameters.get("bias")
        self.transposed = allocate(self.weight.shape[::-1], self.dtype) if self.needs_dx else None
        self.in_parts = False
        self.whole: AffineGradients | None = None

    def prepare(self, step: Step) -> None:
        """Transpose the weights, and allocate arrays for the mini-batch's rows."""
        if step.training and self.transposed is not None:
            np.copyto(self.transposed, self.weight.T)
        self.in_parts = step.training and step.parts > 1
        if self.in_parts and (self.whole is None or len(self.whole.x) != step.batch):
            x, dy = (allocate((step.batch, length), self.dtype) for length in self.weight.shape)
            self.whole = AffineGradients(x, dy, self.gradients)

    def bind(self, ends: Ends, workspace: Workspace, sums: Array) -> Stage:
        """Build the stage."""
        return AffineStage(self, ends, workspace)

    def finish(self, total: Array) -> None:
        """Compute the gradients from all rows, unless a single part has already done so."""
        if self.in_parts and self.whole is not None:
            self.whole()


class AffineStage(Stage):
    """One micro-batch of an affine layer."""

    def __init__(self, kernel: AffineKernel, ends: Ends, workspace: Workspace) -> None:
        self.kernel = kernel
        inputs, outputs = kernel.weight.shape
        rows = len(ends.x)
        count = pieces(rows, rows * inputs * outputs, FEWEST_ROWS)
        self.x, self.y = ends.x.reshape(count, -1, inputs), ends.y.reshape(count, -1, outputs)
        self.rectifier = Rectifier(ends.y, ends.dy, workspace) if kernel.relu else None
        if ends.dy is None:
            return
        self.gradients = AffineGradients(ends.x.reshape(rows, inputs), ends.dy, kernel.gradients)
        self.dy = ends.dy.reshape(self.y.shape)
        self.dx = None if ends.dx is None else ends.dx.reshape(self.x.shape)

    def forward(self, part: Part) -> None:
        """Multiply, add the bias, rectify."""
        kernel = self.kernel
        np.matmul(self.x, kernel.weight, out=self.y)
        if kernel.bias is not None:
            np.add(self.y, kernel.bias, out=self.y)
        if self.rectifier:
            self.rectifier.forward()

    def backward(self, part: Part) -> None:
        """Pass x and dy to the gradients, then compute dx."""
        kernel, own = self.kernel, self.gradients
        if self.rectifier:
            self.rectifier.backward()
        if kernel.in_parts and kernel.whole is not None:
            kernel.whole.x[part.start : part.stop] = own.x
            kernel.whole.dy[part.start : part.stop] = own.dy
        else:
            own()
        if self.dx is not None and kernel.transposed is not None:
            np.matmul(self.dy, kernel.transposed, out=self.dx)
