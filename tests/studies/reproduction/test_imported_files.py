"""Helpers that the recorded code does not have: their digests are recorded, changes are named."""

import contextlib
import hashlib
import json
import os
import sys

import pytest
from drivers import ledger_of
from programs import run_to_end

from tracking.runs import reader

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload``"),  # SQLAlchemy's to MLflow
]

OBJECTIVE = """
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import beside
import helper
from nets.outcome import Epoch, Outcome

spec = importlib.util.spec_from_file_location("any", Path(__file__).with_name("plug_in.py"))
plug_in = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plug_in)


@dataclass(frozen=True, kw_only=True)
class Settings:
    rate: float = 0.5
    epochs: int = 3
    seed: int = 0


def objective(settings, data, report):
    try:
        import optional
    except ImportError:
        optional = helper
    value = settings.rate
    for number in range(1, settings.epochs + 1):
        value *= helper.FACTOR + plug_in.FACTOR + beside.FACTOR + optional.FACTOR
        report(Epoch(number, {"value": value}, 0.1))
    return Outcome(settings.epochs)
"""
STUDY = """
[study]
objective = "descent:objective"
settings = "descent:Settings"
metric = "value"
direction = "maximize"
trials = 3
window = 2

[space]
rate = { low = 0.1, high = 0.9 }
"""
FACTOR = "FACTOR = 0.25\n"
DIGEST = hashlib.sha256(FACTOR.encode()).hexdigest()


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A folder with the store of a study, its objective, and helpers in two folders."""
    folder = tmp_path_factory.mktemp("helpers")
    (folder / "study").mkdir()
    (folder / "shared").mkdir()
    (folder / "study" / "descent.py").write_text(OBJECTIVE)
    (folder / "study" / "descent.toml").write_text(STUDY)
    for path in ("study/beside", "study/plug_in", "shared/helper"):
        (folder / f"{path}.py").write_text(FACTOR)
    done = retrial(folder, "search", "descent.toml", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    return folder


def retrial(folder, *arguments):
    path = [str(folder / "shared"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return run_to_end(
        [sys.executable, "-m", "studies.cli.main", *arguments, "--store", folder / "store"],
        cwd=folder / "study", env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )  # fmt: skip


def verdict_of(folder, *more):
    done = retrial(folder, "reproduce", "1", "--study", "descent", "--json", *more)
    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout)
    return verdict["verdict"], verdict["differences"]


def test_each_trial_has_the_files_that_the_recorded_code_does_not_have(searched):
    expected = {"helper.py": DIGEST, "plug_in.py": DIGEST}
    with contextlib.closing(ledger_of(searched / "store")) as ledger:
        environments = [trial.outcome.environment for trial in ledger.trials("descent")]
        driver = ledger.study("descent").environment
    assert [found.imported for found in environments] == [expected] * 3
    assert all({"nets", "descent", "beside"} == found.code.keys() for found in environments)
    assert driver.imported is None
    with reader.open_with_trials(searched / "store") as store:
        recorded = reader.find_trial(store, "descent", "2")
    assert recorded.environment.imported == expected


def test_nothing_has_changed(searched):
    assert verdict_of(searched) == ("exact", [])
    assert verdict_of(searched, "--at", "2") == ("exact", [])


@pytest.mark.parametrize("more", [(), ("--at", "2")])
@pytest.mark.parametrize("path", ["shared/helper", "study/plug_in"])
def test_a_helper_that_computes_something_else_is_named(searched, path, more):
    file = searched / f"{path}.py"
    file.write_text("FACTOR = 0.125\n")
    try:
        verdict, (_, *causes) = verdict_of(searched, *more)
    finally:
        file.write_text(FACTOR)
    now = hashlib.sha256(b"FACTOR = 0.125\n").hexdigest()
    assert verdict == "diverged"
    assert causes == [f"imported: {file.name} was {DIGEST[:12]}, is {now[:12]}"]


def test_a_helper_that_was_added_is_named(searched):
    file = searched / "shared" / "optional.py"
    file.write_text("FACTOR = 0.125\n")
    try:
        verdict, (_, *causes) = verdict_of(searched)
    finally:
        file.unlink()
    assert verdict == "diverged"
    assert [cause[:38] for cause in causes] == ["imported: optional.py was not imported"]


def test_a_helper_that_computes_the_same_is_exact_and_named(searched):
    file = searched / "shared" / "helper.py"
    file.write_text(f"# a word\n{FACTOR}")
    try:
        verdict, causes = verdict_of(searched)
    finally:
        file.write_text(FACTOR)
    assert verdict == "exact"
    assert [cause[:23] for cause in causes] == ["imported: helper.py was"]


def test_the_recorded_code_stands_for_code_only(searched):
    """A helper beside the objective is in the recorded code, so it is `code` that differs."""
    file = searched / "study" / "beside.py"
    file.write_text("FACTOR = 0.125\n")
    try:
        verdict, (_, *causes) = verdict_of(searched)
    finally:
        file.write_text(FACTOR)
    assert verdict == "diverged"
    assert [cause[:17] for cause in causes] == ["code: beside was "]
