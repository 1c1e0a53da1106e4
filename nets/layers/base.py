"""The contract of every layer of ``nets``.

A layer is a small frozen value that holds only hyperparameters. Computation is a pure function of
arrays: ``forward`` returns the output together with the function that propagates a gradient back.
A layer therefore has no state, evaluating in the middle of training cannot damage a pending
backward pass, and one layer may occur twice in a network.

Arrays:

- ``forward`` never writes to its input, the backward function never writes to the gradient that it
  receives. Either may return the same array (identity does): treat what a layer returns as
  read-only.
- The output has the dtype of the input, float32 or float64.
- Only the running statistics of batch normalization change in place, and only in training.
- Images are ``(batch, height, width, channels)`` everywhere.
- Rows are independent: row i of the output depends only on row i of the input. Batch normalization
  in training is the exception, and sets ``mixes_rows``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array, Shape, check_floats
from nets.errors import InputError

Kind: TypeAlias = Literal["weight", "bias", "scale", "shift"]

Backward: TypeAlias = Callable[[Array], tuple[Array, dict[str, Array]]]
"""Output gradient -> (input gradient, gradient of each parameter by name)."""

Carry: TypeAlias = Callable[[Array], Array]
"""Output gradient -> input gradient, in a layer without parameters."""


@dataclass(frozen=True)
class Parameter:
    """An array that a layer learns: its shape and what an initializer needs to know.

    ``fan_in`` is the number of inputs that one output sums, ``fan_out`` the number of outputs that
    depend on one input. Only a ``weight`` is drawn at random and subject to weight decay; a
    ``bias`` or ``shift`` starts at zero, a ``scale`` at one.
    """

    shape: Shape
    fan_in: int
    fan_out: int
    kind: Kind


@dataclass(frozen=True)
class Statistic:
    """A running statistic, learnt by averaging, not by gradient: its shape and initial value."""

    shape: Shape
    initial: float


@dataclass(frozen=True)
class Layer:
    """Base of all layers. A layer overrides ``output_shape``, ``forward`` and whatever it needs.

    Shapes passed to and returned by ``output_shape``, ``parameters``, ``statistics`` and ``draw``
    do not contain the batch axis.

    Parameters
    ----------
    label
        The layer's name in messages and in its parameters' names, such as ``"affine2"``. A network
        labels its layers; a layer without a label has the name of its class.
    """

    mixes_rows: ClassVar[bool] = False

    label: str = field(default="", kw_only=True, repr=False)

    @property
    def name(self) -> str:
        """The label, or without one the name of the class in snake case."""
        return self.label or snake_case(type(self).__name__)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of one output for inputs of this shape; raises `InputError` for a wrong shape."""
        raise NotImplementedError

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        """Return the parameters that the layer learns by gradient, by name."""
        return {}

    def statistics(self, input_shape: Shape) -> dict[str, Statistic]:
        """Return the statistics that the layer learns by averaging over mini-batches, by name."""
        return {}

    def draw(
        self, batch: int, input_shape: Shape, generator: np.random.Generator
    ) -> NDArray[Any] | None:
        """Draw the random numbers for one mini-batch, row by row, before ``forward``.

        They are drawn before the computation so that a mini-batch cut into parts, or distributed
        over threads, uses the same numbers as one computed as a whole.
        """
        return None

    def forward(
        self,
        x: Array,
        parameters: dict[str, Array],
        *,
        training: bool,
        noise: NDArray[Any] | None = None,
        statistics: dict[str, Array] | None = None,
    ) -> tuple[Array, Backward]:
        """Compute the output for a batch, and the function that propagates its gradient back."""
        raise NotImplementedError

    def check(self, x: Array, *axes: int | str) -> None:
        """Raise an error for a wrong input; called first by every ``forward``.

        Parameters
        ----------
        axes
            The expected axes after the batch axis: a length, or the name of an axis of any length.
            Without axes, any shape is valid.

        Raises
        ------
        TypeError
            If it is not an array of float32 or float64.
        InputError
            If there are no rows, or the rank or the length of an axis is wrong.
        """
        check_floats(f"{self.name}: the input", x)
        shape = x.shape
        if not shape or shape[0] == 0:
            raise InputError(f"{self.name}.input", shape, "at least one row")
        if axes and not (
            len(shape) == len(axes) + 1
            and all(
                isinstance(axis, str) or axis == length
                for axis, length in zip(axes, shape[1:], strict=True)
            )
        ):
            raise InputError(f"{self.name}.input", shape, describe("batch", *axes))

    def check_shape(self, shape: Shape, *axes: str) -> None:
        """Raise InputError unless one input has these axes, each of length 1 or more."""
        if len(shape) != len(axes) or min(shape) < 1:
            expected = f"{describe(*axes)} without an empty axis"
            raise InputError(f"{self.name}.input_shape", shape, expected)


@dataclass(frozen=True)
class Function(Layer):
    """Base of the layers that compute a fixed function: nothing is learnt, nothing drawn."""

    def forward(
        self,
        x: Array,
        parameters: dict[str, Array],
        *,
        training: bool,
        noise: NDArray[Any] | None = None,
        statistics: dict[str, Array] | None = None,
    ) -> tuple[Array, Backward]:
        """Apply the function; backward carries the gradient through it."""
        self.check(x)
        output, carry = self.apply(x)
        return output, lambda gradient: (carry(gradient), {})

    def apply(self, x: Array) -> tuple[Array, Carry]:
        """Return f(x), and the function that turns its gradient into that of x."""
        raise NotImplementedError


def snake_case(name: str) -> str:
    """Turn the name of a class into the name of a layer.

    >>> snake_case("BatchNormalization"), snake_case("LeakyReLU"), snake_case("GELU")
    ('batch_normalization', 'leaky_relu', 'gelu')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name).lower()


def describe(*axes: int | str) -> str:
    """Format expected axes like a shape.

    >>> describe("batch", 784), describe("inputs")
    ('(batch, 784)', '(inputs,)')
    """
    inside = ", ".join(map(str, axes))
    return f"({inside},)" if len(axes) == 1 else f"({inside})"
