"""A study file: TOML in, a checked `Study` out.

A field of the settings class is fixed by naming it under its section, or searched by naming it
under ``[space]``; ``[study]`` says how to search. Everything is checked here, once. An error has
the key's full name, the value received and what is expected.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any

from nets.errors import InputError, ModuleMissing, did_you_mean, one_of
from nets.settings import HIDDEN, Settings, upgraded
from studies.definition.checks import check_settings, check_study
from studies.definition.choices import encoded
from studies.definition.sections import Sections, full_names, sections_of, unknown_key
from studies.definition.space import Space
from studies.definition.space_section import check_first, read_space, types_in, types_of
from studies.definition.study import Study
from studies.definition.study_section import StudySection, read_section
from studies.definition.user_modules import import_from, load, settings_class, user_modules
from studies.definition.validation import unknown
from studies.objective.signature import is_full, is_required
from tracking.records import Values
from tracking.store import names
from tracking.store.plain_values import flat
from tracking.store.store import without_secrets

__all__ = ["Study", "build", "definition", "differences", "find", "read", "stored"]

SHIPPED = Path(__file__).parents[1]


def find(name: str) -> Path:
    """Return the path of a study file: the given path, or a bundled study by its name."""
    path = Path(name)
    if path.suffix == ".toml" or len(path.parts) > 1:
        if path.is_dir():
            raise InputError(
                "study", problem=f"{name!r} is a folder", expected="the path of a study file"
            )
        if not path.is_file():
            raise InputError("study", problem=f"no such file: {name!r}")
        return path
    shipped = {p.stem: p for p in sorted(SHIPPED.glob("*.toml"))}
    if name not in shipped:
        raise InputError(
            "study",
            problem=f"no bundled study {name!r}",
            expected=one_of([*shipped, "the path of a .toml file"]),
            hint=did_you_mean(name, shipped),
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
    """Return the study of a file, with the values that the command line replaces.

    A seed other than the file's makes another study, named ``NAME-seedS``. With `to_search` a
    file with nothing to search is rejected.
    """
    return built_with(
        read_tables(path), trials=trials, seed=seed, portable=portable, to_search=to_search
    )


def read_tables(path: Path) -> Values:
    """Return the tables of a file, with the study's name; its modules can be imported after that.

    Raises InputError for a file that is not TOML, and for an invalid section ``[study]``.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(str(path), problem=f"not TOML: {error}") from error
    study = tables.setdefault("study", {})
    if not isinstance(study, dict):
        raise InputError("study", study, "a section [study]")
    study.setdefault("name", path.stem)
    # Unchanged: a value that the command line replaces must be valid too.
    import_from(_section(study), path.parent, Path.cwd())
    return tables


def built_with(
    tables: Values,
    *,
    trials: int | None = None,
    seed: int | None = None,
    portable: bool = False,
    to_search: bool = True,
) -> Study:
    """Return the study that parsed tables describe, with some values replaced; see `read`."""
    study = {**tables["study"]}
    if seed is not None and seed != study.get("seed", 0):
        study["name"] = f"{study['name']}-seed{seed}"
        study["seed"] = seed
    if trials is not None:
        study["trials"] = trials
    if portable:
        study["portable"] = True
    built = build({**tables, "study": study})
    if to_search:
        check_searchable(built)
    return built


def check_searchable(study: Study) -> None:
    """Raise InputError for a study with nothing to search."""
    if not study.space.parameters:
        raise InputError(
            "space",
            problem="nothing to search",
            expected="a section [space] with at least one setting",
            hint="for one training use `retrial train`",
        )


def build(tables: Values) -> Study:
    """Return the study that parsed tables describe; raises InputError."""
    section = _section(tables.get("study", {}))
    section = _with_form(section)
    settings = settings_class(section)
    sections = sections_of(settings)
    for name, table in tables.items():
        known = ["study", *sections, "space"]
        if name not in known:
            raise unknown(name, "section", known)
        if not isinstance(table, dict):
            raise InputError(name, table, f"a section [{name}]")
    space = read_space(tables.get("space", {}), types_of(settings))
    fixed = _fixed(tables, sections, settings, space, section)
    section = replace(
        section,
        first=tuple(
            check_first(values, space, f"study.first[{i}]")
            for i, values in enumerate(section.first)
        ),
    )
    study = Study(section, fixed, space, definition(section, fixed, tables.get("space", {})))
    check_study(study)
    return study


def stored(definition: Values, trials: Sequence[Values] | None = None) -> Study:
    """Return the study that a stored definition describes, even if it is no longer accepted.

    A definition does not contain the folder of its file: the user's modules are imported from the
    current folder, or from where Python finds them. To read a study, they are not needed: with
    `trials`, the parameters of its trials, none is imported.

    Raises InputError for a definition that no study file has.
    """
    for name in ("study", "fixed", "space"):
        if not isinstance(table := definition.get(name), dict):
            raise InputError(
                f"definition.{name}", problem=f"got {table!r:.100}", expected="a table"
            )
    section = read_section({**definition["study"]})
    tables = definition["space"]
    if trials is None or not user_modules(section):
        import_from(section, Path.cwd())
        try:
            types = types_of(settings_class(section))
        except ModuleMissing as error:
            hint = f"{error.hint}; `retrial reproduce` can train without it, with --recorded-code"
            raise ModuleMissing(error.key, problem=error.problem, hint=hint) from error
    else:
        types = types_in(tables, trials)
    space = read_space(tables, types, whole_steps=False)
    first = tuple({k: encoded(v) for k, v in values.items()} for values in section.first)
    return Study(replace(section, first=first), dict(definition["fixed"]), space, dict(definition))


_MAY_CHANGE = {
    f"study.{key}"
    for key in ("trials", "storage", "record_diff", "keep_state", "memory", "trial_seconds")
}
"""Keys that may change when a study is continued; which limit a trial exceeded is in its record."""


def differences(stored: Values, given: Values) -> list[str]:
    """Return how two definitions differ, one line per key, in what decides the trials."""
    one, other = flat(comparable(stored)), flat(comparable(given))
    return [
        f"{key}: stored {one.get(key, 'nothing')!r}, given {other.get(key, 'nothing')!r}"
        for key in sorted(one.keys() | other.keys())
        if key not in _MAY_CHANGE and one.get(key) != other.get(key)
    ]


def comparable(definition: Values) -> Values:
    """Return a definition with the settings that earlier versions stored in another way."""
    fixed = definition["fixed"]
    if definition["study"].get("settings") == names.OWN_SETTINGS:
        fixed = dict(fixed) if "filters" in definition["space"] else upgraded(fixed)
        if fixed.get("architecture") == "mlp" and fixed.get("hidden") is None:
            fixed["hidden"] = list(HIDDEN["mlp"])
    return {**definition, "fixed": fixed}


def _section(raw: Values) -> StudySection:
    """Return the section ``[study]``; for a key of another section the error names that one."""
    known = {item.name for item in fields(StudySection)}
    for key in raw:
        if key not in known and not {"settings", "objective"} & raw.keys():
            raise unknown_key("study", key, sections_of(Settings))
    return read_section(dict(raw))


def _with_form(section: StudySection) -> StudySection:
    """Return a section that names the settings class, unless its objective has the simple form."""
    if section.settings is not None:
        return section
    objective = load(section.objective, "study.objective")
    if callable(objective) and is_full(objective):
        return replace(section, settings=names.OWN_SETTINGS)
    return section


def _fixed(
    tables: Values,
    sections: Sections,
    settings: type[Any],
    space: Space,
    section: StudySection,
) -> Values:
    """Return the fields that all trials share, after a check together with the space."""
    known = {item.name: item for item in fields(settings)}
    fixed = {
        name: item.default
        for name, item in known.items()
        if item.default is not MISSING and name != "seed" and not is_required(item)
    }
    if "split_seed" in known:
        fixed["split_seed"] = section.seed
    searched = space.by_name
    for name, keys in sections.items():
        for key, value in tables.get(name, {}).items():
            if key not in keys:
                raise unknown_key(name, key, sections)
            if keys[key] in searched:
                raise InputError(
                    f"{name}.{key}",
                    problem=f"got {value!r}, but space.{keys[key]} searches it",
                    hint="remove one of the two",
                )
            fixed[keys[key]] = value
    where = full_names(sections)
    missing = [name for name in known if name not in {"seed", *fixed, *searched}]
    if missing:
        raise InputError(
            where[missing[0]], problem="missing", expected="a value, or a range in [space]"
        )
    check_settings(fixed, space, settings, where)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fixed.items()
        if name not in searched
    }


def definition(section: StudySection, fixed: Values, space: Values) -> Values:
    """Return the definition: the study file and the defaults, as JSON values.

    It is stored and packed, so it does not contain the password of a storage.
    """
    study = {k: v for k, v in asdict(section).items() if v is not None}
    study |= {"direction": str(section.direction), "first": [dict(v) for v in section.first]}
    if section.storage is not None:
        study["storage"] = without_secrets(section.storage)
    for key in ("record_diff", "models", "keep_state"):  # older definitions do not have them
        if getattr(section, key) == StudySection.__dataclass_fields__[key].default:
            del study[key]
    return {"study": study, "fixed": dict(fixed), "space": {k: dict(v) for k, v in space.items()}}
