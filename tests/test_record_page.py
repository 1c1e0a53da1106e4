"""docs/record.md: run its programs exactly as the page shows them, on a recorded study."""

import os
import re
import sys
from pathlib import Path

import pytest
from programs import run_to_end

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "record.md").read_text("utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)

pytestmark = pytest.mark.slow


def run(*command, folder):
    environment = {name: os.environ[name] for name in os.environ if name != "MLFLOW_TRACKING_URI"}
    done = run_to_end(
        [sys.executable, *command], cwd=folder, env={**environment, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a store that has a study and its champion, and with an ONNX file."""
    folder = tmp_path_factory.mktemp("record")
    for command in (
        "search digits --trials 3", "confirm digits --top 1 --seeds 2",
        "export best digits.onnx --study digits",
    ):  # fmt: skip
        run("-m", "studies.cli.main", *command.split(), folder=folder)
    return folder


def test_the_programs_of_the_page_read_the_record(folder):
    runtime, from_python = PROGRAMS
    run("-c", runtime + "assert probabilities.shape == (3, 10)", folder=folder)
    output = run("-c", from_python, folder=folder).splitlines()
    assert [line.split()[1:3] for line in output[1:4]] == [["trial", f"000{n}"] for n in (2, 1, 0)]
    assert output[4].startswith("2 {'")
    assert output[5] == "(3, 10)"
