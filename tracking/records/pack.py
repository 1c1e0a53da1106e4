"""What a pack has of MLflow: the experiment, its runs and models, and their registered versions.

docs/pack.md describes the JSON form. Times are in milliseconds since the Unix epoch.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tracking.records.base import Record


class _Packed(Record):
    """A record in which None is written as null."""

    writes_none: ClassVar[bool] = True


@dataclass(frozen=True)
class PackedFile(_Packed):
    """Length in bytes and SHA-256 of one file of a pack."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class PackedExperiment(_Packed):
    """The experiment of a study."""

    id: str
    name: str
    location: str
    tags: dict[str, str]


@dataclass(frozen=True)
class PackedDataset(_Packed):
    """A dataset that is an input of a run."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None
    profile: str | None
    tags: dict[str, str]


@dataclass(frozen=True)
class PackedRun(_Packed):
    """A run; a point of a metric is its step, its time and its value.

    `outputs` are pairs of the id of a model and the step at which it was logged.
    """

    id: str
    name: str
    status: Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
    started: int | None
    ended: int | None
    location: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, tuple[tuple[float, ...], ...]]
    inputs: tuple[PackedDataset, ...]
    outputs: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class PackedModel(_Packed):
    """A logged model; a metric is its key and its point."""

    id: str
    name: str
    run: str | None
    type: str | None
    status: Literal["UNSPECIFIED", "PENDING", "READY", "FAILED"]
    location: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class PackedVersion(_Packed):
    """A version of a registered model."""

    version: str
    run: str
    model: str | None
    source: str
    description: str | None
    tags: dict[str, str]


@dataclass(frozen=True)
class PackedRegistered(_Packed):
    """A registered model, with the versions that come from the study's runs."""

    name: str
    description: str | None
    tags: dict[str, str]
    aliases: dict[str, int | str]
    versions: tuple[PackedVersion, ...]
