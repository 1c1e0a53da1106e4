"""Digests that see every change of source code, and archives that it can be run from again."""

import importlib
import io
import sys
import zipfile

import pytest
from programs import run_to_end

from tracking.provenance import source_code


def test_the_digest_of_code_sees_every_change_and_no_place(tmp_path, monkeypatch):
    def digest(place, **files):
        for name, text in files.items():
            path = tmp_path / place / "sample_code" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(tmp_path / place))
            return source_code.digest("sample_code")

    one = digest("one", __init__="", layer="x = 1\n")
    assert digest("two", __init__="", layer="x = 1\n") == one
    assert digest("three", __init__="", layer="x = 2\n") != one
    assert digest("four", __init__="", other="x = 1\n") != one
    assert digest("five", __init__="x = 1\n", layer="") != one


def test_the_digest_of_a_single_module_is_that_of_its_file(tmp_path, monkeypatch):
    (tmp_path / "sample_objective.py").write_text("def objective(): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert len(source_code.digest("sample_objective")) == 64
    assert "sample_objective" not in sys.modules


def test_the_digest_of_code_that_is_not_there_is_unknown():
    assert source_code.digest("no_such_module_anywhere") == source_code.UNKNOWN


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a file of a package of the test's own, which can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sample_project", raising=False)  # an earlier test's

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        importlib.invalidate_caches()

    source_code._archive.cache_clear()
    return write


def names_in(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return set(opened.namelist())


def test_an_archive_has_the_whole_package_of_a_module_and_only_python(module):
    module("sample_project/__init__.py", "")
    module("sample_project/train.py", "from sample_project import layers\n")
    module("sample_project/layers.py", "x = 1\n")
    module("sample_project/images.txt", "0 0 1")
    module("sample_objective.py", "y = 2\n")
    digests = {
        name: source_code.digest(name) for name in ("sample_project.train", "sample_objective")
    }
    assert names_in(source_code.archive(digests)) == {
        "sample_project/__init__.py", "sample_project/train.py", "sample_project/layers.py",
        "sample_objective.py",
    }  # fmt: skip


def test_a_part_of_an_archive_is_the_archive_of_that_part(module):
    module("sample_project/__init__.py", "")
    module("sample_objective.py", "y = 2\n")
    module("sample_objectives.py", "y = 3\n")
    tops = ("sample_project", "sample_objective", "sample_objectives")
    digests = {name: source_code.digest(name) for name in tops}
    fewer = {name: digests[name] for name in tops[:2]}
    assert source_code.only(fewer, source_code.archive(digests)) == source_code.archive(fewer)


def test_what_no_import_can_name_is_no_source(module):
    module("sample_project/__init__.py", "")
    digest = source_code.digest("sample_project")
    module("sample_project/mlruns/artifacts/models/m-0a1b/artifacts/model.py", "x = 1\n")
    module("sample_project/.venv/lib/layers.py", "x = 1\n")
    assert source_code.digest("sample_project") == digest
    assert names_in(source_code.archive({"sample_project": digest})) == {
        "sample_project/__init__.py"
    }


def test_code_of_one_s_own_is_the_whole_package_and_what_is_imported_from_beside_it(module):
    module("sample_project/__init__.py", "")
    module("sample_project/train.py", "import json, time, numpy, nets\nfrom . import layers\n")
    module("sample_project/layers.py", "def build():\n    from sample_helper import walk\n")
    module("sample_helper.py", "import sample_project.train, sample_shared.words\n")
    module("sample_shared/words.py", "import no_such_module_anywhere\n")
    module("sample_stranger.py", "this is no Python\n")
    assert source_code.with_imported(["sample_project.train"]) == [
        "sample_helper", "sample_project", "sample_project.train", "sample_shared",
    ]  # fmt: skip


def test_beside_installed_code_of_one_s_own_are_libraries(tmp_path, module, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    module("site-packages/sample_objective.py", "import sample_library\n")
    module("site-packages/sample_library.py", "x = 1\n")
    assert source_code.with_imported(["sample_objective"]) == ["sample_objective"]


def test_equal_code_gives_equal_bytes_and_changed_code_gives_no_archive(module):
    module("sample_objective.py", "y = 2\n")
    digests = {"sample_objective": source_code.digest("sample_objective")}
    archive = source_code.archive(digests)
    module("sample_objective.py", "y = 3\n")
    assert source_code.archive(digests) == archive  # as when it was first requested
    source_code._archive.cache_clear()
    assert source_code.archive(digests) is None
    module("sample_objective.py", "y = 2\n")
    source_code._archive.cache_clear()
    assert source_code.archive(digests) == archive


def test_what_lies_hidden_in_a_package_is_none_of_it(module):
    module("sample_package/__init__.py", "x = 1\n")
    before = source_code.digest("sample_package")
    module("sample_package/.venv/lib/other.py", "y = 2\n")
    assert source_code.digest("sample_package") == before
    assert names_in(source_code.archive({"sample_package": before})) == {
        "sample_package/__init__.py"
    }


def test_code_beyond_all_measure_is_not_kept(module, monkeypatch):
    module("sample_objective.py", "y = 2\n" * 100)
    monkeypatch.setattr(source_code, "LARGEST", 500)
    digests = {"sample_objective": source_code.digest("sample_objective")}
    assert source_code.archive(digests) is None


@pytest.mark.parametrize("digest", [source_code.UNKNOWN, "0" * 64])
def test_code_that_is_not_here_gives_no_archive(digest):
    assert source_code.archive({"no_such_module_anywhere": digest}) is None
    assert source_code.archive({"nets": digest}) is None


def test_the_program_runs_from_its_archive(tmp_path):
    digests = {"nets": source_code.digest("nets")}
    archive = source_code.archive(digests, also=source_code.OWN)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        opened.extractall(tmp_path)
    code = (
        "import nets, studies.cli.main, tracking.provenance.source_code as code;"
        "print(nets.__file__, code.digest('nets'));"
        "studies.cli.main.main(['data', 'list'])"
    )
    done = run_to_end(
        [sys.executable, "-P", "-c", code],
        env={"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)}, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said, *rest = done.stdout.splitlines()
    assert said == f"{tmp_path / 'nets' / '__init__.py'} {digests['nets']}"
    assert any("digits" in line for line in rest)
