"""Where a study in Python comes from: arguments, a study file, or a store.

Each source has the study's name, the tables of a study file that says the same, and the checked
definition.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from nets.errors import InputError
from studies.interface.modules import identified
from studies.interface.spaces import Choice, Float, Integer, Parameter, plain
from tracking.records import Values
from tracking.store import names

if TYPE_CHECKING:
    from studies.definition.study import Study as Definition

Function = Callable[..., Any]


class Source(Protocol):
    """Where a study comes from."""

    @property
    def name(self) -> str:
        """The study's name."""

    def tables(self) -> Values:
        """Return the study as the tables of a study file."""

    def definition(self, trials: int | None = None) -> "Definition":
        """Return the checked definition, with another number of trials if that is given."""


@dataclass(frozen=True)
class Tables:
    """A study file that has been read."""

    content: Values

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.content["study"]["name"])

    def tables(self) -> Values:
        """Return the tables."""
        return self.content

    def definition(self, trials: int | None = None) -> "Definition":
        """Return the checked definition."""
        from studies.definition import study_file

        return study_file.built_with(self.content, trials=trials, to_search=False)


@dataclass(frozen=True)
class Stored:
    """A study of a store, whose modules are needed only to train and to write its tables."""

    content: Values

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.content["study"]["name"])

    def tables(self) -> Values:
        """Return the tables that the definition was made from, and the defaults."""
        study = {name: value for name, value in self.content["study"].items() if value != []}
        kind = self.definition().settings_class
        # TOML has no None, and a setting that is left out has its default.
        absent = {item.name for item in fields(kind) if item.default is None}
        given = self.content["fixed"].items()
        fixed = {name: value for name, value in given if value is not None or name not in absent}
        return {"study": study, **_sections(fixed, kind), **self._space}

    @property
    def _space(self) -> Values:
        return {"space": self.content["space"]} if self.content["space"] else {}

    def definition(self, trials: int | None = None) -> "Definition":
        """Return the definition, even if it would no longer be accepted."""
        from studies.definition import study_file

        section = self.content["study"]
        section = {**section, "trials": trials or section["trials"]}
        return study_file.stored({**self.content, "study": section})


@dataclass(frozen=True)
class Arguments:
    """The arguments of `studies.Study`; `section` are those of ``[study]``, without defaults."""

    objective: Function | str | None
    settings: type[Any] | str | None
    space: Mapping[str, Parameter]
    fixed: Mapping[str, Any]
    section: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The given name, or that of the objective's module."""
        if (name := self.section.get("name")) is not None:
            return str(name)
        path = self._paths.get("objective", names.OWN_OBJECTIVE)
        if path == names.OWN_OBJECTIVE:
            raise InputError("name", problem="missing", expected="a name for the study")
        return path.partition(":")[0].rpartition(".")[2]

    @cached_property
    def _paths(self) -> dict[str, str]:
        """The names by which workers import the functions and the class of the arguments.

        They stay as they are when a notebook changes what it has.
        """
        return self._identified()

    def _identified(self) -> dict[str, str]:
        given = {
            "objective": self.objective, "settings": self.settings, "test": self.section.get("test")
        }  # fmt: skip
        return {
            key: value if isinstance(value, str) else identified(value, key)
            for key, value in given.items()
            if value is not None
        }

    def tables(self) -> Values:
        """Return the tables of a study file with these arguments."""
        section: Values = {"name": self.name, **self._paths}
        for key, value in self.section.items():
            section.setdefault(key, _plain(key, value))
        space = {name: _entry(name, entry) for name, entry in self.space.items()}
        fixed = {name: plain(value) for name, value in self.fixed.items()}
        found = {"study": section, **_sections(fixed, self._settings_class(section))}
        return {**found, "space": space} if space else found

    def _settings_class(self, section: Values) -> type[Any] | None:
        """Return the class whose sections the fixed settings have; None for an objective without.

        Its own parameters are then its settings.
        """
        from studies.definition.user_modules import load

        if "settings" not in section:
            objective = section.get("objective", names.OWN_OBJECTIVE)
            function = load(objective, "study.objective")
            arguments = inspect.signature(function).parameters if callable(function) else ()
            if not {"settings", "report"} <= set(arguments):
                return None
        path = section.get("settings", names.OWN_SETTINGS)
        return load(path, "study.settings")  # type: ignore[no-any-return]

    def definition(self, trials: int | None = None) -> "Definition":
        """Return the checked definition."""
        for key, path in self._identified().items():
            if path != self._paths[key]:
                raise InputError(
                    key,
                    problem="the notebook has changed what it depends on",
                    hint="run the cell that defines the study again",
                )
        from studies.definition import study_file

        found = study_file.built_with(self.tables(), trials=trials, to_search=False)
        for name, entry in self.space.items():
            is_float = type(found.space.by_name[name].distribution).__name__ == "FloatDistribution"
            if isinstance(entry, Integer) and is_float:
                raise InputError(f"space.{name}", entry, "a Float, because the setting is a number")
        return found


def _plain(key: str, value: Any) -> Any:
    """Return an argument as the value of a study file."""
    if key in ("sampler", "pruner") and isinstance(value, str):
        return {"name": value}
    if is_dataclass(value) and not isinstance(value, type):
        return _without_none(asdict(value))
    return plain(value)


def _without_none(table: Values) -> Values:
    return {
        key: _without_none(value) if isinstance(value, dict) else plain(value)
        for key, value in table.items()
        if value is not None
    }


def _entry(name: str, entry: Any) -> Values:
    if not isinstance(entry, Float | Integer | Choice):
        raise InputError(f"space.{name}", entry, "a studies.Float, Integer or Choice")
    return entry.table()


def _sections(fixed: Mapping[str, Any], kind: type[Any] | None) -> Values:
    """Return fixed settings in the sections that a settings class defines."""
    from studies.definition.sections import sections_of

    if kind is None:
        return {"settings": dict(fixed)} if fixed else {}
    sections = sections_of(kind)
    found: dict[str, Values] = {}
    for section, keys in sections.items():
        for key, field in keys.items():
            if field in fixed:
                found.setdefault(section, {})[key] = fixed[field]
    known = {field for keys in sections.values() for field in keys.values()}
    for name in fixed:
        if name not in known:
            from studies.definition.validation import unknown

            raise unknown(f"fixed.{name}", "setting", sorted(known))
    return found
