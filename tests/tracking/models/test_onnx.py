"""An exported network gives the same probabilities in an independent ONNX runtime."""

import inspect
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_runtime import answers, session

from nets import data, layers, objective
from nets.architectures import ARCHITECTURES, build
from nets.errors import InputError
from nets.initializers import INITIALIZERS
from nets.layers import (
    ACTIVATIONS,
    GELU,
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Identity,
    Layer,
    LeakyReLU,
    MaxPooling,
    ReLU,
    Sigmoid,
    Softmax,
    Standardization,
    Step,
    Tanh,
)
from nets.model_source import probabilities, restore
from nets.network import Network
from nets.settings import Settings
from tracking.models.onnx import NODES, to_onnx

SCORE = 4.0
"""Largest absolute score, at which softmax is sensitive to every difference."""


def check(network, full_scale, images):
    """Compare the probabilities of images, for the whole batch and for the first image alone."""
    content = to_onnx(network, full_scale, {})
    expected = probabilities(network, full_scale, images)
    found = answers(content, images)
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(answers(content, images[:1]), expected[:1], rtol=1e-5, atol=1e-6)


def draw_images(generator, count, shape, full_scale):
    """Draw random images; the first is black, the last white."""
    images = generator.integers(0, full_scale + 1, (count, *shape)).astype(np.uint8)
    images[0], images[-1] = 0, full_scale
    return images


def as_if_trained(network, generator, images, full_scale):
    """Randomize what is initialized to constants, and scale the scores to `SCORE`."""
    others = network.parameters[network.weights.size :]
    others += generator.normal(0, 0.3, others.size).astype(network.dtype)
    network.statistics[:] = generator.uniform(0.3, 2, network.statistics.size)
    scores = network.predict((images / np.float32(full_scale)).astype(network.dtype))
    last = network.layers[-1].name
    for name in ("weight", "bias"):
        network.named[f"{last}.{name}"] *= SCORE / np.abs(scores).max()


@pytest.mark.parametrize("batch_normalization", [False, True], ids=["plain", "normalized"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_network_of_the_settings(architecture, activation, batch_normalization, generator):
    chosen = Settings(
        architecture=architecture, activation=activation, hidden=(30, 20), dropout=0.4,
        batch_normalization=batch_normalization,
    )  # fmt: skip
    for shape, full_scale in [((8, 8, 1), 16), ((9, 13, 3), 255)]:
        network = build(chosen, shape, 10, generator)
        images = draw_images(generator, 6, shape, full_scale)
        as_if_trained(network, generator, images, full_scale)
        check(network, full_scale, images)


networks = st.builds(
    Settings,
    architecture=st.sampled_from(sorted(ARCHITECTURES)),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    hidden=st.lists(st.integers(1, 20), max_size=3),
    initialization=st.sampled_from(sorted(INITIALIZERS)),
    initial_std=st.floats(1e-3, 0.1),  # above, seven layers make chaos of any last bit
    batch_normalization=st.booleans(),
    dropout=st.sampled_from([0.0, 0.5]),
)


@given(
    chosen=networks,
    shape=st.tuples(st.integers(4, 12), st.integers(4, 12), st.integers(1, 3)),
    classes=st.integers(2, 12),
    full_scale=st.integers(1, 255),
    count=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=100)
def test_any_network_of_any_images(chosen, shape, classes, full_scale, count, seed):
    generator = np.random.default_rng(seed)
    network = build(chosen, shape, classes, generator)
    images = draw_images(generator, count, shape, full_scale)
    as_if_trained(network, generator, images, full_scale)
    check(network, full_scale, images)


@pytest.mark.parametrize(
    "chosen",
    [
        {"hidden": (16,), "activation": "gelu"},
        {"architecture": "lenet", "batch_normalization": True, "dropout": 0.2},
    ],
    ids=["mlp", "lenet"],
)
def test_a_trained_network_answers_the_test_images_the_same(chosen):
    digits = data.load("digits", data.default_folder())
    trained = Settings(epochs=2, learning_rate=0.01, **chosen)
    network, full_scale, _ = restore(objective(trained, digits, lambda epoch: None).model.arrays)
    right = answers(to_onnx(network, full_scale, {}), digits.test_images).argmax(axis=1)
    assert (right == digits.test_labels).mean() > 0.6
    check(network, full_scale, digits.test_images)


CASES = [
    ([Affine(3, bias=False)], (5,)),
    ([Convolution(2, (2, 3), stride=(2, 1), padding=(1, 0))], (5, 5, 3)),
    ([Convolution(2, (3, 2), stride=(3, 2), bias=False)], (7, 6, 1)),
    ([Convolution(3, (1, 4)), Identity(), Flatten(), Affine(2)], (3, 6, 2)),
    ([MaxPooling((3, 2), stride=(1, 2))], (5, 6, 2)),
    ([MaxPooling(), Convolution(2, (2, 2)), Flatten()], (5, 7, 2)),
    ([AveragePooling((3, 3), stride=(2, 1)), Flatten()], (6, 5, 2)),
    ([BatchNormalization(epsilon=0.1)], (4,)),
    ([BatchNormalization(), Flatten(), BatchNormalization()], (3, 2, 4)),
    ([BatchNormalization()], (5, 3)),
    ([Convolution(4, (1, 1)), Softmax(), Convolution(2, (2, 2))], (3, 2, 3)),
    ([Affine(6), Step(), Dropout(0.5), Affine(3)], (4,)),
    ([Affine(6), LeakyReLU(0.3)], (4,)),
    ([Standardization(), Affine(3)], (5,)),
    *[([Affine(6), activation()], (4,)) for activation in (GELU, ReLU, Sigmoid, Tanh)],
]


@pytest.mark.parametrize(("row", "shape"), CASES, ids=[f"{row} {shape}" for row, shape in CASES])
def test_every_layer_with_every_hyperparameter(row, shape, generator):
    network = Network(row, shape)
    network.parameters[:] = generator.standard_normal(network.parameters.size)
    network.statistics[:] = generator.uniform(0.3, 2, network.statistics.size)
    images = draw_images(generator, 4, shape, 20)
    # The rows of a table are floats.
    check(network, 20, images.astype(np.float32) if isinstance(row[0], Standardization) else images)


def test_every_layer_has_its_nodes():
    public = {
        value
        for name in layers.__all__
        if inspect.isclass(value := getattr(layers, name)) and issubclass(value, Layer)
    }
    assert public - {Layer} == set(NODES) == {type(layer) for row, _ in CASES for layer in row}


def test_a_layer_that_is_not_known_is_refused_by_name():
    @dataclass(frozen=True)
    class Doubling(ReLU):
        """A subclass of a known layer is unknown, too."""

    network = Network([Affine(3), Doubling(), Affine(2)], (4,))
    with pytest.raises(InputError, match=r"^export: layer 'doubling1' is a Doubling") as refused:
        to_onnx(network, 1, {})
    assert refused.value.expected.startswith("Affine, AveragePooling,")


def test_a_network_in_float64_answers_in_float32(generator):
    network = build(Settings(hidden=(8,)), (4, 4, 1), 3, generator, np.float64)
    images = draw_images(generator, 3, (4, 4, 1), 16)
    found = answers(to_onnx(network, 16, {}), images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, probabilities(network, 16, images), rtol=1e-5, atol=1e-6)


def test_the_file_says_what_goes_in_and_out_and_what_it_is(generator):
    network = build(Settings(), (8, 8, 1), 10, generator)
    content = to_onnx(network, 16, {"retrial.study": "digits"})
    loaded = session(content)
    (images,), (found,) = loaded.get_inputs(), loaded.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["n", 8, 8, 1])
    assert (found.name, found.type, found.shape) == ("probabilities", "tensor(float)", ["n", 10])
    model = onnx.load_from_string(content)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties == {"retrial.study": "digits", "retrial.version": model.producer_version}
    assert [entry.version for entry in model.opset_import] == [17]
    assert to_onnx(network, 16, {"retrial.study": "digits"}) == content


def test_images_are_transposed_no_more_than_twice(generator):
    def transpositions(architecture):
        network = build(Settings(architecture=architecture), (8, 8, 1), 10, generator)
        nodes = onnx.load_from_string(to_onnx(network, 16, {})).graph.node
        return sum(node.op_type == "Transpose" for node in nodes)

    assert [transpositions(name) for name in ("mlp", "lenet", "deep_convnet")] == [0, 2, 2]
