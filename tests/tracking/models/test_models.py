"""MLflow loads and serves a trial's model without unpickling."""

import io
import os
import sys
import warnings
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from programs import run_to_end

from nets import Settings, objective
from nets.data import default_folder, load
from nets.outcome import Model
from tracking.models.model_folder import LARGEST_CODE, write_model_folder
from tracking.provenance import source_code
from tracking.runs.delivery import Delivery
from tracking.store import names

PREDICT = """
import sys
import mlflow
import numpy as np
from mlflow.models import Model

uri = sys.argv[1]
model = mlflow.pyfunc.load_model(uri)
example = Model.load(uri).load_input_example(mlflow.artifacts.download_artifacts(uri))
print(example.tolist(), model.predict(np.asarray(example, np.uint8)).tolist())
"""


@pytest.fixture
def logged(store, ledger, trials, environment, quick_figures):
    """The logged model of a delivered trial."""
    trials.whole(0)
    delivery = Delivery(store, ledger, ledger.study("digits"), environment)
    assert delivery.deliver() is None
    experiment = store.client.get_experiment_by_name("digits").experiment_id
    (model,) = store.client.search_logged_models([experiment])
    return model


def test_a_model_loads_and_predicts_in_a_fresh_process_that_must_not_unpickle(store, logged):
    process = run_to_end(
        [sys.executable, "-c", PREDICT, f"models:/{logged.model_id}"],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": store.uri,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        },
    )
    assert process.returncode == 0, process.stderr
    example = [[[[0], [1]], [[2], [3]]]]
    assert process.stdout.splitlines()[-1] == f"{example} {[[0.0, 2.0, 4.0, 6.0]]}"


def test_a_model_knows_the_trial_it_came_from(store, logged):
    run = store.client.get_run(logged.source_run_id)
    assert run.info.run_name == logged.name == "trial 0000"
    assert [output.model_id for output in run.outputs.model_outputs] == [logged.model_id]
    assert str(logged.status) == "READY"
    assert logged.params == {"learning_rate": "0.001"}
    assert {metric.key for metric in logged.metrics} == {"value", "epochs", "seconds"}
    assert "Trial 0 of the search **digits**: complete" in logged.tags[names.DESCRIPTION_TAG]


def test_the_metrics_of_a_model_name_their_data(store, logged):
    (data,) = store.client.get_run(logged.source_run_id).inputs.dataset_inputs
    named = {(metric.dataset_name, metric.dataset_digest) for metric in logged.metrics}
    assert named == {(data.dataset.name, data.dataset.digest)} == {("digits", "d" * 12)}


def test_once_delivered_the_ledger_no_longer_keeps_the_model(logged, ledger):
    assert ledger.model("digits", 0) is None


def test_a_model_folder_holds_no_pickle_and_pins_what_it_needs(tmp_path, trials):
    write_model_folder(
        tmp_path / "model", trials.model(), model_id="m-1", run_id="r", location="file:///there"
    )
    folder = tmp_path / "model"
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == {
        "MLmodel",
        "artifacts/weights.npz", "conda.yaml", "input_example.json", "model.py",
        "python_env.yaml", "requirements.txt", "serving_input_example.json",
    }  # fmt: skip
    requirements = (folder / "requirements.txt").read_text().split()
    assert f"numpy=={np.__version__}" in requirements
    assert all("==" in line for line in requirements)
    with np.load(folder / "artifacts" / "weights.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"factor", "image_shape", "classes"}


def test_a_model_folder_with_its_code_needs_no_installation_of_ours(tmp_path, trials):
    place = {"model_id": "m-1", "run_id": "r", "location": "file:///there"}
    write_model_folder(tmp_path / "with", trials.model(), code=b"an archive", **place)
    write_model_folder(tmp_path / "without", trials.model(), **place)
    large = bytes(LARGEST_CODE + 1)
    write_model_folder(tmp_path / "large", trials.model(), code=large, **place)
    assert (tmp_path / "with" / "code.zip").read_bytes() == b"an archive"

    def required(name):
        lines = (tmp_path / name / "requirements.txt").read_text().splitlines()
        return [line.partition("==")[0] for line in lines]

    assert required("with") == ["mlflow", "numpy", "threadpoolctl"]
    assert required("large") == required("without")
    assert not (tmp_path / "large" / "code.zip").exists()
    assert required("without") == ["mlflow", "numpy", "threadpoolctl"]


def test_a_model_with_shapes_gets_a_signature_and_one_without_gets_none(tmp_path, trials):
    from mlflow.models import Model as Metadata

    with_shapes, without = trials.model(), Model("import mlflow\n", {"factor": np.float32(2)})
    for name, model in (("with", with_shapes), ("without", without)):
        write_model_folder(tmp_path / name, model, model_id="m", run_id="r", location="")
    signature = Metadata.load(tmp_path / "with").signature
    assert signature.inputs.to_dict() == [
        {"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": (-1, 2, 2, 1)}}
    ]
    assert signature.outputs.to_dict() == [
        {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": (-1, 4)}}
    ]
    assert Metadata.load(tmp_path / "without").signature is None
    assert not (tmp_path / "without" / "input_example.json").exists()


def test_the_name_of_the_weights_is_the_one_that_a_models_source_asks_for():
    from importlib.resources import files

    source = files("nets").joinpath("model_template.py.txt").read_text()
    assert f'context.artifacts["{names.WEIGHTS}"]' in source


@pytest.mark.parametrize("changed", [False, True])
def test_a_model_says_when_it_runs_with_other_code_than_its_own(changed, tmp_path):
    settings, data = Settings(hidden=(4,), epochs=1), load("digits", default_folder())
    model = objective(settings, data, lambda epoch: None).model
    weights = tmp_path / "artifacts" / names.WEIGHTS_FILE
    weights.parent.mkdir()
    np.savez(weights, **model.arrays)
    code = source_code.archive({"nets": source_code.digest("nets")})
    if changed:  # the process has loaded another nets than this model brings along
        code = code_with(code, "nets/functions.py", b"# another one\n")
    (tmp_path / names.MODEL_CODE_FILE).write_bytes(code)
    source = {}
    exec(model.source, source)
    context = SimpleNamespace(artifacts={names.WEIGHTS: str(weights)})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        source["Classifier"]().load_context(context)
    assert ["whose nets/functions.py differs" in str(one.message) for one in said] == (
        [True] if changed else []
    )


def code_with(archive, path, content):
    """Return an archive in which the content of a file is replaced."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as read, zipfile.ZipFile(buffer, "w") as written:
        for name in read.namelist():
            written.writestr(name, content if name == path else read.read(name))
    return buffer.getvalue()
