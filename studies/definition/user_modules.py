"""Find and import the modules that a study names: its objective and its settings class."""

import inspect
import sys
import traceback
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from nets.errors import InputError, ModuleMissing
from studies.definition import importing
from studies.definition.study_section import StudySection
from studies.objective import signature
from tracking.provenance.source_code import NOTEBOOKS
from tracking.store.store import one_line


def user_modules(section: StudySection) -> list[str]:
    """Return the user's modules that a section names; those of nets are not among them."""
    paths = filter(None, (section.objective, section.settings, section.test))
    modules = {path.partition(":")[0] for path in paths}
    return sorted(m for m in modules if m.split(".")[0] != "nets")


def import_from(section: StudySection, *folders: Path) -> None:
    """Put folders first on `sys.path`, which workers copy, for a study that has its own modules.

    Once these are loaded, the path does not change: a study that is read from its file and then
    from the store must not have its workers import from a different folder than its driver.
    """
    if any(module not in sys.modules for module in user_modules(section)):
        places = [place for folder in folders for place in (folder, folder / NOTEBOOKS)]
        first = list(dict.fromkeys(str(place.absolute()) for place in places if place.is_dir()))
        sys.path[:] = [*first, *(place for place in sys.path if place not in first)]


def load(path: str, key: str) -> Any:
    """Return the object that ``package.module:name`` names.

    Raises ModuleMissing for a module that cannot be imported, and InputError for a name that it
    does not have. `key` is the key of the study file that names it.
    """
    module, _, name = path.partition(":")
    if not (module and name):
        raise InputError(key, path, "package.module:name")
    try:
        importing.module(module)
    except (Exception, SystemExit) as error:  # whatever a user's module does
        raise ModuleMissing(
            key,
            problem=f"cannot import {path!r}: {_reason(error)}",
            hint=f"put {_file(module, error)} beside the study file or in the current folder, or "
            "install it",
        ) from error
    try:
        return importing.load(path)
    except InputError as error:
        raise error.with_key(key) from None


def settings_class(section: StudySection) -> type[Any]:
    """Return the class of a trial's settings; raises InputError for one that cannot be used."""
    kind = None if section.settings is None else load(section.settings, "study.settings")
    if kind is not None:
        names = {item.name for item in fields(kind)} if is_dataclass(kind) else set()
        if not {"seed", "epochs"} <= names or not isinstance(kind, type):
            raise InputError(
                "study.settings", section.settings, "a dataclass with the fields seed and epochs"
            )
    objective = load(section.objective, "study.objective")
    if not callable(objective) or isinstance(objective, type):
        raise InputError("study.objective", section.objective, "a function")
    if inspect.isgeneratorfunction(objective) or inspect.iscoroutinefunction(objective):
        form = "is a generator" if inspect.isgeneratorfunction(objective) else "is asynchronous"
        raise InputError(
            "study.objective",
            problem=f"{section.objective} {form}",
            expected="a function that calls trial.report, or returns a number",
        )
    return kind or signature.settings_class(objective)


def _file(module: str, error: BaseException) -> str:
    """Return the name of the file that is missing, if a module of the user's is."""
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    is_own = absent is not None and f"{module}.".startswith(f"{absent}.")
    return f"{module.replace('.', '/')}.py" if is_own else "the module"


def _reason(error: BaseException) -> str:
    """Return why an import failed, with the place where the error itself does not name it."""
    if isinstance(error, ImportError | SyntaxError):
        return one_line(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {place.filename}, line {place.lineno}: {one_line(error)}"
