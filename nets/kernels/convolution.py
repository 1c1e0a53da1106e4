"""Convolution with stride 1, by `nets.kernels.winograd`, with the rectifier behind it.

Forward keeps V = B^T x, the transformed input, and nothing else but the rectifier's mask.

The gradient of the kernel is taken where the products were taken, in the planes. With
``D = A dy`` (each tile's rows of dy taken to n planes), tap j of the kernel's width gets ::

    dU[:, j] = sum over columns c of V[:, c + j]^T D[:, c]        dw = G^T dU

V shifted by a column is the same memory read from elsewhere, so each of these sums is one matrix
product per plane, with as many columns as the micro-batch has. Columns that belong to no output are
zero in D. dU is added up over the mini-batch and transformed back once.

The gradient of the bias is the sum of dy, which D contains already: its plane for point 1 is the
sum of each tile's rows.

The gradient of the input is again a correlation: of dy, with the kernel turned by 180 degrees, its
channels and filters swapped, and padding ``k - 1 - p``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nets.arrays import Array
from nets.kernels.base import Ends, Kernel, Part, Stage, Step
from nets.kernels.rectifier import Rectifier
from nets.kernels.views import allocate, pieces, strided
from nets.kernels.winograd import (
    Correlation,
    Geometry,
    Product,
    cook_toom,
    multiply,
    tiles_by_height,
    transformed,
)
from nets.kernels.workspace import Workspace
from nets.layers import Convolution
from nets.network import Network


class ConvolutionKernel(Kernel):
    """A convolution, and the ReLU after it if there is one."""

    def __init__(self, network: Network, index: int, layer: Convolution, *, relu: bool) -> None:
        super().__init__(network, index)
        self.relu = relu
        self.weight = self.parameters["weight"]
        self.bias = self.parameters.get("bias")
        height, width, channels, filters = self.weight.shape
        self.sizes = Geometry(
            rows=1,
            height=self.input_shape[0],
            width=self.input_shape[1],
            channels=channels,
            filters=filters,
            kernel_height=height,
            kernel_width=width,
            padding_height=layer.padding[0],
            padding_width=layer.padding[1],
        )
        points = self.sizes.points
        self.forward_planes = allocate((points, 1, width * channels, filters), self.dtype)
        self.backward_planes = allocate((points, 1, width * filters, channels), self.dtype)
        self.bias_row: Array | None = None
        if self.bias is not None:
            self.bias_row = allocate((self.sizes.out_width * filters,), self.dtype)
        self.sums = points * width * channels * filters + filters

    def prepare(self, step: Step) -> None:
        """Transform the kernel for both directions."""
        self.forward_planes[...] = transformed(self.weight, self.dtype)
        if self.bias is not None and self.bias_row is not None:
            self.bias_row.reshape(-1, len(self.bias))[...] = self.bias
        if not step.training:
            return
        turned = self.weight[::-1, ::-1].swapaxes(2, 3)
        self.backward_planes[...] = transformed(np.ascontiguousarray(turned), self.dtype)

    def bind(self, ends: Ends, workspace: Workspace, sums: Array) -> Stage:
        """Build the stage."""
        return ConvolutionStage(self, ends, workspace, sums)

    def finish(self, total: Array) -> None:
        """Transform the kernel's gradient back."""
        height = self.sizes.kernel_height
        filters = self.sizes.filters
        matrix = cook_toom(self.sizes.tile, height).kernel.astype(self.dtype)
        planes = total[:-filters].reshape(self.sizes.points, -1)
        np.matmul(matrix.T, planes, out=self.gradients["weight"].reshape(height, -1))
        if self.bias is not None:
            self.gradients["bias"][...] = total[-filters:]


class ConvolutionStage(Stage):
    """One micro-batch of a convolution."""

    def __init__(
        self, kernel: ConvolutionKernel, ends: Ends, workspace: Workspace, sums: Array
    ) -> None:
        self.kernel = kernel
        sizes = geometry_of(kernel.sizes, len(ends.x))
        has_bias = kernel.bias is not None
        shape = (sizes.points, sizes.plane, sizes.channels)
        if ends.dy is not None:  # the weight gradient needs the planes: they are kept
            self.planes, self.stale = allocate(shape, kernel.dtype), False
        else:
            self.planes, self.stale = workspace.scratch("planes", shape), True
        products = workspace.scratch("products", products_shape(sizes, has_bias))
        self.correlation = Correlation(sizes, ends.x, ends.y, self.planes, products, bias=has_bias)
        self.rectifier = Rectifier(ends.y, ends.dy is not None) if kernel.relu else None
        if ends.dy is None:
            return
        self.dy = ends.dy
        self.weight_gradient = WeightGradient(sizes, ends.dy, self.planes, workspace, sums)
        self.input_gradient = None
        if ends.dx is not None:
            self.input_gradient = self._input_gradient(sizes, ends.dy, ends.dx, workspace)

    def forward(self, part: Part) -> None:
        """Correlate, then rectify."""
        if self.stale:
            self.correlation.clear_padding()
        kernel = self.kernel
        self.correlation(kernel.forward_planes, kernel.bias_row)
        if self.rectifier:
            self.rectifier.forward()

    def backward(self, part: Part) -> None:
        """Add to the kernel's gradient, then send the rest to the input."""
        if self.rectifier:
            self.rectifier.backward(self.dy)
        self.weight_gradient(part.lane)
        if self.input_gradient:
            self.input_gradient.clear_padding()
            self.input_gradient(self.kernel.backward_planes)

    def _input_gradient(
        self, sizes: Geometry, dy: Array, dx: Array, workspace: Workspace
    ) -> Correlation:
        """Return the correlation that leads from dy to dx."""
        back = sizes.mirrored()
        return Correlation(
            back,
            dy,
            dx,
            workspace.scratch("planes", (back.points, back.plane, back.channels)),
            workspace.scratch("products", products_shape(back, False)),
            bias=False,
        )


class WeightGradient:
    """Adds one micro-batch's dU, and its gradient of the bias, to a lane's sums."""

    def __init__(
        self, sizes: Geometry, dy: Array, planes: Array, workspace: Workspace, sums: Array
    ) -> None:
        s = sizes
        channels, filters, taps = s.channels, s.filters, s.kernel_width
        spread = workspace.scratch("products", (s.points, s.columns, filters))
        self.into_spread = self._spread_steps(s, dy, spread)
        rows = spread.reshape(s.points, s.rows * s.tiles, s.pitch, filters)
        self.beyond = rows[:, :, s.out_width :]

        count = pieces(s.columns, channels * filters * s.columns, at_least=64)
        length = s.columns // count
        self.shifted = strided(
            planes,
            (s.points, count, taps, channels, length),
            (s.plane * channels, length * channels, channels, 1, channels),
        )
        self.spread = spread.reshape(s.points, count, 1, length, filters)
        self.shares = workspace.scratch("shares", (s.points, count, taps, channels, filters))
        self.sums = sums[:, :-filters].reshape(-1, s.points, taps, channels, filters)

        outputs = cook_toom(s.tile, s.kernel_height).outputs
        (summing, *_) = np.flatnonzero((outputs == 1).all(axis=0))
        self.ones_plane = rows[summing].reshape(s.rows * s.tiles, -1)
        self.ones = np.ones(len(self.ones_plane), dy.dtype)
        self.bias_sums = sums[:, -filters:]

    def __call__(self, lane: int) -> None:
        """Add."""
        self.beyond[...] = 0
        multiply(self.into_spread)
        np.matmul(self.shifted, self.spread, out=self.shares)
        total = self.sums[lane]
        for share in range(self.shares.shape[1]):
            total += self.shares[:, share]
        bias = self.bias_sums[lane]
        bias += (self.ones @ self.ones_plane).reshape(-1, len(bias)).sum(axis=0)

    @staticmethod
    def _spread_steps(s: Geometry, dy: Array, spread: Array) -> list[Product]:
        """Return (part of A, rows of dy, their place in D), complete tiles before the last one."""
        matrix = cook_toom(s.tile, s.kernel_height).outputs.T.astype(dy.dtype)
        line = s.out_width * s.filters
        steps: list[Product] = []
        for first, count, height in tiles_by_height(s):
            source = strided(
                dy,
                (s.rows, count, height, line),
                (s.out_height * line, s.tile * line, line, 1),
                first * s.tile * line,
            )
            target = strided(
                spread,
                (s.rows, count, s.points, line),
                (
                    s.tiles * s.pitch * s.filters,
                    s.pitch * s.filters,
                    s.columns * s.filters,
                    1,
                ),
                first * s.pitch * s.filters,
            )
            steps.append((np.ascontiguousarray(matrix[:, :height]), source, target))
        return steps


def geometry_of(sizes: Geometry, rows: int) -> Geometry:
    """Return the same sizes for another number of images."""
    return replace(sizes, rows=rows)


def products_shape(sizes: Geometry, bias: bool) -> tuple[int, ...]:
    """Return the shape of M: a plane for each point, and one for the bias if there is one."""
    return (
        sizes.points + bias,
        sizes.rows * sizes.tiles,
        sizes.out_width,
        sizes.filters,
    )
