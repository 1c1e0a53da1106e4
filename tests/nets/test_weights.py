"""Foreign weights: the published network's 9,871, and clear errors for arrays that do not fit."""

import os
from pathlib import Path

import numpy as np
import pytest

from nets.architectures import build
from nets.data import load
from nets.errors import InputError
from nets.evaluation import evaluate
from nets.kernels.plan import executor
from nets.layers import Affine, BatchNormalization, Convolution, Flatten
from nets.network import Network
from nets.settings import Settings
from nets.weights import default_names, load_foreign

PUBLISHED = "seed-weights/deep_convnet_9871.npz"


def published_weights():
    folder = os.environ.get("RETRIAL_DATA")
    if folder is None:
        pytest.skip("needs the published weights: set RETRIAL_DATA to the folder that has them")
    path = Path(folder, PUBLISHED)
    if not path.exists():
        pytest.skip(f"needs the published weights, RETRIAL_DATA has no {PUBLISHED}")
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.mark.slow
@pytest.mark.parametrize("form", [lambda network: network, executor], ids=["plain", "fast"])
def test_published_weights_classify_9871_test_images_right(form, mnist_folder):
    arrays = published_weights()
    data = load("mnist", mnist_folder)
    settings = Settings(architecture="deep_convnet", dropout=0.5)
    network = build(settings, data.image_shape, data.classes, None)
    load_foreign(network, arrays)
    score = evaluate(form(network), data.test_images, data.test_labels, data.full_scale)
    assert round(score.accuracy * 10_000) == 9_871


def small_network():
    return Network([Convolution(3, (2, 2)), Flatten(), Affine(4)], (4, 3, 2), np.float64)


def arrays_for_it(generator):
    return {
        "W1": generator.standard_normal((3, 2, 2, 2)),
        "b1": generator.standard_normal(3),
        "W2": generator.standard_normal((3 * 3 * 2, 4)),
        "b2": generator.standard_normal(4),
    }


def channels_first(arrays, x):
    """The same network in the other layout, by its definition."""
    x = np.moveaxis(x, 3, 1)
    features = np.zeros((len(x), 3, 3, 2))
    for i in range(3):
        for j in range(2):
            window = x[:, :, i : i + 2, j : j + 2]
            features[:, :, i, j] = np.einsum("bcuv,fcuv->bf", window, arrays["W1"]) + arrays["b1"]
    return features.reshape(len(x), -1) @ arrays["W2"] + arrays["b2"]


def test_foreign_weights_compute_the_same_in_our_layout(generator):
    network, arrays = small_network(), arrays_for_it(generator)
    load_foreign(network, arrays)
    x = generator.standard_normal((5, 4, 3, 2))
    np.testing.assert_allclose(network.predict(x), channels_first(arrays, x), rtol=1e-12)


def test_affine_weights_may_have_their_outputs_first(generator):
    network, other, arrays = small_network(), small_network(), arrays_for_it(generator)
    load_foreign(network, arrays)
    load_foreign(other, arrays | {"W2": arrays["W2"].T}, outputs_first=True)
    np.testing.assert_array_equal(other.parameters, network.parameters)


def test_names_may_be_given_and_statistics_are_loaded_too(generator):
    network = Network([Affine(2), BatchNormalization()], (3,), np.float64)
    names = {
        "affine1.weight": "fc.weight", "affine1.bias": "fc.bias",
        "batch_normalization1.scale": "bn.weight", "batch_normalization1.shift": "bn.bias",
        "batch_normalization1.mean": "bn.running_mean",
        "batch_normalization1.variance": "bn.running_var",
    }  # fmt: skip
    arrays = {"fc.weight": generator.standard_normal((3, 2))} | {
        name: generator.random(2) for name in names.values() if name != "fc.weight"
    }
    load_foreign(network, arrays, names)
    np.testing.assert_array_equal(network.named["affine1.weight"], arrays["fc.weight"])
    np.testing.assert_array_equal(
        network.statistics, np.concatenate([arrays["bn.running_mean"], arrays["bn.running_var"]])
    )


def test_default_names_count_the_layers_with_weights():
    assert default_names(small_network()) == {
        "convolution1.weight": "W1", "convolution1.bias": "b1",
        "affine1.weight": "W2", "affine1.bias": "b2",
    }  # fmt: skip


WRONG = [
    ({"W1": None}, r"convolution1.weight: got none, expected array W1 of shape \(3, 2, 2, 2\)"),
    (
        {"W1": np.zeros((2, 2, 2, 3))},
        r"convolution1.weight: got \(2, 2, 2, 3\), expected array W1 of shape \(3, 2, 2, 2\)",
    ),
    ({"b2": np.zeros(5)}, r"affine1.bias: got \(5,\), expected array b2 of shape \(4,\)"),
    (
        {"b2": np.full(4, np.nan)},
        "affine1.bias: NaN or infinity in b2",
    ),
    ({"b2": np.array(list("abcd"))}, "affine1.bias: got '<U1', expected numbers in b2"),
    (
        {"W3": np.zeros(3)},
        r"weights: unused W3, expected W1, b1, W2, b2",
    ),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_weights_that_do_not_fit_are_refused_and_change_nothing(change, message, generator):
    network = small_network()
    arrays = arrays_for_it(generator) | change
    with pytest.raises(InputError, match=f"^{message}"):
        load_foreign(network, {k: v for k, v in arrays.items() if v is not None})
    assert not network.parameters.any()


def test_a_missing_name_is_reported():
    network = Network([BatchNormalization()], (2,))
    with pytest.raises(
        InputError, match=r"^batch_normalization1.scale: got none, .*missing in names"
    ):
        load_foreign(network, {})
