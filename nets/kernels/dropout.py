"""Dropout, in place: ``y = x * mask / (1 - rate)``, and the same for the gradient."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array
from nets.kernels.base import Ends, Kernel, Part, Stage, Step
from nets.kernels.workspace import Workspace
from nets.layers.dropout import checked_mask
from nets.network import Network


class DropoutKernel(Kernel):
    """A dropout layer; its masks are drawn for the whole mini-batch."""

    in_place = True

    def __init__(self, network: Network, index: int, rate: float) -> None:
        super().__init__(network, index)
        self.name = network.layers[index].name
        self.scale = self.dtype.type(1 / (1 - rate))
        self.masks: NDArray[Any] | None = None

    def prepare(self, step: Step) -> None:
        """Set the masks of the mini-batch."""
        if not step.training:
            return
        masks = None if step.noise is None else step.noise[self.index]
        self.masks = checked_mask(self.name, masks, (step.batch, *self.input_shape))

    def bind(self, ends: Ends, workspace: Workspace, sums: Array) -> Stage:
        """Build the stage."""
        return DropoutStage(self, ends)


class DropoutStage(Stage):
    """One micro-batch of dropout."""

    def __init__(self, kernel: DropoutKernel, ends: Ends) -> None:
        self.kernel = kernel
        self.y, self.dy, self.training = ends.y, ends.dy, ends.training

    def forward(self, part: Part) -> None:
        """Apply the mask in training; do nothing in prediction."""
        if self.training:
            self._apply_mask(self.y, part)

    def backward(self, part: Part) -> None:
        """Apply the mask to the gradient."""
        if self.dy is not None:
            self._apply_mask(self.dy, part)

    def _apply_mask(self, array: Array, part: Part) -> None:
        if self.kernel.masks is not None:
            np.multiply(array, self.kernel.masks[part.start : part.stop], out=array)
            np.multiply(array, self.kernel.scale, out=array)
