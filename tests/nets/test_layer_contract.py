"""Every layer fulfils the contract of nets.layers.base: one table of all layers."""

import inspect
import re

import numpy as np
import pytest

from nets import layers
from nets.errors import InputError
from nets.gradient_checker import check_layer
from nets.layers import (
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

CASES = [
    (Affine(3), (5,)),
    (Affine(3, bias=False), (5,)),
    (Convolution(3, (3, 3)), (5, 6, 2)),
    (Convolution(2, (3, 3), padding=(1, 1)), (4, 4, 1)),
    (Convolution(2, (5, 5), padding=(2, 2)), (5, 7, 2)),
    (Convolution(2, (2, 3), stride=(2, 1), padding=(1, 0)), (5, 5, 3)),
    (Convolution(2, (3, 3), stride=(3, 2), bias=False), (7, 6, 1)),
    (Convolution(4, (1, 1)), (3, 2, 3)),
    (Convolution(2, (3, 4)), (3, 4, 2)),
    (MaxPooling(), (4, 6, 2)),
    (MaxPooling(), (5, 7, 2)),
    (MaxPooling((3, 2), stride=(1, 2)), (5, 5, 2)),
    (AveragePooling(), (4, 6, 2)),
    (AveragePooling((3, 3), stride=(2, 1)), (6, 5, 1)),
    (BatchNormalization(), (4,)),
    (BatchNormalization(momentum=0.5, epsilon=1e-3), (3, 2, 4)),
    (Dropout(0.4), (20,)),
    (Dropout(0.0), (4, 4, 2)),
    (Flatten(), (3, 4, 2)),
    (Identity(), (4,)),
    (Step(), (4,)),
    (Sigmoid(), (3, 3, 2)),
    (Tanh(), (4,)),
    (ReLU(), (3, 3, 2)),
    (LeakyReLU(), (4,)),
    (LeakyReLU(0.3), (3, 2, 2)),
    (GELU(), (4,)),
    (Softmax(), (5,)),
    (Standardization(), (5,)),
]
BATCH = 4

all_layers = pytest.mark.parametrize(
    ("layer", "shape"), CASES, ids=[f"{layer!r} {shape}" for layer, shape in CASES]
)
in_both_modes = pytest.mark.parametrize("training", [True, False], ids=["training", "prediction"])


class Setup:
    """A layer with read-only random inputs, parameters and noise."""

    def __init__(self, layer, shape, generator, dtype=np.float64, batch=BATCH):
        def random(*lengths):
            return read_only(generator.standard_normal(lengths).astype(dtype))

        self.layer = layer
        self.x = random(batch, *shape)
        self.gradient = random(batch, *layer.output_shape(shape))
        self.parameters = {
            name: random(*parameter.shape) for name, parameter in layer.parameters(shape).items()
        }
        noise = layer.draw(batch, shape, generator)
        self.noise = None if noise is None else read_only(noise)
        self.statistics = {
            name: np.full(statistic.shape, statistic.initial, dtype)
            for name, statistic in layer.statistics(shape).items()
        }

    def forward(self, training, rows=slice(None)):
        return self.layer.forward(
            self.x[rows],
            self.parameters,
            training=training,
            noise=None if self.noise is None else self.noise[rows],
            statistics=self.statistics,
        )


def read_only(array):
    array.flags.writeable = False
    return array


def test_every_public_layer_is_in_the_table():
    public = {
        value
        for name in layers.__all__
        if inspect.isclass(value := getattr(layers, name)) and issubclass(value, Layer)
    }
    assert public - {Layer} == {type(layer) for layer, _ in CASES}


@all_layers
@in_both_modes
def test_layer_has_the_gradient_of_its_forward_pass(layer, shape, training, generator):
    worst = check_layer(layer, shape, generator=generator, training=training)
    assert worst.error < 1e-6


@all_layers
@in_both_modes
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layer_keeps_the_dtype(layer, shape, training, dtype, generator):
    setup = Setup(layer, shape, generator, dtype)
    output, backward = setup.forward(training)
    input_gradient, gradients = backward(setup.gradient)
    received = [output, input_gradient, *gradients.values(), *setup.statistics.values()]
    assert {array.dtype for array in received} == {np.dtype(dtype)}


@all_layers
def test_layer_returns_the_shapes_that_it_declares(layer, shape, generator):
    setup = Setup(layer, shape, generator)
    output, backward = setup.forward(training=True)
    input_gradient, gradients = backward(setup.gradient)
    assert output.shape == (BATCH, *layer.output_shape(shape))
    assert input_gradient.shape == setup.x.shape
    assert {name: array.shape for name, array in gradients.items()} == {
        name: parameter.shape for name, parameter in layer.parameters(shape).items()
    }


@all_layers
@in_both_modes
def test_layer_does_not_modify_its_inputs(layer, shape, training, generator):
    # Setup's arrays are read-only: writing to one raises.
    setup = Setup(layer, shape, generator)
    _, backward = setup.forward(training)
    first = backward(setup.gradient)
    again = backward(setup.gradient)
    np.testing.assert_equal(again, first)


@all_layers
def test_layer_changes_statistics_only_in_training(layer, shape, generator):
    setup = Setup(layer, shape, generator)
    before = {name: array.copy() for name, array in setup.statistics.items()}
    setup.forward(training=False)
    np.testing.assert_equal(setup.statistics, before)


@all_layers
def test_a_second_forward_pass_does_not_disturb_a_pending_backward(layer, shape, generator):
    setup = Setup(layer, shape, generator)
    _, backward = setup.forward(training=True)
    expected = backward(setup.gradient)
    _, pending = setup.forward(training=True)
    Setup(layer, shape, generator).forward(training=True)
    setup.forward(training=False)
    np.testing.assert_equal(pending(setup.gradient), expected)


@pytest.mark.parametrize(
    ("layer", "shape", "training"),
    [
        (layer, shape, training)
        for layer, shape in CASES
        for training in (True, False)
        if not (layer.mixes_rows and training)  # batch normalization
    ],
)
def test_layer_treats_rows_independently(layer, shape, training, generator):
    setup = Setup(layer, shape, generator)
    output, backward = setup.forward(training)
    input_gradient, gradients = backward(setup.gradient)
    added_up = dict.fromkeys(gradients, 0.0)
    for row in range(BATCH):
        rows = slice(row, row + 1)
        alone, backward_alone = setup.forward(training, rows)
        gradient_alone, gradients_alone = backward_alone(setup.gradient[rows])
        np.testing.assert_allclose(alone, output[rows], rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(gradient_alone, input_gradient[rows], rtol=1e-12, atol=1e-13)
        added_up = {name: added_up[name] + gradients_alone[name] for name in gradients}
    for name, gradient in gradients.items():
        np.testing.assert_allclose(added_up[name], gradient, rtol=1e-11, atol=1e-12)


def test_only_batch_normalization_mixes_rows():
    assert {type(layer) for layer, _ in CASES if layer.mixes_rows} == {BatchNormalization}


@all_layers
def test_layer_refuses_a_batch_of_zero(layer, shape, generator):
    setup = Setup(layer, shape, generator, batch=1)
    setup.x = setup.x[:0]
    with pytest.raises(InputError, match=rf"^{layer.name}.input: got \(0,.* at least one row$"):
        setup.forward(training=True)


@all_layers
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float16, np.bool_])
def test_layer_refuses_other_dtypes(layer, shape, dtype, generator):
    setup = Setup(layer, shape, generator)
    setup.x = np.zeros(setup.x.shape, dtype)
    message = f"{layer.name}: the input must be an array of float32 or float64, got {setup.x.dtype}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        setup.forward(training=True)


@all_layers
def test_layer_refuses_a_list(layer, shape, generator):
    setup = Setup(layer, shape, generator)
    with pytest.raises(TypeError, match=rf"^{layer.name}: .* float32 or float64, got list$"):
        layer.forward([[1.0]], setup.parameters, training=True, statistics=setup.statistics)


WRONG_INPUTS = [
    (Affine(3), (5,), (2, 4), r"affine.input: got \(2, 4\), expected \(batch, 5\)"),
    (Affine(3), (5,), (2, 5, 1), r"affine.input: got \(2, 5, 1\), expected \(batch, 5\)"),
    (
        Convolution(2, (3, 3), label="convolution4"),
        (5, 5, 3),
        (2, 5, 5, 1),
        r"convolution4.input: got \(2, 5, 5, 1\), "
        r"expected \(batch, height, width, 3\)",
    ),
    (
        Convolution(2, (3, 3)),
        (5, 5, 3),
        (2, 75),
        r"convolution.input: got \(2, 75\), expected .* width, 3\)",
    ),
    (
        Convolution(2, (3, 3), padding=(0, 1)),
        (5, 5, 3),
        (2, 2, 5, 3),
        r"convolution: the kernel \(3, 3\) is larger than its image \(2, 5\) "
        r"with padding \(0, 1\)",
    ),
    (
        MaxPooling(),
        (4, 4, 2),
        (2, 1, 4, 2),
        r"max_pooling: the kernel \(2, 2\) is larger than its image \(1, 4\)",
    ),
    (
        AveragePooling(),
        (4, 4, 2),
        (2, 16),
        r"average_pooling.input: got \(2, 16\), .* width, channels\)",
    ),
    (
        BatchNormalization(),
        (4,),
        (2, 3),
        r"batch_normalization.input: got \(2, 3\), expected \(batch, 4\)",
    ),
    (
        Dropout(0.5),
        (4,),
        (2, 3),
        r"dropout.mask: got \(4, 4\), expected shape \(2, 3\)",
    ),
]


@pytest.mark.parametrize(("layer", "shape", "received", "message"), WRONG_INPUTS)
def test_layer_refuses_a_wrong_shape(layer, shape, received, message, generator):
    setup = Setup(layer, shape, generator)
    setup.x = np.zeros(received)
    with pytest.raises(InputError, match=f"^{message}"):
        setup.forward(training=True)


WRONG_SHAPES = [
    (Affine(3), (4, 4, 1), r"affine.input_shape: got \(4, 4, 1\), expected \(inputs,\)"),
    (
        Convolution(2, (3, 3)),
        (16,),
        r"convolution.input_shape: got \(16,\), expected \(height, width, channels\) "
        r"without an empty axis",
    ),
    (
        Convolution(2, (3, 3)),
        (4, 0, 1),
        r"convolution.input_shape: got \(4, 0, 1\), .* without an empty axis",
    ),
    (Convolution(2, (5, 5)), (4, 4, 1), r"convolution: the kernel \(5, 5\) is larger than its"),
    (MaxPooling((2, 2)), (1, 4, 1), r"max_pooling: the kernel \(2, 2\) is larger than its image"),
    (BatchNormalization(), (), r"batch_normalization.input_shape: got \(\), .*channels"),
]


@pytest.mark.parametrize(("layer", "shape", "message"), WRONG_SHAPES)
def test_layer_refuses_the_shape_of_a_wrong_input(layer, shape, message):
    with pytest.raises(InputError, match=f"^{message}"):
        layer.output_shape(shape)


WRONG_HYPERPARAMETERS = [
    (lambda: Affine(0), "affine.outputs: got 0, expected an integer of at least 1"),
    (
        lambda: Convolution(0, (3, 3)),
        "convolution.filters: got 0, expected an integer of at least 1",
    ),
    (
        lambda: Convolution(4, 3),
        "convolution.kernel: got 3, expected two integers, each at least 1",
    ),
    (lambda: Convolution(4, (3, 3), stride=(0, 1)), r"convolution.stride: got \(0, 1\)"),
    (
        lambda: Convolution(4, (3, 3), padding=(1, -1)),
        r"convolution.padding: got \(1, -1\), expected two integers, each at least 0",
    ),
    (lambda: MaxPooling((2.0, 2)), r"max_pooling.window: got \(2.0, 2\), expected two"),
    (lambda: Dropout(1.0), r"dropout.rate: got 1.0, expected a number in \[0, 1\)"),
    (lambda: LeakyReLU(-0.1), r"leaky_relu.slope: got -0.1, expected a number in \[0, 1\)"),
    (
        lambda: BatchNormalization(momentum=0),
        r"batch_normalization.momentum: got 0, expected .*\(0, 1\]",
    ),
    (
        lambda: BatchNormalization(epsilon=0),
        "batch_normalization.epsilon: got 0, expected a number above 0",
    ),
]


@pytest.mark.parametrize(("construct", "message"), WRONG_HYPERPARAMETERS)
def test_layer_refuses_hyperparameters_out_of_range(construct, message):
    with pytest.raises(InputError, match=f"^{message}"):
        construct()
