"""Search, confirm, confirm again, predict and export, as programs, through an MLflow server."""

import json
import os
import signal
import sys

import numpy as np
import pytest
from mlflow_server import MLflowServer
from onnx_runtime import answers
from PIL import Image
from programs import Program, run_to_end

from nets.data import default_folder, load

pytestmark = pytest.mark.slow

STUDY = """
[study]
name = "small"
trials = 4
window = 4

[data]
name = "digits"
validation = 360

[network]
hidden = [16]

[training]
epochs = 6

[space]
learning_rate = { low = 3e-3, high = 3e-2, log = true }
"""


@pytest.fixture
def server(tmp_path):
    """An MLflow server on SQLite, with artifacts through it; returns its address."""
    server = MLflowServer(f"sqlite:///{tmp_path}/server.db", tmp_path / "files")
    server.start()
    return server.url


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(STUDY)
    return path


def retrial(*arguments, store, **environment):
    """Run a command; return its exit code, output and errors."""
    done = run_to_end(
        [sys.executable, "-m", "studies.cli.main", *arguments, "--store", store],
        env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_study_is_confirmed_and_its_champion_used_through_a_server(server, study, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    on = {"MLFLOW_TRACKING_URI": server}
    code, _, errors = retrial("search", study, store=here, **on)
    assert (code, errors) == (0, "")

    code, output, errors = retrial(
        "confirm", "small", "--top", 2, "--seeds", 2, "--json", store=here, **on
    )
    assert (code, errors) == (0, "")
    found = json.loads(output)
    assert found["model"] == {"name": "small", "version": "1"}
    assert found["test"]["count"] == 360

    code, output, errors = retrial("reproduce", found["run_id"], "--json", store=here, **on)
    assert (code, json.loads(output)["verdict"]) == (0, "exact"), errors

    # Another ledger of the same study, as on another machine: the record is the server's.
    retrial("search", study, store=there, **on)
    code, output, errors = retrial("confirm", "small", "--json", store=there, **on)
    assert (code, errors) == (0, "")
    assert json.loads(output) == found

    image = load("digits", default_folder()).test_images[0, ..., 0]
    Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8)).save(tmp_path / "2.png")
    code, output, errors = retrial("predict", "small", tmp_path / "2.png", store=tmp_path, **on)
    assert (code, errors) == (0, "")
    assert output.startswith("small/1, test accuracy 0.")

    code, output, errors = retrial("export", "small", tmp_path / "2.onnx", store=tmp_path, **on)
    assert (code, errors) == (0, "")
    assert answers(tmp_path / "2.onnx", image[np.newaxis, ..., np.newaxis]).argmax() == 2

    assert (tmp_path / "server.db").exists()
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_confirm_that_is_ended_goes_on_with_the_same_command(sign, study, tmp_path):
    store, undisturbed = tmp_path / "store", tmp_path / "undisturbed"
    options = ["confirm", "small", "--top", 2, "--seeds", 4, "--no-record", "--json"]
    for each in (store, undisturbed):
        retrial("search", study, "--no-record", store=each)
    expected = json.loads(retrial(*options, store=undisturbed)[1])
    program = Program("-m", "studies.cli.main", *options[:-1], "--jobs", 2, "--store", store)
    program.wait_for("seed 1 of 4")
    program.signal(sign)
    if sign == signal.SIGTERM:
        left = "the same command continues it, with the trainings that have finished"
        assert (program.wait(), program.lines[-1]) == (130, f"interrupted: {left}")
        assert not [line for line in program.lines if "Traceback" in line or "leaked" in line]
    else:
        assert program.wait() == -signal.SIGKILL

    code, output, errors = retrial(*options, store=store)

    assert (code, errors) == (0, "")
    assert without_times(json.loads(output)) == without_times(expected)


def without_times(found):
    for timed in [found["champion"], *(r for c in found["candidates"] for r in c["repetitions"])]:
        timed["seconds"] = None
    return {**found, "at": None}
