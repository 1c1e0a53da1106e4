"""Convolution with stride 1, by `nets.kernels.correlation`, with the rectifier after it."""

from dataclasses import replace

from nets.arrays import Array
from nets.kernels.base import Ends, Kernel, Part, Stage, Step
from nets.kernels.correlation import (
    Correlation,
    CorrelationGradients,
    Weights,
    planes_shape,
    sums_size,
)
from nets.kernels.rectifier import Rectifier
from nets.kernels.winograd import Geometry
from nets.kernels.workspace import Workspace
from nets.layers import BatchNormalization, Convolution
from nets.network import Network


class ConvolutionKernel(Kernel):
    """A convolution, and the ReLU after it if there is one."""

    def __init__(self, network: Network, index: int, layer: Convolution, *, relu: bool) -> None:
        super().__init__(network, index)
        self.relu = relu
        following = network.layers[index + 1 : index + 2]
        # A normalization shifts zeros, and no ReLU sees them.
        self.exact_zeros = not any(isinstance(layer, BatchNormalization) for layer in following)
        height, width, channels = self.input_shape
        self.sizes = Geometry(
            1, height, width, channels, layer.filters, *layer.kernel, *layer.padding
        )
        self.weights = Weights(self.sizes, self.dtype, bias=layer.bias)
        self.sums = sums_size(self.sizes)
        lines = self.sizes.points * self.sizes.tiles
        planes = lines * (self.sizes.pitch * channels + self.sizes.out_width * layer.filters)
        self.footprint += planes

    def prepare(self, step: Step) -> None:
        """Transform the weights."""
        self.weights.set(self.parameters["weight"], self.parameters.get("bias"))

    def bind(self, ends: Ends, workspace: Workspace, sums: Array) -> Stage:
        """Build the stage."""
        return ConvolutionStage(self, ends, workspace, sums)

    def finish(self, total: Array) -> None:
        """Transform the weights' gradient back, and sum the columns of the bias's."""
        split = self.weights.forward.size
        self.weights.gradient(total[:split], out=self.gradients["weight"])
        if self.weights.bias is not None:
            total[split:].reshape(-1, self.sizes.filters).sum(axis=0, out=self.gradients["bias"])


class ConvolutionStage(Stage):
    """One micro-batch of a convolution. It keeps V and the mask of the rectifier."""

    def __init__(
        self, kernel: ConvolutionKernel, ends: Ends, workspace: Workspace, sums: Array
    ) -> None:
        self.weights = kernel.weights
        sizes = replace(kernel.sizes, rows=len(ends.x))
        if ends.dy is None:
            # The name contains the sizes, as for D: all users of this memory have the same zeros.
            planes = workspace.scratch(f"planes {sizes}", planes_shape(sizes))
        else:
            planes = workspace.keep(planes_shape(sizes))
        self.correlation = Correlation(
            sizes, ends.x, ends.y, planes, workspace, exact_zeros=kernel.exact_zeros
        )
        self.rectifier = Rectifier(ends.y, ends.dy, workspace) if kernel.relu else None
        if ends.dy is not None:
            self.gradients = CorrelationGradients(sizes, planes, ends.dy, ends.dx, workspace, sums)

    def forward(self, part: Part) -> None:
        """Correlate, then rectify."""
        self.correlation(self.weights)
        if self.rectifier:
            self.rectifier.forward()

    def backward(self, part: Part) -> None:
        """Add to the gradients of weights and bias, then compute that of the inputs."""
        if self.rectifier:
            self.rectifier.backward()
        self.gradients(self.weights, part.lane, first=part.first)
