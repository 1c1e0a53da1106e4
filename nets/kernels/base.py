"""The interface of a kernel: a layer, or several fused into one, in the form that trains fast.

The plain layers of `nets.layers` allocate the arrays that they return. A kernel is given its arrays
in advance, so it is used in two steps:

1. `Kernel.bind` receives the arrays for micro-batches of a certain size and builds, once, all views
   that the arithmetic needs. The result is a `Stage`.
2. `Stage.forward` and `Stage.backward` then only call NumPy functions with ``out=``.

A mini-batch is cut into parts (micro-batches) that pass through all stages one after the other,
small enough that their activations stay in the cache. Sums over the mini-batch are accumulated per
*lane*: each part belongs to one lane, and the lanes are added in order at the end. The sum is
therefore identical to the bit whichever thread computes a lane.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from nets.arrays import Array, Shape
from nets.kernels.workspace import Workspace
from nets.network import Network


@dataclass(frozen=True, slots=True)
class Part:
    """Rows ``start`` to ``stop`` of a mini-batch, and the lane of their sums."""

    index: int
    start: int
    stop: int
    lane: int
    first: bool
    """Whether it is the first of its lane: its sums are assigned, those of later parts added."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a kernel receives once per mini-batch."""

    batch: int
    """Rows of the mini-batch."""
    parts: int
    """Number of its parts."""
    training: bool
    """Whether backward is called."""
    noise: Sequence[NDArray[Any] | None] | None = None
    """The numbers drawn by the random layers, one entry per layer of the network."""


@dataclass(frozen=True, slots=True)
class Ends:
    """The input and output arrays of a stage, each ``(rows, *shape)`` and contiguous.

    Forward reads ``x`` and fills ``y``; backward reads ``dy`` and fills ``dx``. Unless the kernel
    sets ``keeps_input``, ``dx`` shares the memory of ``x``, and ``dy`` that of ``y``: gradients
    overwrite values, and a kernel must copy the values that it still needs. A stage may change
    ``dy``.
    """

    x: Array
    y: Array
    dx: Array | None
    """None if it is not needed: before the first layer that learns."""
    dy: Array | None
    """None if there is no backward: in prediction, and before the first layer that learns."""
    training: bool


class Stage:
    """A kernel bound to arrays; see the docstring of this module."""

    def forward(self, part: Part) -> None:
        """Fill y from x."""
        raise NotImplementedError

    def backward(self, part: Part) -> None:
        """Fill dx from dy, and add this part's sums to its lane."""
        raise NotImplementedError


class Kernel:
    """A layer of a network in its fast form: what all parts and threads share.

    Parameters
    ----------
    network, index
        The network, and the index of the layer. Its parameters are read and its gradients written
        through the network's views.
    """

    in_place: ClassVar[bool] = False
    """Whether y is x: the kernel changes its input, which is not needed any more."""
    keeps_input: ClassVar[bool] = False
    """Whether backward reads x, so that no other stage may use its memory in between."""
    keeps_gradient: ClassVar[bool] = False
    """Whether dy must be kept until backward has reached this kernel for all parts."""
    mixes_rows: ClassVar[bool] = False
    """Whether a row of y depends on other rows: all parts must arrive here before any continues."""

    sums: int = 0
    """Number of values that a lane sums for this kernel."""

    def __init__(self, network: Network, index: int) -> None:
        self.index = index
        self.dtype = network.dtype
        self.input_shape: Shape = network.shapes[index]
        self.output_shape: Shape = network.shapes[index + 1]
        self.parameters = network.parameter_views[index]
        self.gradients = network.gradient_views[index]
        self.needs_dx = any(network.parameter_views[:index])
        """Whether a layer before this one learns."""
        self.footprint = math.prod(self.input_shape) + math.prod(self.output_shape)
        """Numbers per row that the kernel works on: its ends, and what it keeps in between."""

    def prepare(self, step: Step) -> None:
        """Prepare for a mini-batch: compute everything that depends only on parameters."""

    def bind(self, ends: Ends, workspace: Workspace, sums: Array) -> Stage:
        """Build the stage for these arrays; ``sums`` is ``(lanes, self.sums)``."""
        raise NotImplementedError

    def finish(self, total: Array) -> None:
        """Turn the sums of all lanes, ``(self.sums,)``, into gradients of the parameters."""
