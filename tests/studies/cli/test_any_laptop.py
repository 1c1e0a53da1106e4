"""Machines other than a Linux server: macOS, a container with a part of the cores, Windows."""

import io
import json
import os
import runpy
import sys
from pathlib import Path

import pytest
from drivers import OBJECTIVES_PATH, write_study
from joblib.externals.loky.backend import context
from programs import run_to_end

import studies
from studies.cli.main import main
from studies.search.procedure import _jobs

ROOT = Path(__file__).parents[3]
REFUSAL = (
    "retrial does not run on native Windows: use WSL "
    "(https://learn.microsoft.com/windows/wsl/install), Linux or macOS"
)


def without_linux(*arguments):
    """Run a command in processes that lack what only Linux has; return what it prints."""
    folders = [str(ROOT / "tests/support/without_linux"), OBJECTIVES_PATH]
    return run_to_end(
        [sys.executable, *map(str, arguments)],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
    ).stdout


def test_processes_without_linux_lack_its_names():
    code = """
import os, pathlib, psutil
assert not hasattr(os, "sched_getaffinity") and psutil.Process().memory_info().rss
try:
    pathlib.Path("/proc/cpuinfo").read_text()
except FileNotFoundError:
    print("none")
"""
    assert without_linux("-c", code) == "none\n"


@pytest.mark.slow
def test_a_search_needs_nothing_that_only_linux_has(tmp_path):
    store = ("--store", tmp_path / "store")
    study = write_study(tmp_path, trials=4)
    found = without_linux("-m", "studies.cli.main", "search", study, *store)
    assert "4 of 4 trials" in found
    again = without_linux(
        "-m", "studies.cli.main", "reproduce", "best", "--study", "curves", *store, "--json"
    )
    assert json.loads(again)["verdict"] == "exact"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"/sys/fs/cgroup/cpu.max": "300000 100000"}, 3),
        ({"/sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
        ({"/sys/fs/cgroup/cpu.max": "max 100000"}, 16),
        (
            {
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        ({}, 16),
    ],
    ids=["v2", "a part of a core", "v2 without a quota", "v1", "no container"],
)
def test_number_of_workers_follows_the_cores_of_the_container(files, cores, monkeypatch):
    monkeypatch.setattr(context.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(context.os, "sched_getaffinity", lambda _: set(range(16)))
    exists = os.path.exists
    monkeypatch.setattr(
        context.os.path,
        "exists",
        lambda path: path in files if str(path).startswith("/sys/fs/cgroup") else exists(path),
    )
    monkeypatch.setattr(context, "open", lambda path: io.StringIO(files[path]), raising=False)
    assert _jobs(None, window=64, cluster=None, warn=print) == cores


def test_number_of_workers_is_that_of_the_cores_where_no_affinity_exists(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.delattr("psutil.Process.cpu_affinity")
    monkeypatch.setattr(context, "_cpu_count_cgroup", lambda cores: cores)
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert _jobs(None, window=64, cluster=None, warn=print) == 10


def test_native_windows_is_refused_at_the_start(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["search", "digits"]) == 2
    assert capsys.readouterr().err == f"{REFUSAL}\n"
    with pytest.raises(ImportError) as refused:
        studies.__getattr__("Study")
    assert str(refused.value) == REFUSAL


def test_native_windows_is_refused_at_the_installation(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as refused:
        runpy.run_path(str(ROOT / "setup.py"))
    assert refused.value.code == REFUSAL
    monkeypatch.undo()
    made = run_to_end(["make", "-C", ROOT, "OS=Windows_NT", "search"])
    assert made.returncode == 2
    assert f"*** {REFUSAL}.  Stop." in made.stderr
