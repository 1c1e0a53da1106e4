"""A pass: all stages of a plan, bound to arrays for micro-batches of one size."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array
from nets.kernels.base import Ends, Kernel, Part, Stage
from nets.kernels.batch_normalization import BatchNormalizationStage
from nets.kernels.cross_entropy import SoftmaxCrossEntropy
from nets.kernels.workspace import Workspace
from nets.losses import CrossEntropy, Loss
from nets.network import Network

Call = Callable[[Part], None]


class Pass:
    """Computes one part: the arrays between the kernels, and the calls in their order.

    Attributes
    ----------
    x, y
        ``(rows, *input_shape)`` and ``(rows, *output_shape)``: fill x, read y.
    dy
        Receives the gradient of the loss; shares the memory of ``y``.
    forwards, backwards
        The calls of each segment. A segment ends where all parts must arrive before any continues:
        at each batch normalization in training. ``backwards[s]`` are the backward calls of segment
        s.
    """

    def __init__(
        self,
        network: Network,
        kernels: Sequence[Kernel],
        rows: int,
        workspace: Workspace,
        sums: Sequence[Array],
        *,
        training: bool,
    ) -> None:
        self.rows = rows
        self.kernels, self.workspace, self.sums = kernels, workspace, sums
        self.training = training
        self.input_shape = network.input_shape
        with workspace.measuring():
            self._bind()
        self.x, last, gradient, stages = self._bind()
        self.y = last.reshape(rows, *network.output_shape)
        self.dy = (last if gradient is None else gradient).reshape(self.y.shape)
        self.forwards, self.backwards = self._segments(stages)
        self._softmax: SoftmaxCrossEntropy | None = None

    def forward(self, segment: int, part: Part) -> None:
        """Call forward of each stage of a segment."""
        for call in self.forwards[segment]:
            call(part)

    def backward(self, segment: int, part: Part) -> None:
        """Call backward of each stage of a segment."""
        for call in self.backwards[segment]:
            call(part)

    def loss(self, loss: Loss, targets: NDArray[Any], count: int) -> float:
        """Return the part's share of the loss and write its gradient to ``dy``."""
        if type(loss) is CrossEntropy and np.ndim(targets) == 1 and self.y.ndim == 2:
            if self._softmax is None:
                self._softmax = SoftmaxCrossEntropy(self.y, self.dy)
            return self._softmax(targets, count, loss.label_smoothing)
        value, backward = loss(self.y, targets, count)
        np.copyto(self.dy, backward())
        return value

    def _bind(self) -> tuple[Array, Array, Array | None, list[tuple[Stage, bool]]]:
        """Allocate the arrays between the kernels and bind each kernel to its arrays.

        Returns the first array, the last one, its gradient, and (stage, whether it has a backward)
        for each kernel.
        """
        first = value = self.workspace.keep((self.rows, *self.input_shape))
        gradient: Array | None = None
        stages: list[tuple[Stage, bool]] = []
        turn, needed = 0, False
        for number, kernel in enumerate(self.kernels):
            x = value.reshape(self.rows, *kernel.input_shape)
            dx = None if gradient is None else gradient.reshape(x.shape)
            needed = needed or (self.training and bool(kernel.parameters))
            shape = (self.rows, *kernel.output_shape)
            if kernel.in_place:
                y, dy = x, dx
            else:
                if self._is_kept(number):
                    y = self.workspace.keep(shape)
                else:
                    turn = 1 - turn
                    y = self.workspace.scratch(f"activations {turn}", shape)
                dy = y if needed else None
                if needed and kernel.keeps_gradient:
                    dy = self.workspace.keep(shape)
            ends = Ends(x, y, dx, dy, self.training)
            stages.append((kernel.bind(ends, self.workspace, self.sums[number]), needed))
            value, gradient = y, dy
        return first, value, gradient, stages

    def _is_kept(self, number: int) -> bool:
        """Whether a kernel's output must last: for the loss, or for the backward of the next."""
        users = [kernel for kernel in self.kernels[number + 1 :] if not kernel.in_place]
        return not users or (self.training and users[0].keeps_input)

    def _segments(
        self, stages: list[tuple[Stage, bool]]
    ) -> tuple[list[list[Call]], list[list[Call]]]:
        """Return the forward and backward calls of each segment, in their order."""
        forwards: list[list[Call]] = [[]]
        backwards: list[list[Call]] = [[]]
        for stage, needed in stages:
            if self.training and isinstance(stage, BatchNormalizationStage):
                forwards[-1].append(stage.measure)
                forwards.append([stage.forward])
                backwards[-1].append(stage.backward)
                backwards.append([stage.measure_gradient])
                continue
            forwards[-1].append(stage.forward)
            if needed:
                backwards[-1].append(stage.backward)
        return forwards, [calls[::-1] for calls in backwards]
