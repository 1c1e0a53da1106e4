"""Files that a process has imported from elsewhere: what is among them, and with which digest."""

import hashlib
import json
import sys

import pytest
from programs import run_to_end

LOAD = """
import importlib.util

def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
"""
WATCH = """
from tracking.provenance import imported
imported.watch()
import objective
"""
AFTER = """
import json
print(json.dumps(imported.files(("objective",))))
"""


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def write(tmp_path):
    """Writes a file with its path as its content, or another; returns its digest."""

    def write(path, text=None):
        text = f"# {path}\n" if text is None else text
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return digest(text)

    return write


@pytest.fixture
def found(tmp_path, write):
    """Runs statements in a process that watches its imports; returns what it then knows.

    Modules are searched in the folders `study` and `shared` of the test's folder, where it runs.
    """
    write("study/objective.py")

    def found(*statements, before=""):
        path = [str(tmp_path / folder) for folder in ("study", "shared")]
        code = [f"import sys; sys.path[:0] = {path}", LOAD, before, WATCH, *statements, AFTER]
        done = run_to_end([sys.executable, "-c", "\n".join(code)], cwd=tmp_path, check=True)
        return json.loads(done.stdout)

    return found


def test_neither_python_nor_libraries_nor_recorded_code_are_elsewhere(found):
    assert found("import numpy, sqlite3, optuna, nets.objective, studies.cli.search") == {}


def test_a_helper_in_another_folder_is_named_like_its_module(found, write):
    expected = {
        "helper.py": write("shared/helper.py"),
        "package/__init__.py": write("shared/package/__init__.py"),
        "package/part.py": write("shared/package/part.py"),
    }
    assert found("import helper, package.part") == expected


def test_a_file_that_is_loaded_by_its_path_is_found(found, write):
    expected = {"plug-in.py": write("study/plug-ins/plug-in.py")}
    assert found("load('anything', 'study/plug-ins/plug-in.py')") == expected
    # Another name of the module changes nothing but the number of folders.
    expected = {"plug-ins/plug-in.py": expected["plug-in.py"]}
    assert found("load('plug_ins.any', 'study/plug-ins/plug-in.py')") == expected


def test_what_was_loaded_before_is_found_too(found, write):
    helper, written = write("shared/helper.py"), write("shared/later.py")
    assert found("import later", before="import helper") == {
        "helper.py": helper,
        "later.py": written,
    }


def test_the_digest_is_that_of_the_file_when_it_was_imported(found, write):
    expected = {"helper.py": write("shared/helper.py", "x = 1\n")}
    change = "open('shared/helper.py', 'w').write('y = 22')"
    assert found("import helper", change) == expected
    assert found("load('helper', 'shared/helper.py')") == {"helper.py": digest("y = 22")}
    expected = {"helper.py": write("shared/helper.py", "x = 1\n")}
    again = "imported.files(('objective',))"
    assert found("import helper", again, change) == expected


def test_a_file_that_is_loaded_again_has_the_newer_digest(found, write):
    write("study/plug_in.py", "x = 1\n")
    load = "load('plug_in', 'study/plug_in.py'); imported.files(('objective',))"
    change = "open('study/plug_in.py', 'w').write('y = 22')"
    assert found(load, change, load) == {"plug_in.py": digest("y = 22")}


def test_files_of_equal_names_have_one_digest_together(found, write):
    write("a/plug_in.py", "x = 1")
    write("b/plug_in.py", "x = 1")
    load = [f"load('plug_in', '{folder}/plug_in.py')" for folder in "ab"]
    assert found(*load) == {"plug_in.py": digest("x = 1")}
    write("b/plug_in.py", "x = 2")
    both = found(*load)
    assert both.keys() == {"plug_in.py"}
    assert both["plug_in.py"] not in (digest("x = 1"), digest("x = 2"))
    assert found(*reversed(load)) == both


@pytest.mark.parametrize("installed", ["shared/any-1.0.dist-info/METADATA", None])
def test_libraries_in_a_folder_of_their_own_are_not_elsewhere(found, write, installed):
    write("shared/any.py")
    write("shared/site-packages/other.py")
    if installed:
        write(installed)
    imports = "import any; sys.path.append('shared/site-packages'); import other"
    assert found(imports).keys() == (set() if installed else {"any.py"})


def test_a_file_of_the_objectives_package_that_is_not_recorded_is_elsewhere(found, write, tmp_path):
    (tmp_path / "study" / "objective.py").unlink()
    write("study/objective/__init__.py", "from objective import part\n")
    write("study/objective/part.py")
    expected = {"plug_in.py": write("study/objective/plug-ins/plug_in.py")}
    assert found("load('x', 'study/objective/plug-ins/plug_in.py')") == expected


def test_what_is_no_module_or_has_no_file_is_left_out(found):
    strange = """
class Strange:
    def __getattr__(self, name):
        raise RuntimeError
sys.modules["strange"] = Strange()
sys.modules["nothing"] = None
"""
    assert found(strange, "load.__globals__['__spec__'] = None") == {}


def test_the_number_of_files_is_limited(found, write):
    for number in range(12):
        write(f"shared/helper{number:02d}.py")
    imports = "import " + ", ".join(f"helper{number:02d}" for number in reversed(range(12)))
    limited = found("imported.MOST_FILES = 10", imports)
    assert list(limited) == [f"helper{number:02d}.py" for number in range(10)]


def test_an_error_while_a_module_loads_is_its_own(found, write):
    write("shared/broken.py", "def f(:\n")
    failing = """
import traceback
for name in ("broken", "missing"):
    try:
        __import__(name)
    except (SyntaxError, ImportError):
        assert "imported" not in traceback.format_exc(), traceback.format_exc()
"""
    assert found(failing).keys() == {"broken.py"}
