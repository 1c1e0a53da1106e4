"""MLflow's part of a pack as typed values, checked as a whole before anything is written."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tracking.maintenance.pack.archive import MODEL_ID, RUN_ID
from tracking.maintenance.pack.export import (
    ARTIFACTS,
    EXPERIMENT_FILE,
    MODELS_FILE,
    REGISTRY_FILE,
    RUNS_FILE,
)
from tracking.records import Record, RecordDamaged, parsed
from tracking.records.pack import PackedExperiment, PackedModel, PackedRegistered, PackedRun
from tracking.store import names

_Kind = TypeVar("_Kind", bound=Record)

UNPACKING_TAG = "retrial.unpacking"
"""Tag of the experiment until the ledger has the study; it remains after an interruption."""

_LONGEST_VALUE = 1 << 20
"""Characters of a tag, a parameter or a description; MLflow allows fewer."""
_LOCATION = r"(?=.{5,1000}$)(/|[A-Za-z][\w+.-]*:/).+"
"""An artifact location: a path, or a URL. Short ones would occur anywhere in a translated text."""


@dataclass(frozen=True)
class Contents:
    """What a pack has of MLflow, extracted into a folder."""

    folder: Path
    experiment: PackedExperiment
    runs: tuple[PackedRun, ...]
    models: tuple[PackedModel, ...]
    registered: tuple[PackedRegistered, ...]

    def files(self, identity: str) -> Path | None:
        """Return the folder of the artifacts of a run or model; None if it has none."""
        folder = self.folder / ARTIFACTS / identity
        return folder if folder.is_dir() else None


def read(folder: Path, study: str) -> Contents | None:
    """Return the contents of an extracted pack of a study; None if it has nothing of MLflow.

    Raises RecordDamaged for a value that MLflow could not have, and for an id, a name or a location
    that leads out of the study.
    """
    if not any((folder / name).is_file() for name in (EXPERIMENT_FILE, RUNS_FILE, MODELS_FILE)):
        return None
    contents = Contents(
        folder,
        PackedExperiment.from_json(_value(folder, EXPERIMENT_FILE)),
        _records(folder, RUNS_FILE, PackedRun),
        _records(folder, MODELS_FILE, PackedModel),
        _records(folder, REGISTRY_FILE, PackedRegistered),
    )
    _check_experiment(contents.experiment, study)
    runs, models = _Ids("run", RUN_ID), _Ids("model", MODEL_ID)
    for run in contents.runs:
        runs.add(run.id)
    for model in contents.models:
        models.add(model.id)
    for run in contents.runs:
        _check_run(run, models)
    for model in contents.models:
        _check_model(model, runs)
    for registered in contents.registered:
        _check_registered(registered, contents, models, runs)
    if (folder / ARTIFACTS).is_dir():
        for path in (folder / ARTIFACTS).iterdir():
            _require(path.name in runs or path.name in models, "artifacts", path.name, "a known id")
    return contents


def _value(folder: Path, name: str) -> Any:
    try:
        text = (folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordDamaged(name, problem="is missing or no text") from error
    value = parsed(text, name)
    _check_texts(value, name)
    return value


def _records(folder: Path, name: str, kind: type[_Kind]) -> tuple[_Kind, ...]:
    values = _value(folder, name)
    _require(isinstance(values, list), name, values, "a list")
    return tuple(map(kind.from_json, values))


def _check_texts(value: Any, place: str) -> None:
    """Check that every string is one that UTF-8 and a database can hold, and not too long."""
    open_values = [value]
    while open_values:
        match open_values.pop():
            case str() as text:
                _require(names.plain(text) == text, place, text, "a string without NUL")
                _require(len(text) <= _LONGEST_VALUE, place, text, "a shorter string")
            case list() as items:
                open_values += items
            case dict() as items:
                open_values += [*items, *items.values()]


class _Ids(set[str]):
    """The ids of the runs or models of a pack."""

    def __init__(self, kind: str, form: str) -> None:
        super().__init__()
        self._kind, self._form = kind, form

    def add(self, identity: str) -> None:
        """Add an id; raises RecordDamaged for one of another form, or one that is there."""
        _require(
            re.fullmatch(self._form, identity), f"{self._kind}.id", identity, "an id of MLflow"
        )
        _require(identity not in self, f"{self._kind}.id", identity, "an id that occurs once")
        super().add(identity)

    def check(self, identity: Any, place: str) -> None:
        """Raise RecordDamaged for what is none of these ids."""
        is_known = isinstance(identity, str) and identity in self
        _require(is_known, place, identity, f"the id of a {self._kind} of the pack")


def _check_experiment(experiment: PackedExperiment, study: str) -> None:
    _require(experiment.name == study, "experiment.name", experiment.name, repr(study))
    _require(
        re.fullmatch(r"[0-9]{1,36}", experiment.id), "experiment.id", experiment.id, "a number"
    )
    _check_location("experiment.location", experiment.location)
    _check_keys("experiment.tags", experiment.tags)
    _require(UNPACKING_TAG not in experiment.tags, "experiment.tags", UNPACKING_TAG, "other tags")


def _check_run(run: PackedRun, models: _Ids) -> None:
    _check_name("run.name", run.name)
    _check_location("run.location", run.location)
    _check_times("run.times", (run.started, run.ended))
    for kind, values in (("tags", run.tags), ("params", run.params), ("metrics", run.metrics)):
        _check_keys(f"run.{kind}", values)
    for key, points in run.metrics.items():
        for point in points:
            _check_point("run.metrics", key, point)
    for dataset in run.inputs:
        _check_name("run.inputs", dataset.name)
        _check_keys("run.inputs", dataset.tags)
        _require(len(dataset.digest) <= 36, "run.inputs", dataset.digest, "a short digest")
    for output in run.outputs:
        _require(len(output) == 2, "run.outputs", output, "a model and a step")
        models.check(output[0], "run.outputs")
        _check_step("run.outputs", output[1])


def _check_model(model: PackedModel, runs: _Ids) -> None:
    _check_name("model.name", model.name)
    _require(not set(model.name) & set("/:.%\"'"), "model.name", model.name, "a name of MLflow")
    _check_location("model.location", model.location)
    if model.run is not None:
        runs.check(model.run, "model.run")
    _check_keys("model.tags", model.tags)
    _check_keys("model.params", model.params)
    for metric in model.metrics:
        _require(len(metric) == 4, "model.metrics", metric, "key, step, time and value")
        _check_keys("model.metrics", [metric[0]])
        _check_point("model.metrics", metric[0], metric[1:])


def _check_registered(
    registered: PackedRegistered, contents: Contents, models: _Ids, runs: _Ids
) -> None:
    _check_name("registered.name", registered.name)
    is_name = not set(registered.name) & set("/:\\") and registered.name not in (".", "..")
    _require(is_name, "registered.name", registered.name, "a name of MLflow")
    _check_keys("registered.tags", registered.tags)
    for alias in registered.aliases:
        form = r"(?!v[0-9]+$)[\w-]{1,255}"
        _require(re.fullmatch(form, alias), "registered.aliases", alias, "an alias of MLflow")
    places = {f"models:/{model.id}" for model in contents.models}
    places |= {f"runs:/{run.id}" for run in contents.runs}
    places |= {model.location for model in contents.models}
    places |= {run.location for run in contents.runs}
    for version in registered.versions:
        _require(version.version.isdecimal(), "version.version", version.version, "a number")
        runs.check(version.run, "version.run")
        if version.model is not None:
            models.check(version.model, "version.model")
        _check_keys("version.tags", version.tags)
        # MLflow loads a version from its source.
        is_inside = any(f"{version.source}/".startswith(f"{place}/") for place in places)
        is_inside = is_inside and ".." not in version.source.split("/")
        _require(is_inside, "version.source", version.source, "a model or run of the pack")


def _check_name(place: str, name: str) -> None:
    _require(0 < len(name) <= 250 and name.isprintable(), place, name, "a printable name")


def _check_location(place: str, location: str) -> None:
    _require(
        re.fullmatch(_LOCATION, location) and location.isprintable(), place, location, "a location"
    )


def _check_keys(place: str, keys: Iterable[Any]) -> None:
    for key in keys:
        _require(isinstance(key, str) and names.key(key) == key, place, key, "a name of MLflow")


def _check_times(place: str, times: Iterable[Any]) -> None:
    for time in times:
        _require(time is None or (type(time) is int and time >= 0), place, time, "a time")


def _check_step(place: str, step: Any) -> None:
    _require(type(step) is int and abs(step) < 1 << 63, place, step, "an integer")


def _check_point(place: str, key: str, point: tuple[Any, ...]) -> None:
    _require(len(point) == 3, place, point, f"step, time and value of {key}")
    step, at, value = point
    _check_step(place, step)
    _check_step(place, at)
    _check_times(place, [at])
    is_number = type(value) is float or (type(value) is int and abs(value) < 1 << 63)
    _require(is_number, place, value, "a number")


def _require(condition: object, place: str, received: Any, expected: str) -> None:
    if not condition:
        raise RecordDamaged(place, expected=expected, problem=f"got {received!r:.100}")
