"""The names of `studies`: imported when they are used, and known to editors."""

import ast
import importlib
import sys
from pathlib import Path

import pytest
from programs import run_to_end

import studies


def imported_for_editors():
    """The modules of the names that `studies/__init__.py` imports for type checkers."""
    tree = ast.parse(Path(studies.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {name.asname: line.module for line in block.body for name in line.names}


def test_each_name_is_imported_for_editors_too():
    places = {
        name: place.removesuffix(f".{name}") if place.endswith(f".{name}") else place
        for name, place in studies._PLACES.items()
    }
    assert places == imported_for_editors()


@pytest.mark.parametrize("name", studies.__all__)
def test_each_name_is_that_of_its_module(name):
    module = importlib.import_module(studies._PLACES[name])
    assert getattr(studies, name) in (module, getattr(module, name, None))
    assert name in dir(studies)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'studies' has no attribute 'Studies'"):
        _ = studies.Studies


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import studies", ["numpy", "optuna", "pydantic", "mlflow", "rich", "nets"]),
        # What a worker imports with a script that defines a study.
        (
            "import studies; studies.Study, studies.Float, studies.Outcome",
            ["optuna", "pydantic", "mlflow", "rich", "pandas", "matplotlib"],
        ),
    ],
)
def test_importing_loads_nothing_heavy(code, absent):
    code += f"; import sys; print(*[name for name in {absent!r} if name in sys.modules])"
    assert run_to_end([sys.executable, "-c", code], check=True).stdout.split() == []
