"""docs/python.md: run its files and commands, and compare its names with the code."""

import re
import sys
from pathlib import Path

import pytest
from drivers import OBJECTIVES_PATH
from programs import run_to_end

import studies

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text("utf-8")
FILES = re.findall(r"^```python\n(# (\S+\.py).*?)^```", PAGE, re.M | re.S)


@pytest.mark.slow
def test_the_files_and_commands_of_the_page_work(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", OBJECTIVES_PATH)
    assert [name for _, name in FILES] == ["quick.py", "results.py"]
    for text, name in FILES:
        (tmp_path / name).write_text(text)
    commands = re.findall(r"^\$ (python|retrial) (.*)$", PAGE, re.M)
    assert [program for program, _ in commands] == ["python", "retrial"]
    start = {"python": [], "retrial": ["-m", "studies.cli.main"]}
    for program, arguments in [*commands, ("python", "results.py")]:
        command = [sys.executable, *start[program], *arguments.split()]
        done = run_to_end(command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "exact []"
    assert (tmp_path / "history.png").stat().st_size > 1000


def test_the_page_names_what_a_study_has():
    named = set(re.findall(r"\b\w+\b", PAGE))
    assert {name for name in vars(studies.Study) if not name.startswith("_")} <= named | {
        "check", "tables",
    }  # fmt: skip
    inherited = {name for name in vars(studies.Study.__base__) if not name.startswith("_")}
    assert inherited <= named
