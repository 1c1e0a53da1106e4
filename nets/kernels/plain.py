"""The fallback: calls a layer that has no fast form.

It is correct for every layer, exactly as fast, and allocates what the layer allocates.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array
from nets.kernels.base import Ends, Kernel, Part, Stage, Step
from nets.kernels.workspace import Workspace
from nets.layers.base import Backward, Layer
from nets.network import Network


class PlainKernel(Kernel):
    """Any layer that treats rows independently."""

    keeps_input = True

    def __init__(self, network: Network, index: int, layer: Layer) -> None:
        super().__init__(network, index)
        self.layer = layer
        self.statistics = network.statistic_views[index]
        self.noise: NDArray[Any] | None = None
        self.sums = sum(gradient.size for gradient in self.gradients.values())

    def prepare(self, step: Step) -> None:
        """Set the numbers that the layer drew."""
        self.noise = None if step.noise is None else step.noise[self.index]

    def bind(self, ends: Ends, workspace: Workspace, sums: Array) -> Stage:
        """Build the stage."""
        return PlainStage(self, ends, sums)

    def finish(self, total: Array) -> None:
        """Copy the sums to the gradients."""
        for name, place in self.places(total).items():
            self.gradients[name][...] = place

    def places(self, sums: Array) -> dict[str, Array]:
        """Return the part of a flat vector that belongs to each parameter."""
        places, start = {}, 0
        for name, gradient in self.gradients.items():
            places[name] = sums[start : start + gradient.size].reshape(gradient.shape)
            start += gradient.size
        return places


class PlainStage(Stage):
    """One micro-batch of a plain layer."""

    def __init__(self, kernel: PlainKernel, ends: Ends, sums: Array) -> None:
        self.kernel, self.ends = kernel, ends
        self.sums = [kernel.places(lane) for lane in sums]
        self.layer_backward: Backward | None = None

    def forward(self, part: Part) -> None:
        """Call the layer."""
        kernel = self.kernel
        noise = None if kernel.noise is None else kernel.noise[part.start : part.stop]
        output, backward = kernel.layer.forward(
            self.ends.x,
            kernel.parameters,
            training=self.ends.training,
            noise=noise,
            statistics=kernel.statistics,
        )
        np.copyto(self.ends.y, output)
        if self.ends.dy is not None:
            self.layer_backward = backward

    def backward(self, part: Part) -> None:
        """Call the function that the layer returned, then drop it to free its memory."""
        if self.layer_backward is None or self.ends.dy is None:
            return
        dx, gradients = self.layer_backward(self.ends.dy)
        self.layer_backward = None
        if self.ends.dx is not None:
            np.copyto(self.ends.dx, dx)
        for name, place in self.sums[part.lane].items():
            if part.first:
                place[...] = gradients[name]
            else:
                place += gradients[name]
