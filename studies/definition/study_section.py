"""The section ``[study]`` of a study file: how to search."""

import re
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from pydantic import Field

from nets.errors import InputError, one_of
from studies.definition import pruners, samplers
from studies.definition.validation import forbid_unknown_keys, validate
from tracking.records import Direction, Values
from tracking.store import names

_METRIC = "val_accuracy"


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Stop the study when its best value has not improved by `min_delta` for `patience` trials."""

    patience: Annotated[int, Field(ge=1)]
    min_delta: Annotated[float, Field(ge=0)] = 0.0


@dataclass(frozen=True, kw_only=True)
class StudySection:
    """The section ``[study]``."""

    name: Annotated[str, Field(pattern=f"^{names.STUDY_NAME}$", max_length=100)]
    trials: Annotated[int, Field(ge=1)] = 20
    window: Annotated[int, Field(ge=1)] = 8
    """Largest number of open trials; the result depends on it, but not on the workers."""
    metric: str = _METRIC
    direction: Direction
    """The default depends on the metric: see `natural_direction`."""
    sampler: Annotated[samplers.Sampler, Field(discriminator="name")] = field(
        default_factory=samplers.TPE
    )
    pruner: Annotated[pruners.Pruner, Field(discriminator="name")] = field(
        default_factory=pruners.Keep
    )
    stop: Stop | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    first: tuple[Values, ...] = ()
    """Parameters of trials 0, 1, ...; a parameter that a table omits is sampled."""
    warm_start: str | None = None
    """Name of a study in the same store whose finished trials the sampler starts with."""
    objective: str = names.OWN_OBJECTIVE
    settings: str | None = None
    """The class of a trial's settings; None for an objective whose parameters are its settings."""
    test: str | None = None
    """``package.module:function`` that `confirm` calls once, with the champion's model."""
    models: Literal["all", "champion"] = "all"
    """Which trainings keep their model: all, or only the champion's."""
    keep_state: bool = False
    """Keep the training state of complete trials: an extension with more epochs continues them."""
    storage: str | None = None
    """URL of Optuna's storage, whose password is not recorded; the default is in the store."""
    memory: str | None = None
    """Resident memory of a trial's worker, such as ``4 GiB``, above which the trial fails."""
    trial_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Seconds after which a trial fails."""
    record_diff: bool = True
    """Keep the uncommitted changes of the code's git checkout with the study."""
    portable: bool = False
    """Pin the BLAS kernel, so that results are equal on machines with different processors."""

    def __post_init__(self) -> None:
        """Check what no single annotation says."""
        if self.memory is not None:
            bytes_of(self.memory)


_UNITS = {
    **{unit: 1000**power for power, unit in enumerate(("kB", "MB", "GB", "TB"), 1)},
    **{unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), 1)},
}


def bytes_of(memory: str) -> int:
    """Return a size with its unit in bytes; raises InputError.

    >>> bytes_of("4 GiB"), bytes_of("1.5GB")
    (4294967296, 1500000000)
    """
    size = re.fullmatch(rf"(\d{{1,6}}(?:\.\d{{1,6}})?) ?({'|'.join(_UNITS)})", memory, re.ASCII)
    if size is None or not float(size[1]):
        raise InputError("memory", memory, f'a size such as "4 GiB", in {one_of(_UNITS)}')
    return int(float(size[1]) * _UNITS[size[2]])


_FALLING = ("loss", "error", "mse", "rmse", "mae", "nll", "perplexity")
_RISING = ("accuracy", "score", "auc", "f1", "r2", "precision", "recall")


def natural_direction(metric: str) -> Direction | None:
    """Return the direction in which a metric improves, by the end of its name; None if unknown.

    >>> [str(natural_direction(metric)) for metric in ("val_loss", "RMSE", "val_auc", "depth")]
    ['minimize', 'minimize', 'maximize', 'None']
    """
    name = metric.lower()
    if name.endswith(_FALLING):
        return Direction.MINIMIZE
    return Direction.MAXIMIZE if name.endswith(_RISING) else None


def read_section(raw: Values, where: str = "study") -> StudySection:
    """Return the section that parsed values describe.

    `where` is the name of the section in errors. Raises InputError for what is wrong with a key.
    """
    if "direction" not in raw:
        metric = str(raw.get("metric", _METRIC))
        direction = natural_direction(metric)
        if direction is None and raw.get("objective", names.OWN_OBJECTIVE) != names.OWN_OBJECTIVE:
            raise InputError(
                f"{where}.direction",
                problem=f"missing, and the name {metric!r} does not imply it",
                expected='"minimize" or "maximize"',
            )
        raw = {**raw, "direction": direction or Direction.MAXIMIZE}
    section: StudySection = validate(StudySection, raw, where, _KNOWN_KEYS)
    return section


def _names(kind: type[Any]) -> list[str]:
    return [item.name for item in fields(kind)]


_NAMED = (*samplers.Sampler.__args__, *pruners.Pruner.__args__)
"""The classes that a table's ``name`` selects."""
_KNOWN_KEYS = {
    "": _names(StudySection),
    "stop": _names(Stop),
    **{kind.__dataclass_fields__["name"].default: _names(kind) for kind in _NAMED},
}
forbid_unknown_keys(StudySection, Stop, *_NAMED)
