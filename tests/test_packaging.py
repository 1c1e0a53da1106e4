"""The distribution: a wheel has every file and works where only it is installed; images, CI."""

import json
import os
import re
import shlex
import shutil
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from programs import run_to_end

ROOT = Path(__file__).parents[1]
PACKAGES = ("nets", "studies", "tracking")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DOCKERFILE = [
    line.partition(" ")[::2]
    for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    if not line.startswith("#")
]


def arguments(instruction):
    return [text for name, text in DOCKERFILE if name == instruction]


def copied():
    """Yield (source, target) of the Dockerfile's COPY instructions."""
    for text in arguments("COPY"):
        *sources, target = text.split()
        for source in sources:
            yield source, f"./{source}" if target.endswith("/") else target


def files(folder):
    return {
        path.relative_to(folder.parent).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built by way of the source distribution from the files of the Docker image.

    Without isolation: the setuptools of this environment builds it, and nothing is downloaded.
    """
    pytest.importorskip("build")
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name, target in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, source / target)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", built]
    run_to_end(command, cwd=source, check=True)
    assert len(list(built.glob("retrial_studies-*.tar.gz"))) == 1
    (wheel,) = built.glob("retrial_studies-*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The bin folder of an environment that has the wheel, and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("environment")
    run_to_end([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    # Their own .pth files are not read, so an editable installation of the checkout is not seen.
    dependencies = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(dependencies))
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run_to_end([*pip, "install", "--no-index", "--no-deps", wheel], check=True)
    return folder / "bin"


def run(command, folder):
    environment = {key: text for key, text in os.environ.items() if key != "PYTHONPATH"}
    return run_to_end(command, cwd=folder, env=environment, check=True).stdout


@pytest.mark.slow
def test_a_wheel_has_every_file_of_the_packages(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == set().union(*(files(ROOT / package) for package in PACKAGES))
    assert {"nets/py.typed", "nets/model_template.py.txt", "studies/digits.toml"} < names


@pytest.mark.slow
def test_the_wheel_searches_where_only_it_is_installed(installed, tmp_path):
    found = run([installed / "retrial", "search", "digits", "--trials", "2"], tmp_path)
    assert "digits: 2 of 2 trials, best val_accuracy 0.9" in found
    assert re.search(r"^best: trial \d  val_accuracy 0\.9", found, re.M)
    assert (tmp_path / "mlruns" / "ledger.db").is_file()
    found = run([installed / "retrial", "--version"], tmp_path)
    assert found == f"retrial {PROJECT['version']}\n"


@pytest.mark.slow
def test_the_server_of_the_ui_is_found_in_the_wheel(installed, tmp_path):
    program = (
        "import importlib.metadata, sys;"
        "(entry,) = importlib.metadata.entry_points(group='mlflow.app', name='retrial');"
        "print(sys.modules[entry.load().__module__].__file__)"
    )
    found = run([installed / "python", "-c", program], tmp_path)
    assert Path(found.strip()).is_relative_to(installed.parent)


def test_the_image_installs_what_exists_and_starts_a_command():
    assert all((ROOT / source).exists() for source, _ in copied())
    (install,) = map(shlex.split, arguments("RUN"))
    assert install[:2] == ["pip", "install"]
    (extras,) = re.fullmatch(r"\.\[(.*)\]", install[-1]).groups()
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert install[install.index("--constraint") + 1] in {source for source, _ in copied()}
    (command,) = map(json.loads, arguments("CMD"))
    assert command[0] in PROJECT["scripts"]


def test_python_of_the_image_and_of_ci_is_the_first_supported():
    (image,) = arguments("FROM")
    needed = PROJECT["requires-python"].removeprefix(">=")
    assert image.startswith(f"python:{needed}-")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == [needed]


def test_ci_runs_the_script_that_exists_on_linux_and_macos():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    job = workflow["jobs"]["test"]
    assert job["strategy"]["matrix"]["os"] == ["ubuntu-latest", "macos-latest"]
    (script,) = (step["run"] for step in job["steps"] if "run" in step)
    assert os.access(ROOT / script, os.X_OK)
