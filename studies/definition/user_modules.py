"""Find and import the modules that a study names: its objective and its settings class."""

import sys
import traceback
from pathlib import Path
from typing import Any

from nets.errors import InputError, ModuleMissing
from studies.definition import importing
from studies.definition.study_section import StudySection
from tracking.store.store import one_line


def user_modules(section: StudySection) -> list[str]:
    """Return the user's modules that a section names; those of nets are not among them."""
    modules = {path.partition(":")[0] for path in (section.objective, section.settings)}
    return sorted(m for m in modules if m.split(".")[0] != "nets")


def import_from(section: StudySection, *folders: Path) -> None:
    """Put folders first on `sys.path`, which workers copy, for a study that has its own modules.

    Once these are loaded, the path does not change: a study that is read from its file and then
    from the store must not have its workers import from a different folder than its driver.
    """
    if any(module not in sys.modules for module in user_modules(section)):
        first = list(dict.fromkeys(str(folder.absolute()) for folder in folders))
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
            hint="put the module beside the study file or in the current folder, or install it",
        ) from error
    try:
        return importing.load(path)
    except InputError as error:
        raise error.with_key(key) from None


def _reason(error: BaseException) -> str:
    """Return why an import failed, with the place where the error itself does not name it."""
    if isinstance(error, ImportError | SyntaxError):
        return one_line(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {place.filename}, line {place.lineno}: {one_line(error)}"
