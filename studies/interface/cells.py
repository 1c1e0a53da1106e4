"""The statements of a notebook's cells that a function depends on.

A statement reads what the statements that ran before it have made of a name; a function reads names
when it is called. Where a statement only may change a value, it is taken to do so.
"""

import ast
import symtable
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

_PYTHON_MAGICS = ("capture", "prun", "time")
"""The cell magics that run their cell as Python, in the notebook."""

_COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")

_FUTURE = "from __future__ "

IsOpaque = Callable[[str], bool]
"""Whether the value of a name is an object that a call may change unnoticed."""


@dataclass(frozen=True)
class Statement:
    """A statement of a cell: its source, and the names that it deals with.

    It gives `replaced` names new values, and may change the values of the `changed` ones. It reads
    the `read` names itself; functions that it defines read the `later` ones.
    """

    text: str
    replaced: frozenset[str]
    changed: frozenset[str]
    read: frozenset[str]
    later: frozenset[str]


@dataclass(frozen=True)
class Slice:
    """The sources of statements that a name depends on.

    `names` are those that count when all statements have run; `unknown` are names that are read,
    and that no statement gives a value.
    """

    texts: tuple[str, ...]
    names: frozenset[str]
    unknown: frozenset[str]


def texts_of(cell: str) -> list[str]:
    """Return the sources of the statements of a cell.

    >>> texts_of("a = 1; b = 2")
    ['a = 1', 'b = 2']
    """
    return [text for text, _ in _parsed(cell)]


def statements(cells: Iterable[str], is_opaque: IsOpaque) -> Iterator[Statement]:
    """Yield the statements of cells; for a magic such as ``%%time``, those of its cell."""
    for cell in cells:
        for text, node in _parsed(cell):
            if (inner := _cell_of_magic(node)) is not None:
                yield from statements([inner], is_opaque)
            elif not _is_for_notebooks(node):
                yield _statement(text, node, is_opaque)


def until(cell: str, lines: Sequence[int]) -> str:
    """Return the part of a cell above the statement that runs.

    `lines` are the line that runs in the cell and, in a magic such as ``%%time``, that in its cell.
    """
    nodes = [node for _, node in _parsed(cell)]
    if lines[1:] and len(nodes) == 1 and (inner := _cell_of_magic(nodes[0])) is not None:
        return until(inner, lines[1:])
    begins = [begin for node in nodes if (begin := _begin(node)) <= lines[0]]
    return "\n".join(cell.splitlines()[: max(begins, default=1) - 1])


def sliced(history: Sequence[Statement], name: str) -> Slice:
    """Return the statements that a name depends on, in their order.

    An import that is repeated is in it once.
    """
    end = len(history)
    waiting, seen, known, kept = [(name, end)], set(), set(), set()
    while waiting:
        if (wanted := waiting.pop()) in seen:
            continue
        seen.add(wanted)
        name, before = wanted
        for place in reversed(range(before)):
            statement = history[place]
            if name not in statement.replaced | statement.changed:
                continue
            known.add(name)
            kept.add(place)
            waiting += [(one, place) for one in statement.read]
            waiting += [(one, when) for one in statement.later for when in (before, end)]
            if name in statement.replaced:
                break
    futures = [one.text for one in history if one.text.startswith(_FUTURE)]
    texts = [*futures, *(history[place].text for place in sorted(kept))]
    found: list[str] = []
    for text in texts:
        if text not in found or not text.startswith(("import ", "from ")):
            found.append(text)
    return Slice(
        tuple(found),
        frozenset(name for name, before in seen if before == end),
        frozenset(name for name, _ in seen) - known,
    )


def _parsed(cell: str) -> list[tuple[str, ast.stmt]]:
    """Return the statements of a cell with their sources; none if it is not Python."""
    try:
        nodes = ast.parse(cell).body
    except (SyntaxError, ValueError):  # it did not run either
        return []
    lines = cell.splitlines()
    found = []
    for node in nodes:
        text = ast.get_source_segment(cell, node) or ""
        if (begin := _begin(node)) < node.lineno:  # its decorators
            text = "\n".join([*lines[begin - 1 : node.lineno - 1], text])
        found.append((text, node))
    return found


def _begin(node: ast.stmt) -> int:
    """Return the line in which a statement begins, with its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])


def _cell_of_magic(node: ast.stmt) -> str | None:
    """Return the cell of a magic that runs it as Python, or None."""
    match node:
        case ast.Expr(
            ast.Call(
                ast.Attribute(attr="run_cell_magic"),
                [ast.Constant(name), ast.Constant(), ast.Constant(str() as cell)],
            )
        ) if name in _PYTHON_MAGICS:
            return cell
    return None


def _is_for_notebooks(node: ast.stmt) -> bool:
    """Return whether a statement is a magic alone, which gives no name a value."""
    match node:
        case ast.Expr(ast.Call(ast.Attribute(ast.Call(ast.Name("get_ipython"))))):
            return True
    return False


def _statement(text: str, node: ast.stmt, is_opaque: IsOpaque) -> Statement:
    """Return what a statement does to which names."""
    try:
        table = symtable.symtable(text, "<cell>", "exec")
    except SyntaxError:  # such as await, which a module cannot have
        table = symtable.symtable("", "<cell>", "exec")
    read, later = _reads(table)
    bound = {one.get_name() for one in table.get_symbols() if one.is_assigned()}
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        read.add(node.target.id)
    replaced = _replaced(node)
    changed = (bound - replaced) | set(_changed(node, is_opaque))
    return Statement(text, *map(frozenset, (replaced, changed, read, later)))


def _reads(table: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    """Return the global names that code reads when it runs, and those that its functions read."""
    is_module = table.get_type() == "module"
    read = {
        one.get_name()
        for one in table.get_symbols()
        if one.is_referenced() and (is_module or one.is_global())
    }
    later: set[str] = set()
    for child in table.get_children():
        its_read, its_later = _reads(child)
        later |= its_later
        runs_now = child.get_type() == "class" or child.get_name() in _COMPREHENSIONS
        (read if runs_now else later).update(its_read)
    return read, later


def _replaced(node: ast.AST) -> set[str]:
    """Return the names that a statement surely gives new values."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {node.name}
        case ast.ImportFrom(module, names):
            if names[0].name == "*":
                return _public(module or "")
            return {one.asname or one.name for one in names}
        case ast.Import(names):  # import a.b leaves an earlier import a.c in effect
            return {one.asname or one.name for one in names if one.asname or "." not in one.name}
        case ast.Assign(targets):
            return set().union(*map(_replaced, targets))
        case ast.AnnAssign(ast.Name(name), value=ast.expr()) | ast.AugAssign(ast.Name(name)):
            return {name}
        case ast.Tuple(parts) | ast.List(parts):
            return set().union(*map(_replaced, parts))
        case ast.Starred(part):
            return _replaced(part)
        case ast.Name(name):
            return {name}
        case ast.With(body=body):
            return set().union(*map(_replaced, body))
    return set()


def _public(module: str) -> set[str]:
    """Return the names that ``from module import *`` gives values."""
    values = vars(sys.modules[module]) if module in sys.modules else {}
    return set(values.get("__all__", (name for name in values if not name.startswith("_"))))


def _changed(node: ast.AST, is_opaque: IsOpaque) -> Iterator[str]:
    """Yield the names whose values a statement may change in place."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() | ast.ClassDef():
            return  # its calls come later
        case ast.Import(names):
            yield from (one.name.partition(".")[0] for one in names if not one.asname)
        case (
            ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del())
        ):
            yield from _base(node)
        case ast.Expr(ast.Call(ast.Attribute() as method)):
            yield from _base(method)
        case ast.Call(function, arguments, keywords):
            used = [function, *arguments, *(keyword.value for keyword in keywords)]
            yield from (name for one in used for name in _base(one) if is_opaque(name))
    for child in ast.iter_child_nodes(node):
        yield from _changed(child, is_opaque)


def _base(node: ast.AST) -> Iterator[str]:
    """Yield the name that an expression such as ``name.attribute[index]`` begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id
