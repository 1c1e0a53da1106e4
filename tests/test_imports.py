"""Imports run one way: command line -> studies -> tracking -> nets."""

import ast
import sys
from pathlib import Path

import pytest
from programs import run_to_end

ROOT = Path(__file__).parents[1]

FORBIDDEN = {
    "nets": {"optuna", "mlflow", "joblib", "matplotlib", "studies", "tracking", "pydantic", "onnx"},
    "tracking": {"optuna", "joblib", "studies", "dask", "distributed"},
    "studies": set(),
}
"""What a package never imports, however late."""

ONLY = {
    "threadpoolctl": {"nets/threads.py", "tracking/provenance/environment.py"},
    "sklearn": {"nets/data/digits.py"},
    "pooch": {"nets/data/download.py"},
    "onnx": {"tracking/models/onnx.py"},
}
"""Libraries that stand in one module of nets each (and where a machine is described)."""


def imported(path):
    """Return the top-level names of everything a file imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_package_imports_nothing_above_it(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = {
        str(file.relative_to(ROOT)): sorted(imported(file) & FORBIDDEN[package])
        for file in files
        if imported(file) & FORBIDDEN[package]
    }
    assert wrong == {}


@pytest.mark.parametrize("library", ONLY)
def test_library_is_imported_in_one_place_of_nets(library):
    files = [f for p in ("nets", "tracking") for f in (ROOT / p).rglob("*.py")]
    users = {str(f.relative_to(ROOT)) for f in files if library in imported(f)}
    assert users <= ONLY[library]


def test_import_check_sees_an_import_inside_a_function(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("def late():\n    from optuna.trial import Trial\n    import mlflow.pyfunc\n")
    assert imported(file) == {"optuna", "mlflow"}


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
