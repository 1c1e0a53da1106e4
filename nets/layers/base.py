"""What a layer is: the contract that every layer of ``nets`` keeps.

A layer is a small frozen value that holds hyperparameters and nothing else. Computation is a pure
function of the arrays it is given: ``forward`` returns the output together with the function that
carries a gradient back, so nothing is remembered on the layer, evaluating in the middle of training
cannot damage a pending backward pass, and one layer may stand twice in a network.

Who owns what:

- ``forward`` never writes to its input, the backward function never writes to the gradient that it
  is given. Either may hand the array itself on (identity does): treat what a layer returns as
  read-only.
- The output has the dtype of the input, float32 or float64.
- The one thing that changes in place are the running statistics of batch normalization, while
  training.
- Images are ``(batch, height, width, channels)`` everywhere.
- A batch is its rows: row i of the output depends on row i of the input alone. Batch normalization
  in training is the exception, and says so through ``mixes_rows``.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class Parameter:
    """What a layer wants to learn: an array's shape and what an initializer must know of it.

    ``fan_in`` is the number of inputs that one output adds up, ``fan_out`` the number of outputs
    that one input reaches. Only a ``weight`` is drawn at random and touched by weight decay; a
    ``bias`` or ``shift`` starts at zero, a ``scale`` at one.
    """

    shape: Shape
    fan_in: int
    fan_out: int
    kind: Kind


@dataclass(frozen=True)
class Statistic:
    """A running statistic, learnt by averaging rather than by gradient: its shape and its start."""

    shape: Shape
    initial: float


@dataclass(frozen=True)
class Layer:
    """The contract. A layer overrides ``output_shape`` and ``forward``, and what else it needs.

    Shapes given to and returned by ``output_shape``, ``parameters``, ``statistics`` and ``draw``
    leave the batch axis out.

    Parameters
    ----------
    label
        The layer's name in messages and in its parameters' names, such as ``"affine2"``. A network
        labels its layers; a layer on its own answers to the name of its class.
    """

    mixes_rows: ClassVar[bool] = False

    label: str = field(default="", kw_only=True, repr=False)

    @property
    def name(self) -> str:
        """The label, or without one the class's name in small letters."""
        return self.label or snake_case(type(self).__name__)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of one output for inputs of this shape; raises `InputError` where none is."""
        raise NotImplementedError

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        """Return what the layer learns by gradient, by name."""
        return {}

    def statistics(self, input_shape: Shape) -> dict[str, Statistic]:
        """Return what the layer learns by averaging over mini-batches, by name."""
        return {}

    def draw(
        self, batch: int, input_shape: Shape, generator: np.random.Generator
    ) -> NDArray[Any] | None:
        """Draw what a random layer needs for one mini-batch, row by row, before ``forward``.

        Drawing first and computing later means that a mini-batch cut into parts, or shared out
        among threads, sees the same draws as one computed whole.
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
        """Compute the output for a batch, and the function that carries its gradient back."""
        raise NotImplementedError

    def check(self, x: Array, *axes: int | str) -> None:
        """Refuse an input that the layer cannot take: the first line of every ``forward``.

        Parameters
        ----------
        axes
            What is accepted after the batch axis: a length, or the name of an axis that may have
            any. None at all means any shape.

        Raises
        ------
        TypeError
            Not an array of float32 or float64.
        InputError
            No rows, another rank, or another length of an axis.
        """
        check_floats(f"{self.name}: the input", x)
        shape = x.shape
        if not shape or shape[0] == 0:
            raise InputError(f"{self.name}: the input must have at least one row, got {shape}")
        if axes and not (
            len(shape) == len(axes) + 1
            and all(
                isinstance(axis, str) or axis == length
                for axis, length in zip(axes, shape[1:], strict=True)
            )
        ):
            raise InputError(
                f"{self.name}: the input must have the shape {describe('batch', *axes)}, "
                f"got {shape}"
            )

    def check_shape(self, shape: Shape, *axes: str) -> None:
        """Refuse the shape of one input unless it has these axes, each at least one long."""
        if len(shape) != len(axes) or min(shape) < 1:
            raise InputError(
                f"{self.name}: one input must have the shape {describe(*axes)} "
                f"and no empty axis, got {shape}"
            )


def snake_case(name: str) -> str:
    """Turn a class's name into a layer's.

    >>> snake_case("BatchNormalization"), snake_case("LeakyReLU"), snake_case("GELU")
    ('batch_normalization', 'leaky_relu', 'gelu')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name).lower()


def describe(*axes: int | str) -> str:
    """Print accepted axes like a shape.

    >>> describe("batch", 784), describe("inputs")
    ('(batch, 784)', '(inputs,)')
    """
    inside = ", ".join(map(str, axes))
    return f"({inside},)" if len(axes) == 1 else f"({inside})"
