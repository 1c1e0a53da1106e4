"""An objective that a notebook defines, as a module, which workers and recorded code import.

The statements that it depends on are written to a file in the folder `NOTEBOOKS`, and no values
are: the module has those that its statements produce. They are compared with the notebook's, which
a cell may have changed in a way that its source does not show.
"""

import builtins
import dataclasses
import datetime
import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np

from nets.errors import InputError
from studies.definition import importing
from studies.interface import cells
from tracking.provenance.source_code import NOTEBOOKS
from tracking.store.store import one_line

_ADVICE = (
    "restart the kernel and run all cells, or write it to a file: begin its cell with "
    "%%writefile objective.py"
)

_ONLY_NOTEBOOKS = ("display", "get_ipython")
"""Names that IPython adds to those that Python defines."""

_PLAIN = (
    bool, int, float, complex, str, bytes, type(None), range, np.generic, PurePath,
    datetime.date, datetime.time, datetime.timedelta,
)  # fmt: skip
_COLLECTIONS = (dict, list, tuple, set, frozenset)
_CODE = (ModuleType, type, FunctionType, BuiltinFunctionType)


def is_here() -> bool:
    """Return whether this program is a notebook, or another session of IPython."""
    shell = _shell()
    return shell is not None and vars(sys.modules["__main__"]) is shell.user_ns


def captured(defined: Any, key: str) -> str:
    """Write what a function or class of the notebook depends on to a module; return its name.

    The module's name has a digest of its statements: the same ones are the same module, in whatever
    order their cells have run. `key` is the argument that the function was given as. Raises
    InputError where the module would not be what the notebook has.
    """
    shell, name = _shell(), defined.__name__
    found = cells.sliced(_history(shell), name)
    _check_known(found, shell.user_ns, key, name)
    module = f"{name}_{_digest(found.texts)}"
    folder = Path.cwd() / NOTEBOOKS
    file = folder / f"{module}.py"
    is_new = not (
        file.is_file() and _digest(cells.texts_of(file.read_text("utf-8"))) == _digest(found.texts)
    )
    if is_new:
        folder.mkdir(exist_ok=True)
        file.write_text("\n\n".join(found.texts) + "\n", "utf-8")
    try:
        values = _imported(module, folder, key, name)
        for one in sorted(found.names & values.keys()):
            if not is_same(values[one], shell.user_ns.get(one)):
                raise _refused(key, name, f"{one}, whose value its cells do not explain")
    except InputError:
        if is_new:
            sys.modules.pop(module, None)
            file.unlink()
        raise
    return f"{module}:{name}"


def _shell() -> Any:
    """Return the running IPython, or None."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def _history(shell: Any) -> list[cells.Statement]:
    """Return all statements that have run so far, without the one that is running."""
    namespace = shell.user_ns

    def is_opaque(name: str) -> bool:
        value = namespace.get(name)
        return not (hasattr(builtins, name) or isinstance(value, _CODE) or _is_plain(value))

    *earlier, last = namespace["In"]
    lines: list[int] = []
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals is namespace and frame.f_code.co_name == "<module>":
            lines.insert(0, frame.f_lineno)
        frame = frame.f_back
    if lines:
        last = cells.until(last, lines)
    return list(cells.statements([*earlier, last], is_opaque))


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(sorted(texts)).encode()).hexdigest()[:8]


def _check_known(found: cells.Slice, namespace: dict[str, Any], key: str, name: str) -> None:
    """Raise InputError for names that only the notebook has."""
    for one in sorted(found.unknown - {"__name__", "__doc__"}):
        if one in _ONLY_NOTEBOOKS:
            raise _refused(key, name, f"{one}(), which only notebooks have")
        if one in namespace and not hasattr(builtins, one):
            raise _refused(key, name, f"{one}, which no cell defines")


def _imported(module: str, folder: Path, key: str, name: str) -> dict[str, Any]:
    """Import a module, unless it is loaded; return its values."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        return vars(importing.module(module))
    except (Exception, SystemExit) as error:  # whatever a user's cells do
        places = traceback.extract_tb(error.__traceback__)
        lines = [place.line for place in places if Path(place.filename).parent == folder]
        line = f" in `{lines[-1]}`" if lines else ""
        why = f"{type(error).__name__}{line}: {one_line(error)}"
        raise InputError(
            key,
            problem=f"the cells that {name} depends on do not run by themselves: {why}",
            hint=_ADVICE,
        ) from error


def _refused(key: str, name: str, what: str) -> InputError:
    return InputError(key, problem=f"{name} uses {what}", hint=_ADVICE)


def _is_plain(value: Any) -> bool:
    """Return whether a value can be compared."""
    if isinstance(value, _PLAIN + _COLLECTIONS):
        return True
    return hasattr(value, "equals") or hasattr(value, "__array__")


def is_same(ours: Any, theirs: Any) -> bool:
    """Return whether a module and a notebook have the same value.

    Code and objects of other types count as equal.
    """
    if type(ours).__qualname__ != type(theirs).__qualname__:
        return False
    if isinstance(ours, _CODE):
        return True
    if hasattr(ours, "equals"):  # a frame
        return bool(ours.equals(theirs))
    if hasattr(ours, "detach"):  # a tensor
        ours, theirs = ours.detach().cpu(), theirs.detach().cpu()
    if hasattr(ours, "__array__"):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        if ours.dtype.hasobject:
            return ours.shape == theirs.shape and is_same(ours.tolist(), theirs.tolist())
        may_be_nan = ours.dtype.kind in "fcmM"
        return ours.dtype == theirs.dtype and np.array_equal(ours, theirs, equal_nan=may_be_nan)
    if isinstance(ours, dict):
        return is_same(list(ours.items()), list(theirs.items()))
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(is_same, ours, theirs))
    if dataclasses.is_dataclass(ours):
        names = [field.name for field in dataclasses.fields(ours)]
        return all(is_same(getattr(ours, one), getattr(theirs, one, None)) for one in names)
    if isinstance(ours, set | frozenset):
        return bool(ours == theirs) or not all(isinstance(one, _PLAIN) for one in ours)
    if isinstance(ours, float | complex | np.generic):
        return bool(ours == theirs or (ours != ours and theirs != theirs))
    return not isinstance(ours, _PLAIN) or bool(ours == theirs)
