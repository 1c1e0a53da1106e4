"""Imports run one way: between packages, between the folders of one, and between its modules.

Command line -> studies -> tracking -> nets; in `FOLDERS`, a folder imports only those before it.
"""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from programs import run_to_end

ROOT = Path(__file__).parents[1]

FORBIDDEN = {
    "nets": {"optuna", "mlflow", "joblib", "matplotlib", "studies", "tracking", "pydantic", "onnx"},
    "tracking": {"optuna", "joblib", "studies", "dask", "distributed"},
    "studies": set(),
}
"""Packages that a package never imports, at any depth of its code."""

FOLDERS = {
    "studies": (
        "objective", "definition", "workers", "analysis", "figures", "recording", "search",
        "confirmation", "reproduction", "cli",
    ),
    "tracking": (
        "records", "store", "provenance", "ledger", "figures", "models", "runs", "confirmation",
        "maintenance",
    ),
}  # fmt: skip
"""The folders of a package; each imports only itself and those before it."""

ONLY = {
    "threadpoolctl": {"nets/threads.py", "tracking/provenance/environment.py"},
    "sklearn": {"nets/data/digits.py"},
    "pooch": {"nets/data/download.py"},
    "onnx": {"tracking/models/onnx.py"},
}
"""The only modules of nets and tracking that import a library."""

OPTUNA_INTERNALS = "studies/definition/optuna_internals.py"
PRIVATE_IN_OPTUNA = {
    "_suggest", "_contains", "_storage", "_study_id", "_studies", "_set_trial", "_get_trial",
    "_trial_id", "_cached_frozen_trial",
}  # fmt: skip


def relative(path):
    return path.relative_to(ROOT).as_posix()


def files_of(*packages):
    files = [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]
    assert files
    return files


def modules_in(tree):
    """Names of everything that code imports; of ``from a import b`` both ``a`` and ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the package"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(path):
    """Names of everything that a file imports, at any depth of its code."""
    return set(modules_in(ast.parse(path.read_text(encoding="utf-8"))))


def libraries(path):
    return {name.split(".")[0] for name in imported(path)}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def folder_of(module, package):
    """The folder of a package that a module lies in, or None: ``studies.cli.main`` -> ``cli``."""
    parts = module.split(".")
    return parts[1] if parts[0] == package and parts[1:2] and parts[1] in FOLDERS[package] else None


def against_the_order(file, package):
    """The modules of folders after its own that a file imports."""
    order = FOLDERS[package]
    own = folder_of(module_name(file), package)
    folders = {name: folder_of(name, package) for name in imported(file)}
    return {
        name
        for name, folder in folders.items()
        if folder is not None
        and own is not None
        and order.index(folder) > order.index(own)
        # Of a module and a name in it, only the module.
        and (is_module(name) or name.rpartition(".")[0] not in folders)
    }


def is_module(name):
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def at_module_level(path):
    """Modules of the same package that a file imports when it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        is_later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_later or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            node.body = []
    package = path.relative_to(ROOT).parts[0]
    return {
        name for name in modules_in(tree)
        if name.split(".")[0] == package
        and ROOT.joinpath(*name.split(".")).with_suffix(".py").is_file()
    }  # fmt: skip


@pytest.mark.parametrize("package", FORBIDDEN)
def test_package_imports_nothing_above_it(package):
    wrong = {relative(file): libraries(file) & FORBIDDEN[package] for file in files_of(package)}
    assert {file: names for file, names in wrong.items() if names} == {}


@pytest.mark.parametrize("package", FOLDERS)
def test_every_folder_has_a_place_in_the_order(package):
    folders = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert folders == set(FOLDERS[package])


@pytest.mark.parametrize("package", FOLDERS)
def test_folders_import_one_another_in_one_direction(package):
    found = {
        (relative(file), name)
        for file in files_of(package)
        for name in against_the_order(file, package)
    }
    assert not found


@pytest.mark.parametrize("package", ["nets", *FOLDERS])
def test_modules_import_one_another_without_a_cycle(package):
    graph = {
        module_name(file): at_module_level(file)
        for file in files_of(package)
        if file.name != "__init__.py"
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("library", ONLY)
def test_library_is_imported_in_one_place(library):
    users = {relative(file) for file in files_of("nets", "tracking") if library in libraries(file)}
    assert users <= ONLY[library]


def test_private_names_of_optuna_are_used_in_one_module():
    users = {
        f"{relative(file)}:{node.lineno} {node.attr}"
        for file in files_of("studies", "benchmarks")
        if relative(file) != OPTUNA_INTERNALS
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in PRIVATE_IN_OPTUNA
    }
    assert users == set()


def test_import_check_sees_an_import_inside_a_function(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("def late():\n    from optuna.trial import Trial\n    import mlflow.pyfunc\n")
    assert libraries(file) == {"optuna", "mlflow"}


def test_order_check_sees_every_form_of_an_import(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    file = tmp_path / "studies" / "workers" / "late.py"
    other = tmp_path / "studies" / "search" / "driver.py"
    for path in (file, other):
        path.parent.mkdir(parents=True)
        path.touch()
    for line in ("import studies.search.driver", "from studies.search import driver",
                 "from studies.search.driver import Search"):  # fmt: skip
        file.write_text(f"def late():\n    {line}\n")
        assert "studies.search.driver" in against_the_order(file, "studies")
    file.write_text("from studies.workers import pruning\nfrom studies.definition import space\n")
    assert against_the_order(file, "studies") == set()


def test_cycle_check_leaves_out_what_is_imported_later(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "nets").mkdir()
    one, other = tmp_path / "nets" / "one.py", tmp_path / "nets" / "other.py"
    one.write_text("from nets import other\n\ndef late():\n    import nets.one\n")
    other.touch()
    assert at_module_level(one) == {"nets.other"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("studies.cli.main", ["numpy", "optuna", "mlflow", "pydantic", "rich", "joblib"]),
        ("studies.workers.attempt", ["mlflow", "sklearn", "matplotlib", "pydantic", "rich"]),
        ("tracking.ledger.access", ["mlflow", "matplotlib"]),
        ("nets", ["optuna", "mlflow", "sklearn", "pooch", "scipy"]),
    ],
)
def test_module_loads_nothing_heavy(module, absent):
    code = f"import sys, {module}; print(*[m for m in {absent!r} if m in sys.modules])"
    done = run_to_end([sys.executable, "-c", code], check=True)
    assert done.stdout.split() == []
