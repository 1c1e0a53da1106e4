"""The name by which worker processes import a function or class: ``package.module:name``.

A script is ``__main__`` where it is run, and a module with the name of its file everywhere else.
"""

import importlib.util
import inspect
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from nets.errors import InputError
from studies.interface import notebook

_first_line: int | None = None
"""The line of the script at which it first worked on a study: workers read it up to there."""


def identified(defined: Any, key: str) -> str:
    """Return the name by which workers import a function or a class.

    `key` is the argument that it was given as. Raises InputError for what cannot be imported: a
    lambda, a nested function, a method, a partial, one that another of its name has replaced.
    """
    name = getattr(defined, "__qualname__", None)
    if not (inspect.isfunction(defined) or inspect.isclass(defined)) or name is None:
        raise InputError(key, defined, "a function, or the name package.module:function of one")
    if not name.isidentifier():
        kind = "a lambda" if "<lambda>" in name else "a nested function or a method"
        raise InputError(
            key,
            problem=f"got {name}, {kind}",
            expected="a function of a module's top level, which worker processes can import",
        )
    module = sys.modules.get(defined.__module__)
    if getattr(module, name, defined) is not defined:
        raise InputError(
            key,
            problem=f"{defined.__module__} has another {name}, which replaced this one",
            expected="functions with different names",
        )
    if defined.__module__ == "__main__":
        if notebook.is_here():
            return notebook.captured(defined, key)
        return f"{_script(defined, key)}:{name}"
    find(defined.__module__, getattr(module, "__file__", None), key)
    return f"{defined.__module__}:{name}"


def note_work() -> None:
    """Note that the script works on a study now, unless it already did."""
    global _first_line
    if _first_line is not None or notebook.is_here():
        return
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "__main__" and frame.f_code.co_name == "<module>":
            _first_line = frame.f_lineno
            return
        frame = frame.f_back


def _script(defined: Any, key: str) -> str:
    """Return the name of the script as a module, after a check that workers can import it."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None or not Path(file).is_file():
        raise InputError(
            key,
            problem=f"{defined.__name__} is defined in an interactive session",
            expected="a function of a file or a notebook, which worker processes can import",
        )
    line = _line_of(defined)
    if _first_line is not None and line > _first_line:
        raise InputError(
            key,
            problem=f"{defined.__name__} is defined in line {line} of {Path(file).name}, below "
            f"line {_first_line}, up to which worker processes read the file",
            hint="define it above the first search",
        )
    run_as: ModuleSpec | None = getattr(main, "__spec__", None)  # IPython's %run leaves it out
    if run_as is not None:  # python -m package.module
        name = run_as.name
    else:
        name = stem_of(Path(file), key)
        put_first(Path(file).absolute().parent)
    spec = find(name, file, key)
    _share(name, main, spec)
    return name


def stem_of(file: Path, key: str) -> str:
    """Return the name of a file as a module; raises InputError if it cannot be one."""
    if "." in file.stem:
        raise InputError(key, problem=f"{file.name} has dots in its name", expected="NAME.py")
    return file.stem


def put_first(folder: Path) -> None:
    """Put a folder on `sys.path`, which workers copy, unless it is there."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def find(name: str, file: str | None, key: str) -> ModuleSpec:
    """Return where a module is found; raises InputError if that is not in its own file."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or (file is not None and not _is_same(spec.origin, file)):
        problem = f"worker processes cannot import {name!r}"
        if spec is not None:
            where = spec.origin or "a built-in module"
            problem = f"worker processes would import {name!r} from {where}, not from {file}"
        raise InputError(
            key,
            problem=problem,
            expected="a file whose name no other module has, in a folder on sys.path",
        )
    return spec


def _is_same(origin: str | None, file: str) -> bool:
    try:
        return origin is not None and Path(origin).samefile(file)
    except OSError:
        return False


def _share(name: str, main: ModuleType, spec: ModuleSpec) -> None:
    """Have this process import the script as a module without running it a second time."""
    twin = sys.modules.get(name)
    if twin is None:
        twin = sys.modules[name] = importlib.util.module_from_spec(spec)
    elif twin is main:
        return
    values = {key: value for key, value in vars(main).items() if not key.startswith("__")}
    vars(twin).update(values)


def _line_of(defined: Any) -> int:
    """Return the line in which a function begins; 0 for a class."""
    code = getattr(inspect.unwrap(defined), "__code__", None)
    return 0 if code is None else int(code.co_firstlineno)
