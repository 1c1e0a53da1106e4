"""What a training announces while it runs and what it hands back at its end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

State = dict[str, Any]
"""Everything that continues a training bit by bit: nested dicts and lists of plain values and
arrays. `nets.state.pack` turns it into bytes."""

Reason = Literal["finished", "early stopping", "diverged"]


@dataclass(frozen=True)
class Model:
    """A trained model as MLflow's models-from-code wants it.

    `source` is the text of a Python file that loads and applies the arrays; `arrays` become one
    ``.npz`` file. Neither is ever pickled.
    """

    source: str
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    `epoch` is the number of the epoch whose weights are kept: the last one, or the best one where
    early stopping restored it. A study reads the value of the trial from its own metric at that
    epoch, so the trainer needs to know nothing of studies. `model` may be None for an objective
    that has none.
    """

    epoch: int
    reason: Reason = "finished"
    model: Model | None = None


@dataclass(frozen=True)
class Epoch:
    """One finished epoch, announced through `report`.

    `number` counts from 1; `metrics` are plain floats (NaN and infinities included); `seconds` is
    the epoch's duration, finite and at least 0. `digests`, short texts, name what must be equal
    when the trial is tried again: the weights, the order of the batches, the state of the
    generators. `state` and `outcome` are
    computed only when somebody calls them, and only valid until `report` returns: `state()`
    continues the training from here, `outcome()` is the outcome as if it ended here. An objective
    without them (None) restarts from epoch 1 and leaves no model when it is pruned.
    """

    number: int
    metrics: Mapping[str, float]
    seconds: float
    digests: Mapping[str, str] = field(default_factory=dict)
    state: Callable[[], State] | None = None
    outcome: Callable[[], Outcome] | None = None


Report = Callable[[Epoch], None]
"""Called once an epoch. What it raises ends the training and is not caught there."""
