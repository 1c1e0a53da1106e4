"""A study file: TOML in, a checked `Study` out.

Whatever is a field of the settings class is fixed by naming it under its section or searched by
naming it under ``[space]``; ``[study]`` says how to search. Everything is checked here, once, and
refused with the key's full name, the value received and what is accepted.
"""

import importlib
import sys
import tomllib
import traceback
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from nets.data import check_name
from nets.errors import InputError
from nets.randomness import derived_seed
from nets.settings import Settings, to_plain
from studies.definition import pruners, samplers
from studies.definition.choices import decoded, encoded
from studies.definition.space import Space, check_first, check_steps, read_space
from studies.definition.study_section import StudySection, natural_direction, read_section
from tracking.provenance import source_code
from tracking.store.plain_values import flat
from tracking.store.store import one_line

SHIPPED = Path(__file__).parents[1]
_OBJECTIVE = "nets.objective:objective"
_METRICS = ("train_loss", "train_accuracy", "learning_rate", "val_loss", "val_accuracy")
"""What our own objective reports; another one may report anything."""


@dataclass(frozen=True)
class Study:
    """A study that can be searched: its section, the settings all trials share, and the space."""

    section: StudySection
    fixed: dict[str, Any]
    space: Space
    definition: dict[str, Any]
    """What is stored and compared: the parsed values with the defaults filled in, as JSON."""

    @property
    def name(self) -> str:
        """The study's name, its key in a store."""
        return self.section.name

    @cached_property
    def settings_class(self) -> type[Any]:
        """The class of a trial's settings."""
        return _load(self.section.settings, "study.settings")  # type: ignore[no-any-return]

    def settings(self, number: int, chosen: Mapping[str, Any]) -> Any:
        """Return the settings of a trial: what is fixed, what was chosen, and its own seed."""
        return self.settings_class(**self.values(number, chosen))

    def values(self, number: int, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the settings of a trial are built from."""
        seed = derived_seed(self.section.seed, number)
        return {**self.fixed, **self.space.settings(chosen), "seed": seed}

    @property
    def epochs(self) -> int:
        """The most epochs a trial can have."""
        searched = {p.name: p for p in self.space.parameters}
        if "epochs" in searched:
            return int(max(searched["epochs"].points or [1]))
        return int(self.fixed["epochs"])

    @property
    def data_names(self) -> list[str]:
        """Names of the datasets that trials use; empty for an objective with data of its own."""
        searched = {p.name: p for p in self.space.parameters}
        if "data" in searched:
            return [str(name) for name in searched["data"].points or []]
        return [self.fixed["data"]] if "data" in self.fixed else []

    @cached_property
    def own_modules(self) -> list[str]:
        """Modules of the user's that decide a result, beside the package nets."""
        return source_code.with_imported(_own_modules(self.section))

    @property
    def most_trials(self) -> int | None:
        """After how many trials the sampler has nothing new, or None."""
        return samplers.most_trials(self.section.sampler, self.space, len(self.section.first))

    def better(self, one: float, other: float) -> bool:
        """Tell whether value `one` is better than `other` in the study's direction."""
        return one > other if self.section.direction == "maximize" else one < other


def find(name: str) -> Path:
    """Return the path of a study file: a path as given, or one that ships by its name."""
    path = Path(name)
    if path.suffix == ".toml" or len(path.parts) > 1:
        if path.is_dir():
            raise InputError(f"study: {name!r} is a folder; accepted is the path of a study file")
        if not path.is_file():
            raise InputError(f"study: got {name!r}, no such file; accepted is the path of one")
        return path
    shipped = {p.stem: p for p in sorted(SHIPPED.glob("*.toml"))}
    if name not in shipped:
        raise InputError(
            f"study: got {name!r}, accepted are {', '.join(shipped)} or the path of a .toml file"
        )
    return shipped[name]


def read(
    path: Path,
    *,
    trials: int | None = None,
    seed: int | None = None,
    portable: bool = False,
    to_search: bool = True,
) -> Study:
    """Return the study of a file, with what the command line says in its place.

    A seed other than the file's makes another study, named ``NAME-seedS``. With `to_search` a
    file that leaves nothing to search is refused.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from error
    study = tables.setdefault("study", {})
    if not isinstance(study, dict):
        raise InputError(f"study: got {study!r}, accepted is a section [study]")
    study.setdefault("name", path.stem)
    # As it stands: what the command line replaces must be right too.
    _import_from(_section(study), path.parent, Path.cwd())
    if seed is not None and seed != study.get("seed", 0):
        study["name"] = f"{study['name']}-seed{seed}"
        study["seed"] = seed
    if trials is not None:
        study["trials"] = trials
    if portable:
        study["portable"] = True
    built = build(tables)
    if to_search and not built.space.parameters:
        raise InputError(
            "space: got nothing to search, all trials would have the same settings; accepted is a "
            "section [space] with at least one setting, or `retrial train` for one training"
        )
    return built


def build(tables: Mapping[str, Any]) -> Study:
    """Return the study that parsed tables describe; the inverse of `Study.definition`."""
    section = _section(tables.get("study", {}))
    settings = _settings_class(section)
    by_section = _keys_by_section(settings)
    for name, table in tables.items():
        if name not in {"study", "space"} | set(by_section):
            accepted = ["study", *by_section, "space"]
            raise InputError(f"{name}: unknown section; accepted are {', '.join(accepted)}")
        if not isinstance(table, dict):
            raise InputError(f"{name}: got {table!r}, accepted is a section [{name}]")
    space = read_space(tables.get("space", {}), settings)
    check_steps(tables.get("space", {}))
    fixed = _fixed(tables, by_section, settings, space, section)
    section = replace(
        section,
        first=tuple(
            check_first(values, space, f"study.first[{i}]")
            for i, values in enumerate(section.first)
        ),
    )
    study = Study(section, fixed, space, _definition(section, fixed, tables.get("space", {})))
    _check_together(study)
    _check_used(study)
    return study


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Say key by key how two definitions differ, leaving out what may differ (trials)."""
    one, other = flat(stored), flat(given)
    return [
        f"{key}: stored {one.get(key, 'nothing')!r}, given {other.get(key, 'nothing')!r}"
        for key in sorted(one.keys() | other.keys())
        if key != "study.trials" and one.get(key) != other.get(key)
    ]


def _own_modules(section: StudySection) -> list[str]:
    """Return the modules of the user's that a section names."""
    modules = {path.partition(":")[0] for path in (section.objective, section.settings)}
    return sorted(m for m in modules if m.split(".")[0] != "nets")


def _import_from(section: StudySection, *folders: Path) -> None:
    """Put folders first on `sys.path`, which workers copy, for a study with modules of its own.

    Once these are loaded it stays as it is: a study read from its file and then from the store
    must not have its workers import from another folder than its driver has.
    """
    if any(module not in sys.modules for module in _own_modules(section)):
        first = list(dict.fromkeys(str(folder.absolute()) for folder in folders))
        sys.path[:] = [*first, *(place for place in sys.path if place not in first)]


class ModuleMissing(InputError):
    """A module of the user's that cannot be imported here."""


def _load(path: str, key: str) -> Any:
    """Return what ``package.module:name`` names; raises ModuleMissing where there is none."""
    module, _, name = path.partition(":")
    if not (module and name):
        raise InputError(f"{key}: got {path!r}, accepted is package.module:name")
    try:
        loaded = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever a module of the user's does
        raise ModuleMissing(
            f"{key}: got {path!r}, which cannot be imported: {_why_not_imported(error)}\n"
            "accepted is a module beside the study file, in the current folder, or installed"
        ) from error
    if not hasattr(loaded, name):
        raise InputError(f"{key}: got {path!r}, but {module} has no {name}")
    return getattr(loaded, name)


def _why_not_imported(error: BaseException) -> str:
    """Return what kept a module from being imported, and where that is not told, in which line."""
    if isinstance(error, ImportError | SyntaxError):
        return one_line(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {place.filename}, line {place.lineno}: {one_line(error)}"


def _section(raw: Mapping[str, Any]) -> StudySection:
    """Return the section ``[study]``, or say where a key of another section belongs."""
    known = {item.name for item in fields(StudySection)}
    for key in raw:
        if key not in known and "settings" not in raw:
            _refuse_unknown("study", key, _keys_by_section(Settings))
    return read_section(dict(raw))


def _refuse_unknown(name: str, key: str, by_section: Mapping[str, Mapping[str, str]]) -> None:
    """Raise InputError for a key that its section does not know, naming those that do."""
    keys = {"study": [item.name for item in fields(StudySection)], **by_section}
    owners = [f"[{section}]" for section, known in keys.items() if key in known]
    if owners:
        raise InputError(f"{name}.{key}: unknown; {key} stands under {' or '.join(owners)}")
    raise InputError(f"{name}.{key}: unknown; accepted are {', '.join(keys[name])}")


def _settings_class(section: StudySection) -> type[Any]:
    """Return the settings class, checked for what the search needs of it."""
    kind = _load(section.settings, "study.settings")
    names = {item.name for item in fields(kind)} if is_dataclass(kind) else set()
    if not {"seed", "epochs"} <= names or not isinstance(kind, type):
        raise InputError(
            f"study.settings: got {section.settings}, accepted is a dataclass with at least the "
            "fields seed and epochs"
        )
    if not callable(_load(section.objective, "study.objective")):
        raise InputError(f"study.objective: got {section.objective}, accepted is a function")
    return kind


def _keys_by_section(settings: type[Any]) -> dict[str, dict[str, str]]:
    """Return, for each section of settings, the field of each key."""
    sections: dict[str, dict[str, str]] = {}
    for item in fields(settings):
        if item.name != "seed":
            keys = sections.setdefault(item.metadata.get("section", "settings"), {})
            keys[item.metadata.get("key", item.name)] = item.name
    return sections


def _full_names(by_section: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the full name of each field's key, such as ``training.epochs``."""
    return {
        field: f"{name}.{key}" for name, keys in by_section.items() for key, field in keys.items()
    }


def _fixed(
    tables: Mapping[str, Any],
    by_section: Mapping[str, Mapping[str, str]],
    settings: type[Any],
    space: Space,
    section: StudySection,
) -> dict[str, Any]:
    """Return the fields all trials share, and check the ends of the space with them."""
    known = {item.name: item for item in fields(settings)}
    fixed = {
        name: item.default
        for name, item in known.items()
        if item.default is not MISSING and name != "seed"
    }
    if "split_seed" in known:
        fixed["split_seed"] = section.seed
    searched = {parameter.name for parameter in space.parameters}
    for name, keys in by_section.items():
        for key, value in tables.get(name, {}).items():
            if key not in keys:
                _refuse_unknown(name, key, by_section)
            if keys[key] in searched:
                raise InputError(
                    f"{name}.{key}: got {value!r}, but space.{keys[key]} searches it; "
                    "accepted is one of the two"
                )
            fixed[keys[key]] = value
    where = _full_names(by_section)
    missing = [name for name in known if name not in fixed and name not in searched | {"seed"}]
    if missing:
        raise InputError(f"{where[missing[0]]}: missing; accepted is a value or a range in [space]")
    _check_ends(fixed, space, settings, where)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fixed.items()
        if name not in searched
    }


def _check_ends(
    fixed: Mapping[str, Any], space: Space, settings: type[Any], where: Mapping[str, str]
) -> None:
    """Build settings with what is fixed, and with each end of the space: their own checks speak."""
    middle = {p.name: _ends(p)[0] for p in space.parameters}
    try:
        to_plain(settings(**{**fixed, **space.settings(middle), "seed": 0}))
    except InputError as error:
        name, _, rest = str(error).partition(":")
        place = f"space.{name}" if name in middle else where.get(name, name)
        raise InputError(f"{place}:{rest}") from None
    for parameter in space.parameters:
        for value in _ends(parameter):
            try:
                settings(
                    **{**fixed, **space.settings({**middle, parameter.name: value}), "seed": 0}
                )
            except InputError as error:
                raise InputError(f"space.{error}") from None


def _ends(parameter: Any) -> list[Any]:
    """Return the values of a parameter that are checked: all choices, or both ends."""
    distribution = parameter.distribution
    choices = getattr(distribution, "choices", None)
    return list(choices) if choices is not None else [distribution.low, distribution.high]


def _definition(
    section: StudySection, fixed: Mapping[str, Any], space: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the definition: a study file whose defaults are filled in, as plain JSON values."""
    study = {k: v for k, v in asdict(section).items() if v is not None}
    study["first"] = [dict(values) for values in section.first]
    return {"study": study, "fixed": dict(fixed), "space": {k: dict(v) for k, v in space.items()}}


def stored(definition: Mapping[str, Any]) -> Study:
    """Return the study that a stored definition describes.

    Nothing here knows where its file was: modules of the user's own are imported from the current
    folder, or from where Python finds them.
    """
    section = read_section({**definition["study"]})
    _import_from(section, Path.cwd())
    settings = _load(section.settings, "study.settings")
    space = read_space(definition["space"], settings)
    first = tuple({k: encoded(v) for k, v in values.items()} for values in section.first)
    return Study(replace(section, first=first), dict(definition["fixed"]), space, dict(definition))


def _check_together(study: Study) -> None:
    """Check what no single key shows."""
    section = study.section
    samplers.check(section.sampler, study.space)
    if section.sampler.name == "grid":
        for i, values in enumerate(section.first):
            if missing := sorted({p.name for p in study.space.parameters} - values.keys()):
                raise InputError(
                    f"study.first[{i}].{missing[0]}: missing; with the grid sampler accepted are "
                    "first trials that name every parameter"
                )
    try:
        pruners.build(section.pruner, study.epochs)
    except ValueError as error:
        raise InputError(f"study.pruner: {error}") from error
    key, least = pruners.min_resource(section.pruner) or ("", 0)
    if least > study.epochs:
        epochs = _full_names(_keys_by_section(study.settings_class))["epochs"]
        raise InputError(
            f"study.pruner.{key}: got {least} with {epochs} = {study.epochs}, no trial would ever "
            f"be pruned; accepted is at most {study.epochs}"
        )
    for name in study.data_names:
        check_name(name)
    if section.objective == _OBJECTIVE and section.metric not in _METRICS:
        raise InputError(
            f"study.metric: got {section.metric!r}, accepted are {', '.join(_METRICS)}"
        )
    natural = natural_direction(section.metric)
    if section.objective == _OBJECTIVE and section.direction != natural:
        raise InputError(
            f"study.direction: got {section.direction!r} with study.metric = {section.metric!r}, "
            f"accepted is {natural!r}, which is also what it is when left out"
        )
    if section.metric.startswith("val_") and study.fixed.get("validation") == 0:
        raise InputError(
            f"study.metric: got {section.metric!r} with data.validation = 0, accepted is a "
            "validation of at least 1"
        )


def _check_used(study: Study) -> None:
    """Refuse to search what has no effect: the sampler would learn from differences of luck."""
    where = _full_names(_keys_by_section(study.settings_class))
    searched = {parameter.name: parameter for parameter in study.space.parameters}
    for item in fields(study.settings_class):
        if item.name not in searched:
            continue
        when = searched[item.name].when
        for other, values in item.metadata.get("only_with", {}).items():
            if when is not None and when.parameter == other:
                possible = [decoded(value) for value in when.values]
                place = f"space.{item.name}.when.{other}"
            elif other in searched:
                possible = [decoded(value) for value in searched[other].points or []]
                place = f"space.{other}"
            else:
                possible, place = [study.fixed[other]], where[other]
            if not set(possible) & set(values):
                raise InputError(
                    f"space.{item.name}: got a range for it, but {place} is "
                    f"{', '.join(map(repr, possible))}, which has no {item.name}; accepted beside "
                    f"it is {other} {' or '.join(map(repr, values))}"
                )
