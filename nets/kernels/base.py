"""What a kernel is: a layer, or several fused into one, in the form that trains fast.

The plain layers of `nets.layers` allocate what they return. A kernel knows beforehand which arrays
it will work on, and so it is used in two steps:

1. `Kernel.bind` gets the arrays for micro-batches of a certain size and builds, once, every view
   that the arithmetic needs. The result is a `Stage`.
2. `Stage.forward` and `Stage.backward` then only call NumPy functions with ``out=``.

A mini-batch is cut into parts (micro-batches) that go through all stages one after the other, so
small that their activations stay in the cache. What a kernel sums over the mini-batch it adds up
per *lane*: a part belongs to one lane, lanes are added in order at the end. Which thread computes a
lane therefore changes no bit of the sum.
"""

from __future__ import annotations

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
    """Rows ``start`` to ``stop`` of a mini-batch, and the lane that their sums go to."""

    index: int
    start: int
    stop: int
    lane: int
    first: bool
    """Whether it is the first of its lane: its sums are set, those of later parts added."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a kernel is told once per mini-batch."""

    batch: int
    """Rows of the mini-batch."""
    parts: int
    """Into how many parts it is cut."""
    training: bool
    """Whether there will be a backward."""
    noise: Sequence[NDArray[Any] | None] | None = None
    """What the random layers drew, one entry a layer of the network."""


@dataclass(frozen=True, slots=True)
class Ends:
    """The arrays between which a stage works, each ``(rows, *shape)`` and contiguous.

    Forward reads ``x`` and fills ``y``; backward reads ``dy`` and fills ``dx``. Unless the kernel
    says that it ``keeps_input``, ``dx`` is the memory of ``x``, and ``dy`` that of ``y``: values
    are gone when their gradients arrive, and a kernel keeps by itself what it needs of them. A
    stage may change ``dy``.
    """

    x: Array
    y: Array
    dx: Array | None
    """None where nobody asks for it: before the first layer that learns."""
    dy: Array | None
    """None where there is no backward at all: in prediction, and if nobody asks for dx."""
    training: bool


class Stage:
    """A kernel bound to arrays; see the head of this module."""

    def forward(self, part: Part) -> None:
        """Fill y from x."""
        raise NotImplementedError

    def backward(self, part: Part) -> None:
        """Fill dx from dy, and add this part's share of the sums to its lane."""
        raise NotImplementedError


class Kernel:
    """A layer of a network in its fast form: what all parts and threads have in common.

    Parameters
    ----------
    network, index
        The network, and which of its layers this is. Its parameters are read, its gradients
        written, through the network's own views.
    """

    in_place: ClassVar[bool] = False
    """Whether y is x: the kernel changes its input, which nobody else needs any more."""
    keeps_input: ClassVar[bool] = False
    """Whether backward still reads x, so that no other stage may use its memory in between."""
    keeps_gradient: ClassVar[bool] = False
    """Whether dy must last until all parts have got here on the way back."""
    mixes_rows: ClassVar[bool] = False
    """Whether a row of y depends on other rows: all parts must have got here before any goes on."""

    sums: int = 0
    """How many numbers a lane adds up for this kernel."""

    def __init__(self, network: Network, index: int) -> None:
        self.index = index
        self.dtype = network.dtype
        self.input_shape: Shape = network.shapes[index]
        self.output_shape: Shape = network.shapes[index + 1]
        self.parameters = network.parameter_views[index]
        self.gradients = network.gradient_views[index]
        self.asked_for_dx = any(network.parameter_views[:index])
        """Whether a layer before this one learns."""
        self.footprint = math.prod(self.input_shape) + math.prod(self.output_shape)
        """Numbers that the kernel works on for each row: its ends, and what it keeps between."""

    def prepare(self, step: Step) -> None:
        """Get ready for a mini-batch: whatever depends on parameters alone is computed here."""

    def bind(self, ends: Ends, workspace: Workspace, sums: Array) -> Stage:
        """Build the stage for these arrays; ``sums`` is ``(lanes, self.sums)``."""
        raise NotImplementedError

    def finish(self, total: Array) -> None:
        """Turn the sums of all lanes, ``(self.sums,)``, into gradients of the parameters."""
