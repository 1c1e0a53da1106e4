"""Architectures: their layers, their sizes, their gradients."""

import math
import re

import numpy as np
import pytest

from nets.architectures import ARCHITECTURES, build
from nets.errors import InputError
from nets.gradient_checker import check_network
from nets.layers import ACTIVATIONS, Affine, BatchNormalization, Dropout
from nets.losses import CrossEntropy
from nets.settings import Settings

VARIANTS = {
    "mlp": Settings(architecture="mlp", hidden=(7, 5)),
    "mlp without hidden layers": Settings(architecture="mlp", hidden=()),
    "mlp with everything": Settings(
        architecture="mlp", hidden=(7,), batch_normalization=True, dropout=0.3, activation="gelu"
    ),
    "lenet": Settings(architecture="lenet"),
    "lenet with everything": Settings(
        architecture="lenet", batch_normalization=True, dropout=0.3, activation="tanh"
    ),
    "deep_convnet": Settings(architecture="deep_convnet"),
    "deep_convnet with everything": Settings(
        architecture="deep_convnet", batch_normalization=True, dropout=0.5
    ),
}
SMALL = (5, 4, 2)


@pytest.mark.parametrize("name", VARIANTS)
def test_architecture_has_the_gradient_of_its_loss(name, generator):
    network = build(VARIANTS[name], SMALL, 3, generator, np.float64)
    x, labels = generator.standard_normal((4, *SMALL)), generator.integers(3, size=4)
    worst = check_network(network, x, labels, CrossEntropy(), generator=generator, entries=3)
    assert worst.error < 1e-6


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_architecture_keeps_dtype_inputs_and_rows(name, dtype, generator):
    network = build(VARIANTS[name], SMALL, 3, generator, dtype)
    x = generator.standard_normal((4, *SMALL)).astype(dtype)
    x.flags.writeable = False
    outputs = network.predict(x)
    assert outputs.dtype == dtype
    alone = np.concatenate([network.predict(x[row : row + 1]) for row in range(4)])
    np.testing.assert_allclose(alone, outputs, rtol=0, atol=1e3 * np.finfo(dtype).eps)


def test_every_architecture_is_in_the_table():
    assert {settings.architecture for settings in VARIANTS.values()} == set(ARCHITECTURES)


DEEP_CONVNET = (
    9 * 1 * 16 + 16 + 9 * 16 * 16 + 16
    + 9 * 16 * 32 + 32 + 9 * 32 * 32 + 32
    + 9 * 32 * 64 + 64 + 9 * 64 * 64 + 64
    + 1024 * 50 + 50 + 50 * 10 + 10
)  # fmt: skip
LENET = 25 * 16 + 16 + 25 * 16 * 32 + 32 + 1568 * 128 + 128 + 128 * 10 + 10

SMALL_LENET = 25 * 4 + 4 + 25 * 4 * 5 + 5 + 49 * 5 * 7 + 7 + 7 * 6 + 6 + 6 * 10 + 10
SMALL_LINEAR_LENET = 25 * 4 + 4 + 25 * 4 * 5 + 5 + 49 * 5 * 10 + 10


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        (Settings(hidden=(100,) * 6), 784 * 100 + 100 + 5 * (100 * 100 + 100) + 1010),
        (Settings(architecture="lenet"), LENET),
        (Settings(architecture="deep_convnet"), DEEP_CONVNET),
        (Settings(architecture="lenet", filters=(16, 32), hidden=(128,)), LENET),
        (Settings(architecture="deep_convnet", filters=(16, 32, 64), hidden=(50,)), DEEP_CONVNET),
        (Settings(architecture="lenet", filters=(4, 5), hidden=(7, 6)), SMALL_LENET),
        (Settings(architecture="lenet", filters=(4, 5), hidden=()), SMALL_LINEAR_LENET),
    ],
)
def test_architecture_has_its_number_of_parameters(settings, parameters):
    assert build(settings, (28, 28, 1), 10, None).parameters.size == parameters


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 1), (32, 32, 3), (9, 13, 2), (4, 4, 1)])
def test_architecture_accepts_images_of_many_sizes(architecture, shape):
    network = build(Settings(architecture=architecture), shape, 10, None)
    assert network.output_shape == (10,)


@pytest.mark.parametrize(
    ("architecture", "problem"),
    [
        ("lenet", r"^images of shape \(3, 3, 1\) do not fit: max_pooling2: the kernel"),
        ("deep_convnet", r"^images of shape \(3, 3, 1\) do not fit: max_pooling3: the kernel"),
    ],
)
def test_images_that_are_too_small_are_refused(architecture, problem):
    with pytest.raises(InputError) as error:
        build(Settings(architecture=architecture), (3, 3, 1), 10, None)
    assert error.value.key == architecture
    assert re.match(problem, error.value.problem)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_batch_normalization_replaces_hidden_biases(architecture):
    settings = Settings(architecture=architecture, batch_normalization=True)
    network = build(settings, (8, 8, 1), 10, None)
    biases = [name for name in network.named if name.endswith("bias")]
    last = max(layer.name for layer in network.layers if isinstance(layer, Affine))
    assert biases == [f"{last}.bias"]
    assert any(isinstance(layer, BatchNormalization) for layer in network.layers)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_architecture_uses_the_activation_of_its_settings(architecture, activation):
    settings = Settings(architecture=architecture, activation=activation)
    used = {type(layer) for layer in build(settings, (8, 8, 1), 10, None).layers}
    assert used & set(ACTIVATIONS.values()) == {ACTIVATIONS[activation]}


def test_dropout_of_zero_adds_no_layer():
    kinds = [type(layer) for layer in build(Settings(dropout=0.0), (8, 8, 1), 10, None).layers]
    assert Dropout not in kinds


def test_mlp_drops_out_after_each_hidden_layer():
    layers = build(Settings(hidden=(4, 4), dropout=0.5), (8, 8, 1), 10, None).layers
    assert [layer.name for layer in layers] == [
        "flatten1", "affine1", "relu1", "dropout1", "affine2", "relu2", "dropout2", "affine3",
    ]  # fmt: skip


def test_initial_std_is_taken_from_the_settings(generator):
    settings = Settings(initialization="constant_std", initial_std=0.5, hidden=(300,))
    network = build(settings, (8, 8, 1), 10, generator)
    assert network.weights.std() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_untrained_network_is_about_as_wrong_as_guessing(architecture, generator):
    network = build(Settings(architecture=architecture), (28, 28, 1), 10, generator)
    x = generator.random((20, 28, 28, 1), dtype=np.float32)
    loss, _ = CrossEntropy()(network.predict(x), generator.integers(10, size=20))
    assert loss < 3 * math.log(10)


def test_float32_weights_are_the_float64_ones_rounded():
    single, double = (
        build(Settings(), (8, 8, 1), 10, np.random.default_rng(0), dtype)
        for dtype in (np.float32, np.float64)
    )
    np.testing.assert_array_equal(single.parameters, double.parameters.astype(np.float32))
