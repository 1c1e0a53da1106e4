"""Settings: everything that one trial depends on, in one value.

Optuna fills some of its fields, MLflow stores it, reproduction reads it, so that no package depends
on another just to describe a trial.
"""

import json
import math
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nets.errors import InputError, did_you_mean, one_of

Architecture = Literal["mlp", "lenet", "deep_convnet"]
Activation = Literal["relu", "leaky_relu", "gelu", "sigmoid", "tanh", "identity"]
Initialization = Literal[
    "he_normal", "he_uniform", "xavier_normal", "xavier_uniform", "constant_std"
]
Optimizer = Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]
Schedule = Literal["constant", "step", "cosine", "one_cycle"]


def _at_least(low: float, section: str) -> dict[str, Any]:
    return {"section": section, "expected": f"of at least {low}", "check": lambda x: x >= low}


def _above(low: float, section: str) -> dict[str, Any]:
    return {"section": section, "expected": f"above {low}", "check": lambda x: x > low}


def _within(low: float, high: float, section: str, *, closed: bool = False) -> dict[str, Any]:
    bracket = "]" if closed else ")"
    return {
        "section": section,
        "expected": f"in [{low}, {high}{bracket}",
        "check": lambda x: low <= x < high or (closed and x == high),
    }


def _widths(section: str) -> dict[str, Any]:
    return {
        "section": section,
        "expected": "a list of integers, each at least 1",
        "check": lambda widths: (
            widths is None or all(type(width) is int and width >= 1 for width in widths)
        ),
    }


def _one_of(section: str, key: str | None = None) -> dict[str, Any]:
    return {"section": section} | ({"key": key} if key else {})


def _only_with(**used_with: tuple[str, ...]) -> dict[str, Any]:
    return {"only_with": used_with}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a trial is: its data, network, training and seed.

    A field's metadata holds the section of a study file it belongs to, its key there where that
    differs from its name, the expected values, and, if it has an effect only with some values of
    another field, those values (``only_with``). All fields are validated on construction, so every
    `Settings` that exists is valid.

    >>> Settings(learning_rate=0.1).learning_rate
    0.1
    >>> Settings(dropout=1.5)
    Traceback (most recent call last):
    nets.errors.InputError: dropout: got 1.5, expected a number in [0, 1)
    """

    data: str = field(default="digits", metadata=_one_of("data", "name"))
    validation: int = field(default=360, metadata=_at_least(0, "data"))
    """Number of training images held out for validation."""
    split_seed: int = field(default=0, metadata=_at_least(0, "data"))
    """Seed of the shuffle that chooses them, the same for all trials of a study."""

    architecture: Architecture = field(default="mlp", metadata=_one_of("network"))
    hidden: tuple[int, ...] | None = field(default=None, metadata=_widths("network"))
    """Widths of the hidden affine layers; None is the architecture's own."""
    filters: tuple[int, ...] | None = field(
        default=None,
        metadata=_widths("network") | _only_with(architecture=("lenet", "deep_convnet")),
    )
    """Filters of each stage of convolutions; None is the architecture's own."""
    activation: Activation = field(default="relu", metadata=_one_of("network"))
    initialization: Initialization = field(default="he_normal", metadata=_one_of("network"))
    initial_std: float = field(
        default=0.01, metadata=_above(0, "network") | _only_with(initialization=("constant_std",))
    )
    """Standard deviation of the weights with ``initialization = "constant_std"``."""
    batch_normalization: bool = field(default=False, metadata=_one_of("network"))
    dropout: float = field(default=0.0, metadata=_within(0, 1, "network"))
    """Fraction of units dropped in training."""

    epochs: int = field(default=20, metadata=_at_least(1, "training"))
    batch_size: int = field(default=64, metadata=_at_least(1, "training"))
    optimizer: Optimizer = field(default="adam", metadata=_one_of("training"))
    learning_rate: float = field(default=1e-3, metadata=_above(0, "training"))
    momentum: float = field(
        default=0.9,
        metadata=_within(0, 1, "training") | _only_with(optimizer=("momentum", "nesterov")),
    )
    """Of momentum and nesterov."""
    beta1: float = field(
        default=0.9, metadata=_within(0, 1, "training") | _only_with(optimizer=("adam", "adamw"))
    )
    """Decay of the first moment in adam and adamw."""
    beta2: float = field(
        default=0.999,
        metadata=_within(0, 1, "training") | _only_with(optimizer=("rmsprop", "adam", "adamw")),
    )
    """Decay of the second moment in adam and adamw, and of the square in rmsprop."""
    weight_decay: float = field(default=0.0, metadata=_at_least(0, "training"))
    """Of the weights, never of biases, scales and shifts; decoupled in adamw."""
    schedule: Schedule = field(default="constant", metadata=_one_of("training"))
    warmup: float = field(default=0.0, metadata=_within(0, 1, "training"))
    """Fraction of all steps during which the learning rate rises linearly from zero."""
    step_epochs: int = field(
        default=10, metadata=_at_least(1, "training") | _only_with(schedule=("step",))
    )
    step_factor: float = field(
        default=0.1,
        metadata=_within(0, 1, "training", closed=True) | _only_with(schedule=("step",)),
    )
    """The step schedule multiplies the learning rate by this every `step_epochs` epochs."""
    clip_norm: float = field(default=0.0, metadata=_at_least(0, "training"))
    """Largest norm of the whole gradient; 0 is no clipping."""
    label_smoothing: float = field(default=0.0, metadata=_within(0, 1, "training"))
    patience: int = field(default=0, metadata=_at_least(0, "training"))
    """Epochs without a better validation loss after which training stops and the best weights
    are restored; 0 is no early stopping."""

    shift: float = field(default=0.0, metadata=_at_least(0, "augmentation"))
    """Largest shift in pixels."""
    rotation: float = field(default=0.0, metadata=_within(0, 180, "augmentation", closed=True))
    """Largest rotation in degrees."""
    scale: float = field(default=0.0, metadata=_within(0, 1, "augmentation"))
    """Largest relative change of size."""
    shear: float = field(default=0.0, metadata=_within(0, 1, "augmentation"))
    """Largest shear, as the tangent of its angle."""
    elastic: float = field(default=0.0, metadata=_at_least(0, "augmentation"))
    """Strength of the elastic distortion in pixels."""

    seed: int = field(default=0, metadata=_at_least(0, "training"))

    def __post_init__(self) -> None:
        """Validate every field."""
        check_fields(self)
        stages = len(FILTERS.get(self.architecture, ()))
        if self.filters is not None and stages and len(self.filters) != stages:
            raise InputError(
                "filters",
                list(self.filters),
                f"a list of {stages} integers, one per stage of {self.architecture}",
            )
        if self.patience and not self.validation:
            raise InputError(
                "patience", self.patience, "0 with validation 0", "early stopping needs val_loss"
            )


HIDDEN: dict[str, tuple[int, ...]] = {"mlp": (100,), "lenet": (128,), "deep_convnet": (50,)}
"""Each architecture's own widths of hidden layers."""
FILTERS: dict[str, tuple[int, ...]] = {"lenet": (16, 32), "deep_convnet": (16, 32, 64)}
"""Each convolutional architecture's own filters, one number per stage."""


def check_fields(settings: Any) -> None:
    """Validate types and ranges of a dataclass of settings; users' settings classes may call it.

    A float field accepts integers, a tuple field lists; both are converted, so that equal settings
    are equal values. Raises InputError whose key is the name of the field.
    """
    hints = get_type_hints(type(settings))
    for item in fields(settings):
        value = getattr(settings, item.name)
        converted = _converted(value, hints[item.name])
        check = item.metadata.get("check")
        if converted is _WRONG or (check is not None and not check(converted)):
            expected = _expected(hints[item.name], item.metadata.get("expected", ""))
            choices = [choice for choice in get_args(hints[item.name]) if isinstance(choice, str)]
            raise InputError(item.name, value, expected, did_you_mean(str(value), choices))
        if converted is not value:
            object.__setattr__(settings, item.name, converted)


_WRONG = object()


def _converted(value: Any, hint: Any) -> Any:
    """Return `value` as a value of type `hint`, or _WRONG."""
    origin = get_origin(hint)
    if origin is Literal:
        return value if value in get_args(hint) and isinstance(value, str) else _WRONG
    if origin is tuple:
        return tuple(value) if isinstance(value, list | tuple) else _WRONG
    if origin in (Union, types.UnionType):
        return next(
            (c for c in (_converted(value, h) for h in get_args(hint)) if c is not _WRONG), _WRONG
        )
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if number and math.isfinite(value) else _WRONG
    if hint is int:
        return value if isinstance(value, int) and not isinstance(value, bool) else _WRONG
    if isinstance(hint, type) and hint is not Any:
        return value if isinstance(value, hint) else _WRONG
    return value


def _expected(hint: Any, range_: str) -> str:
    """Describe the values that a field of type `hint` accepts."""
    if get_origin(hint) is Literal:
        return one_of(get_args(hint))
    kind = {float: "a number", int: "an integer", bool: "true or false", str: "a string"}.get(
        hint, ""
    )
    return " ".join(filter(None, [kind, range_])) or str(hint)


def to_plain(settings: Any) -> dict[str, Any]:
    """Return settings as a dict of JSON values: tuples become lists.

    Raises InputError for a value that JSON cannot represent, which a user's settings class may
    have.
    """
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}
    for name, value in plain.items():
        if not _is_plain(value):
            raise InputError(
                name, value, "a JSON value: a number, a string, true, false, a list or a table"
            )
    return plain


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str)


def to_json(settings: Any) -> str:
    """Return settings as a JSON string; floats keep every bit.

    >>> from_json(to_json(Settings(learning_rate=0.1))) == Settings(learning_rate=0.1)
    True
    """
    return json.dumps(to_plain(settings), indent=2)


def from_json(text: str, kind: type[Any] = Settings) -> Any:
    """Return the settings that `to_json` turned into `text`.

    Raises InputError for a field that this version does not know.
    """
    values = json.loads(text)
    known = {item.name for item in fields(kind)}
    if unknown := sorted(set(values) - known):
        raise InputError(
            "settings", unknown, one_of(sorted(known)), problem=f"unknown {', '.join(unknown)}"
        )
    return from_plain(values, kind)


def from_plain(values: Mapping[str, Any], kind: type[Any] = Settings) -> Any:
    """Return the settings that `to_plain` turned into `values`, also in an earlier version."""
    return kind(**(upgraded(values) if kind is Settings else values))


def upgraded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored values of `Settings` as this version would have stored them.

    Before there was `filters`, `hidden` had a value but no effect in convolutional architectures.

    >>> upgraded({"architecture": "lenet", "hidden": [100]})
    {'architecture': 'lenet'}
    """
    has_no_effect = "filters" not in values and values.get("architecture") in FILTERS
    return {k: v for k, v in values.items() if not (has_no_effect and k == "hidden")}
