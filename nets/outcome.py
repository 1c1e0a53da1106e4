"""What a training reports after each epoch, and what it returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

State = dict[str, Any]
"""Everything needed to resume a training with identical results: nested dicts, lists and tuples
of plain values, bytes and arrays. `nets.state.pack` turns it into bytes."""

Reason = Literal["finished", "early stopping", "diverged"]


@dataclass(frozen=True)
class Model:
    """A trained model: source and arrays, or the files of a library.

    `source` is the text of a Python file that loads and applies the arrays, in the form of MLflow's
    models-from-code; `arrays` become one ``.npz`` file.

    A model of another library has `files`, by their relative paths, and the `format` that says what
    loads them, such as "sklearn"; then `source` is empty and the only array is ``input_example``,
    if there is one. `studies.objective.models.saved` returns such models. Nothing is ever pickled.
    """

    source: str
    arrays: Mapping[str, NDArray[Any]]
    files: Mapping[str, bytes] = field(default_factory=dict)
    format: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    `epoch` is the number of the epoch whose weights are kept: the last one, or the best one if
    early stopping restored it. A study takes the value of the trial from its metric at that epoch,
    so the trainer does not depend on studies. `model` is None for an objective without a model.
    `files` are kept with the trial, by their relative paths. `parameter_count` is the number of
    weights and biases that were trained.
    """

    epoch: int
    reason: Reason = "finished"
    model: Model | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    parameter_count: int | None = None


@dataclass(frozen=True)
class Epoch:
    """One finished epoch, passed to `report`.

    `number` counts from 1; `metrics` are plain floats (including NaN and infinities); `seconds` is
    the epoch's duration, finite and at least 0. `digests`, short strings, are digests of what must
    be equal when the trial is reproduced: the weights, the order of the batches, the states of the
    generators. `state` and `outcome` compute their result only when called, and must be called
    before `report` returns: `state()` returns a checkpoint of the training at this epoch,
    `outcome()` the outcome as if the training ended here. A trial whose objective has neither
    (None) restarts from epoch 1 after a crash and has no model when it is pruned.
    """

    number: int
    metrics: Mapping[str, float]
    seconds: float
    digests: Mapping[str, str] = field(default_factory=dict)
    state: Callable[[], State] | None = None
    outcome: Callable[[], Outcome] | None = None


Report = Callable[[Epoch], None]
"""Called once per epoch. An exception that it raises ends the training: it is not caught."""
