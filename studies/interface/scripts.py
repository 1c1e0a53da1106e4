"""Studies that Python files define, for the command line: ``FILE.py`` or ``FILE.py:NAME``.

A file is read up to its first search, as workers read it.
"""

import re
import traceback
from pathlib import Path

from nets.errors import InputError, one_of
from studies.definition import importing
from studies.interface import modules
from studies.interface.study import Study
from tracking.store.store import one_line

_FORM = re.compile(r"(?P<file>.+\.py)(?::(?P<name>[^:]*))?", re.DOTALL)


def is_script(text: str) -> bool:
    """Return whether a command's study is one that a Python file defines.

    >>> is_script("tune.py"), is_script("tune.py:small"), is_script("tune.toml")
    (True, True, False)
    """
    return _FORM.fullmatch(text) is not None


def read(text: str) -> Study:
    """Return the study of ``FILE.py``, or the one called NAME of ``FILE.py:NAME``.

    Raises InputError for a file that cannot be read, that defines no such study, or that defines
    several where none is named.
    """
    match = _FORM.fullmatch(text)
    assert match is not None
    file, name = Path(match["file"]), match["name"]
    found = {study.name: study for study in _studies_of(file)}
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name in found:
        return found[name]
    if not found:
        raise InputError(
            "study",
            problem=f"{file} defines no study",
            expected="study = studies.Study(...) at its top level",
        )
    problem = f"{file} defines {len(found)} studies" if name is None else f"{file} has no {name!r}"
    raise InputError("study", problem=problem, expected=one_of(f"{file}:{one}" for one in found))


def _studies_of(file: Path) -> list[Study]:
    """Return the studies that a file defines up to its first search."""
    if not file.is_file():
        raise InputError("study", problem=f"no such file: {str(file)!r}")
    name = modules.stem_of(file, "study")
    modules.put_first(file.absolute().parent)
    modules.find(name, str(file), "study")
    try:
        module = importing.module(name)
    except (Exception, SystemExit) as error:  # whatever a user's file does
        raise InputError(
            "study",
            problem=f"cannot read {file}: {type(error).__name__}{_place(error, file)}: "
            f"{one_line(error)}",
        ) from error
    found = [*vars(module).values(), importing.ended_at(name)]
    return list({id(one): one for one in found if isinstance(one, Study)}.values())


def _place(error: BaseException, file: Path) -> str:
    """Return in which line of a file an error was raised."""
    if isinstance(error, SyntaxError):
        return ""  # its message has it
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).absolute() == file.absolute()
    ]
    return f" in line {lines[-1]}" if lines else ""
