"""Networks: one flat vector with views into it, and refused inputs."""

import numpy as np
import pytest

from nets.errors import InputError
from nets.gradient_checker import check_network
from nets.initializers import he_normal
from nets.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    MaxPooling,
    ReLU,
    Tanh,
)
from nets.losses import CrossEntropy
from nets.network import Network


@pytest.fixture
def network(generator):
    layers = [
        Convolution(3, (3, 3), bias=False),  # its derivative would be zero, up to rounding
        BatchNormalization(),
        Tanh(),
        MaxPooling(),
        Flatten(),
        Dropout(0.3),
        Affine(4),
    ]
    network = Network(layers, (6, 6, 2), np.float64)
    network.initialize(he_normal, generator)
    return network


def test_layers_have_readable_unique_names():
    network = Network([Affine(3), ReLU(), Affine(3, label="output"), ReLU(), Affine(2)], (4,))
    assert [layer.name for layer in network.layers] == [
        "affine1", "relu1", "output", "relu2", "affine3",
    ]  # fmt: skip


def test_one_layer_may_occur_twice_and_then_has_two_sets_of_parameters():
    layer = Affine(4)
    network = Network([layer, layer], (4,))
    assert network.parameters.size == 2 * (16 + 4)


def test_two_layers_of_one_name_are_refused():
    with pytest.raises(InputError, match=r"^network.layers: got \['a'\], expected distinct names$"):
        Network([Affine(3, label="a"), Affine(3, label="a")], (4,))


def test_a_network_without_layers_is_refused():
    with pytest.raises(InputError, match=r"^network.layers: got none, expected at least one$"):
        Network([], (4,))


def test_weights_come_first_in_the_flat_vector(network):
    assert list(network.named) == [
        "convolution1.weight", "affine1.weight",
        "batch_normalization1.scale", "batch_normalization1.shift", "affine1.bias",
    ]  # fmt: skip
    weights = [v for name, v in network.named.items() if name.endswith("weight")]
    np.testing.assert_array_equal(network.weights, np.concatenate([w.ravel() for w in weights]))


def test_all_arrays_are_views_into_the_flat_vectors(network):
    network.parameters[:] = np.arange(network.parameters.size)
    flat = np.concatenate([view.ravel() for view in network.named.values()])
    np.testing.assert_array_equal(flat, network.parameters)
    assert all(np.shares_memory(v, network.parameters) for v in network.named.values())
    assert np.shares_memory(network.weights, network.parameters)
    assert network.gradients.shape == network.parameters.shape
    for parameters, gradients in zip(network.parameter_views, network.gradient_views, strict=True):
        assert {k: v.shape for k, v in parameters.items()} == {
            k: v.shape for k, v in gradients.items()
        }


def test_constants_are_set_and_weights_are_drawn(network):
    named = network.named
    assert not named["affine1.bias"].any()
    assert not named["batch_normalization1.shift"].any()
    assert (named["batch_normalization1.scale"] == 1).all()
    assert network.statistics.tolist() == [0] * 3 + [1] * 3
    assert np.unique(named["convolution1.weight"]).size == named["convolution1.weight"].size


def test_network_has_the_gradient_of_its_loss(network, generator):
    x, labels = generator.standard_normal((5, 6, 6, 2)), generator.integers(4, size=5)
    worst = check_network(network, x, labels, CrossEntropy(), generator=generator, entries=20)
    assert worst.error < 1e-6


def test_backward_returns_the_gradient_of_the_input(network, generator):
    x = generator.standard_normal((2, 6, 6, 2))
    outputs, backward = network.forward(x)
    gradient = backward(np.ones_like(outputs))
    direction = generator.standard_normal(x.shape)
    step = 1e-6
    difference = network.predict(x + step * direction) - network.predict(x - step * direction)
    assert difference.sum() / (2 * step) == pytest.approx(np.vdot(gradient, direction), rel=1e-6)


def test_prediction_changes_nothing(network, generator):
    before = network.parameters.copy(), network.gradients.copy(), network.statistics.copy()
    network.predict(generator.standard_normal((2, 6, 6, 2)))
    for old, new in zip(
        before, (network.parameters, network.gradients, network.statistics), strict=True
    ):
        np.testing.assert_array_equal(new, old)


def test_evaluating_does_not_disturb_a_pending_backward(network, generator):
    x = generator.standard_normal((3, 6, 6, 2))
    noise = network.draw(3, generator)
    outputs, backward = network.forward(x, training=True, noise=noise)
    backward(outputs)
    expected = network.gradients.copy()
    network.predict(generator.standard_normal((4, 6, 6, 2)))
    backward(outputs)
    np.testing.assert_array_equal(network.gradients, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_network_keeps_its_dtype(dtype, generator):
    network = Network([Affine(5), BatchNormalization(), ReLU(), Affine(2)], (3,), dtype)
    network.initialize(he_normal, generator)
    x = generator.standard_normal((4, 3)).astype(dtype)
    network.loss_and_gradients(x, np.array([0, 1, 0, 1]), CrossEntropy())
    arrays = (network.predict(x), network.parameters, network.gradients, network.statistics)
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


WRONG_INPUTS = [
    (
        np.zeros((2, 6, 6, 2), np.float32),
        TypeError,
        ": the input must be an array of float64, got float32",
    ),
    (
        np.zeros((2, 6, 6, 2), np.uint8),
        TypeError,
        ": the input must be an array of float64, got uint8",
    ),
    ([[1.0]], TypeError, ": the input must be an array of float64, got list"),
    (
        np.zeros((2, 5, 6, 2)),
        InputError,
        r".input: got \(2, 5, 6, 2\), expected \(batch, 6, 6, 2\) with.*",
    ),
    (np.zeros((2, 72)), InputError, r".input: got \(2, 72\), expected \(batch, 6, 6, 2\) with.*"),
    (np.zeros((0, 6, 6, 2)), InputError, r".input: got \(0, 6, 6, 2\), .* with at least one row"),
]


@pytest.mark.parametrize(("x", "error", "message"), WRONG_INPUTS)
def test_network_refuses_a_wrong_input(network, x, error, message):
    with pytest.raises(error, match=f"^network{message}$"):
        network.predict(x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_network_refuses_pixels_that_are_not_finite(network, value):
    x = np.zeros((3, 6, 6, 2))
    x[1, 2, 3, 0] = value
    with pytest.raises(InputError, match=r"^network.input: NaN or infinity in row 1$"):
        network.predict(x)


def test_network_refuses_another_dtype():
    with pytest.raises(TypeError, match=r"^a network computes in float32 or float64, got int64$"):
        Network([Affine(2)], (3,), np.int64)


def test_layers_that_do_not_fit_each_other_are_refused():
    with pytest.raises(InputError, match=r"^affine1.input_shape: got .* \(inputs,\)"):
        Network([Convolution(2, (3, 3)), Affine(2)], (6, 6, 1))
