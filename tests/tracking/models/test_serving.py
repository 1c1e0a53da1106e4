"""MLflow's own commands predict with a trial's and a champion's model, without pickle."""

import json
import os
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from library_models import X, made
from programs import Program, free_port, run_to_end
from waiting import PATIENCE

from nets import objective
from nets.data import default_folder, load
from nets.model_source import probabilities, restore
from nets.settings import Settings
from studies.objective.models import saved
from tracking.models import registry
from tracking.provenance import source_code
from tracking.runs.content import log_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits():
    return load("digits", default_folder())


@pytest.fixture(scope="module")
def model(digits):
    settings = Settings(hidden=(16,), epochs=2, learning_rate=0.01)
    return objective(settings, digits, lambda epoch: None).model


@pytest.fixture
def registered(store, model):
    """The URIs of a logged model and of the champion that it is registered as."""
    client = store.client
    experiment = client.create_experiment("digits", store.artifact_location)
    run_id = client.create_run(experiment).info.run_id
    code = source_code.archive({"nets": source_code.digest("nets")})
    model_id = log_model(
        store, experiment, run_id, model, name="trial 0000", tags={}, params={}, step=2, code=code
    )
    registry.register(store, "digits", run_id=run_id, model_id=model_id, description="", tags={})
    return [f"models:/{model_id}", "models:/digits@champion"]


@pytest.fixture
def strict(store, monkeypatch):
    """MLflow's commands use the store and must not unpickle."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    # MLflow starts uvicorn by its name.
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )


@pytest.fixture
def request_body(digits):
    """A request with three images in MLflow's protocol."""
    return json.dumps({"inputs": digits.test_images[:3].tolist()}).encode()


def assert_answers(content, model, digits):
    network, full_scale, _ = restore(model.arrays)
    expected = probabilities(network, full_scale, digits.test_images[:3])
    np.testing.assert_allclose(json.loads(content)["predictions"], expected, rtol=1e-5)


def test_mlflow_models_predict_answers_for_images(
    registered, strict, request_body, model, digits, tmp_path
):
    (tmp_path / "images.json").write_bytes(request_body)
    for place, address in enumerate(registered):
        output = tmp_path / f"answer{place}.json"
        done = run_to_end(
            [
                sys.executable, "-m", "mlflow", "models", "predict", "--model-uri", address,
                "--input-path", tmp_path / "images.json", "--content-type", "json",
                "--output-path", output, "--env-manager", "local",
            ]
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert_answers(output.read_bytes(), model, digits)


def test_a_model_answers_in_an_environment_made_for_it_without_retrial(
    registered, strict, request_body, model, digits, tmp_path, monkeypatch
):
    pytest.importorskip("uv", reason="MLflow makes environments with uv")
    (tmp_path / "images.json").write_bytes(request_body)
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "environments"))
    done = run_to_end(
        [
            sys.executable, "-m", "mlflow", "models", "predict", "--model-uri", registered[1],
            "--input-path", tmp_path / "images.json", "--content-type", "json",
            "--output-path", tmp_path / "answer.json", "--env-manager", "uv",
        ]
    )  # fmt: skip
    if done.returncode and "Failed to fetch" in done.stderr:
        pytest.skip(f"no package index answers: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "retrial" not in done.stderr.partition("Installed ")[2]
    assert_answers((tmp_path / "answer.json").read_bytes(), model, digits)


def test_mlflow_models_serve_answers_for_images_over_http(
    registered, strict, request_body, model, digits
):
    port = free_port()
    program = Program(
        "-m", "mlflow", "models", "serve", "--model-uri", registered[1], "--port", port,
        "--env-manager", "local",
    )  # fmt: skip
    program.wait_until_it_listens()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        request_body,
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        assert_answers(response.read(), model, digits)


@pytest.mark.parametrize("name", ["svc", "network"])
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlflow_models_serve_answers_for_a_model_of_a_library(store, strict, name, monkeypatch):
    model, answers = made(name)
    if name == "svc":  # MLflow refuses skops together with pickle
        monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    client = store.client
    experiment = client.create_experiment("library", store.artifact_location)
    run_id = client.create_run(experiment).info.run_id
    model_id = log_model(
        store, experiment, run_id, saved(model, X[:4]), name="trial 0000", tags={}, params={},
        step=1,
    )  # fmt: skip
    registry.register(store, "library", run_id=run_id, model_id=model_id, description="", tags={})
    port = free_port()
    program = Program(
        "-m", "mlflow", "models", "serve", "--model-uri", "models:/library@champion",
        "--port", port, "--env-manager", "local",
    )  # fmt: skip
    program.wait_until_it_listens()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps({"inputs": X.tolist()}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        found = json.loads(response.read())["predictions"]
    np.testing.assert_array_equal(
        np.asarray(found, np.asarray(answers(model)).dtype), np.asarray(answers(model))
    )
