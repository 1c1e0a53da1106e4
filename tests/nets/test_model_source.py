"""A trained network as a file and arrays, and restored from them."""

import ast
import json
from dataclasses import replace

import numpy as np
import pytest

from nets.architectures import build
from nets.data import Dataset
from nets.errors import InputError
from nets.functions import softmax
from nets.model_source import probabilities, restore, to_model
from nets.settings import Settings

SETTINGS = Settings(architecture="lenet", batch_normalization=True, dropout=0.2)


@pytest.fixture
def data():
    images = np.arange(3 * 6 * 5, dtype=np.uint8).reshape(3, 6, 5, 1)
    labels = np.array([0, 1, 2], np.uint8)
    return Dataset(
        name="ramps", images=images, labels=labels, test_images=images, test_labels=labels,
        classes=3, full_scale=200,
    )  # fmt: skip


@pytest.fixture
def network(data, generator):
    network = build(SETTINGS, data.image_shape, data.classes, generator)
    network.statistics[:] = generator.uniform(0.5, 1.5, network.statistics.size)
    return network


@pytest.fixture
def model(network, data):
    return to_model(SETTINGS, data, network.parameters, network.statistics)


def test_a_restored_network_predicts_the_same(model, network, data):
    restored, full_scale, classes = restore(model.arrays)
    assert (full_scale, classes) == (200, 3)
    x = (data.images / 200).astype(np.float32)
    np.testing.assert_array_equal(restored.predict(x), network.predict(x))


def test_arrays_survive_an_npz_file_without_pickle(model, tmp_path):
    np.savez(tmp_path / "weights.npz", **model.arrays)
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as arrays:
        restored, _, _ = restore(dict(arrays))
    np.testing.assert_array_equal(restored.parameters, model.arrays["parameters"])


def test_arrays_are_copies(model, network):
    before = model.arrays["parameters"].copy()
    network.parameters += 1
    np.testing.assert_array_equal(model.arrays["parameters"], before)


def test_names_of_classes_go_with_a_model_that_has_them(model, network, data):
    assert "label_names" not in model.arrays
    named = replace(data, label_names=("up", "down", "$x"))
    arrays = to_model(SETTINGS, named, network.parameters, network.statistics).arrays
    assert arrays["label_names"].tolist() == ["up", "down", "$x"]
    assert not arrays["label_names"].dtype.hasobject


def test_only_models_of_digits_have_a_fill(model, network, data):
    assert "fill" not in model.arrays
    digits = replace(data, name="digits")
    framed = to_model(SETTINGS, digits, network.parameters, network.statistics)
    assert 0 < framed.arrays["fill"] <= 1


@pytest.mark.parametrize("name", ["settings", "parameters", "full_scale"])
def test_a_missing_array_is_named(model, name):
    arrays = {key: array for key, array in model.arrays.items() if key != name}
    with pytest.raises(InputError, match=f"^model: no {name}, expected arrays settings, "):
        restore(arrays)


def test_arrays_of_another_network_are_refused(model):
    arrays = dict(model.arrays) | {"parameters": np.zeros(7, np.float32)}
    with pytest.raises(InputError, match=r"^model.parameters: got \(7,\), expected"):
        restore(arrays)


def json_of(model, **changes):
    """Return a model's settings as their array, with changes."""
    settings = json.loads(model.arrays["settings"].tobytes())
    return np.frombuffer(json.dumps({**settings, **changes}).encode(), np.uint8)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("settings", np.frombuffer(b"{", np.uint8), r"settings: no settings: Expecting property"),
        ("settings", np.frombuffer(b"[3]", np.uint8), r"settings: "),
        ("settings", np.frombuffer(b"[" * 99_999, np.uint8), r"settings: no settings: maximum rec"),
        ("settings", np.array("{}"), r"settings: no settings: "),
        ("image_shape", np.array([6, 5]), r"image_shape: got int64 \(2,\), expected positive int"),
        ("image_shape", np.array([10**9, 10**9, 1]), r": no network of its settings: "),
        ("image_shape", np.array([1, 1, 1]), r".*images of shape \(1, 1, 1\) do not fit"),
        ("classes", np.array("3"), r"classes: got <U1 \(\), expected positive integers, 1 in"),
        ("classes", np.array(10**15), r"parameters: got .*, expected more for 1000000000000000 un"),
        ("full_scale", np.array(np.nan), r"full_scale: got float64 \(\), expected positive integ"),
        ("full_scale", np.array(0), r"full_scale: got "),
        ("parameters", np.zeros(9, int), r"parameters: got 'int64', expected float32 or float64"),
        ("statistics", np.zeros(9, "U2"), r"statistics: got '<U2', expected float32 or float64"),
        ("statistics", np.zeros((3, 3)), r"statistics: got \(3, 3\), expected \("),
        ("fill", np.array(np.nan), r"fill: got nan, expected a number in \(0, 1\]"),
        ("fill", np.array(["x"]), r"fill: got \['x'\], expected a number in"),
        ("label_names", np.array(["a", "b"]), r"label_names: got <U1 \(2,\), expected 3 strings"),
        ("label_names", np.arange(3), r"label_names: got int64 \(3,\), expected 3 strings"),
    ],
)
def test_a_damaged_array_is_named(model, name, array, message):
    with pytest.raises(InputError, match=f"^model\\.?{message}"):
        restore({**model.arrays, name: array})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architecture": "mlp", "hidden": [10**12]},
            r"parameters: got .* for 1000000000003 units",
        ),
        ({"architecture": "mlp", "hidden": [3]}, r"parameters: got .*, expected \(108,\) for its"),
        ({"dropout": 2}, r"dropout: got 2, expected a number in"),
        ({"unknown": 2}, r"settings: unknown unknown, expected activation"),
    ],
)
def test_settings_of_another_network_are_refused(model, changes, message):
    with pytest.raises(InputError, match=f"^model.{message}"):
        restore({**model.arrays, "settings": json_of(model, **changes)})


@pytest.mark.parametrize("shape", [(3, 6, 5, 1), (3, 6, 5), (3, 30)])
def test_probabilities_accept_images_in_their_original_scale(network, data, shape):
    expected = softmax(network.predict((data.images / 200).astype(np.float32)))
    received = probabilities(network, 200, data.images.reshape(shape))
    np.testing.assert_allclose(received, expected, rtol=1e-5)
    np.testing.assert_allclose(received.sum(axis=1), 1, rtol=1e-6)


def test_probabilities_of_many_images_are_those_of_each(network, generator):
    images = generator.integers(200, size=(450, 6, 5, 1), dtype=np.uint8)
    whole = probabilities(network, 200, images)
    np.testing.assert_allclose(whole[440:], probabilities(network, 200, images[440:]), rtol=1e-5)
    assert whole.shape == (450, 3)


WRONG = [
    (
        np.zeros((3, 5, 6, 1)),
        r"images: got \(3, 5, 6, 1\), expected \(n, 6, 5, 1\) or \(n, 30\)",
    ),
    (np.zeros(30), r"images: got \(30,\), expected \(n, 6, 5, 1\) or \(n, 30\)"),
    (np.zeros((0, 30)), r"network.input: got \(0, 6, 5, 1\), .* at least one row"),
    (np.full((1, 30), 201), r"pixels: got 201 to 201, expected 0 to 200"),
    (np.full((1, 30), -1.0), r"pixels: got -1\.0 to -1\.0, expected 0 to 200"),
    (np.full((1, 30), np.nan), r"pixels: got nan to nan, expected 0 to 200"),
]


@pytest.mark.parametrize(("images", "message"), WRONG)
def test_images_that_do_not_fit_are_refused(network, images, message):
    with pytest.raises(InputError, match=f"^{message}"):
        probabilities(network, 200, images)


def test_the_source_is_a_file_that_mlflow_can_run(model):
    tree = ast.parse(model.source)
    assert ast.get_docstring(tree)
    (classifier,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    arguments = {
        node.name: [argument.arg for argument in node.args.args]
        for node in classifier.body
        if isinstance(node, ast.FunctionDef)
    }
    assert arguments == {
        "load_context": ["self", "context"],
        "predict": ["self", "context", "model_input", "params"],
    }
    assert "allow_pickle=False" in model.source
    assert ast.unparse(tree.body[-1]) == "mlflow.models.set_model(Classifier())"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")  # MLflow's of its own modules
def test_mlflow_loads_the_model_and_predicts_with_it(model, network, data, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    (tmp_path / "model.py").write_text(model.source)
    np.savez(tmp_path / "weights.npz", **model.arrays)
    mlflow.pyfunc.save_model(
        tmp_path / "saved",
        python_model=str(tmp_path / "model.py"),
        artifacts={"weights": str(tmp_path / "weights.npz")},
        pip_requirements=["numpy"],
    )
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    np.testing.assert_array_equal(
        loaded.predict(data.images), probabilities(network, data.full_scale, data.images)
    )
