"""The plan: which kernel computes which layers."""

import pytest

from nets.kernels.executor import Executor
from nets.kernels.plan import executor, kernels, rows_of_a_part
from nets.layers import (
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Layer,
    MaxPooling,
    ReLU,
    Softmax,
    Tanh,
)
from nets.network import Network

C = Convolution(2, (3, 3))

PLANS = [
    ([C], ["FirstConvolution"]),
    ([C, ReLU()], ["FirstConvolution relu"]),
    ([C, C, ReLU()], ["FirstConvolution", "Convolution relu"]),
    ([C, ReLU(), MaxPooling()], ["FirstConvolution", "Pooling relu"]),
    ([C, MaxPooling(), ReLU()], ["FirstConvolution", "Pooling relu"]),
    ([C, ReLU(), MaxPooling(), ReLU()], ["FirstConvolution", "Pooling relu", "Rectifier"]),
    ([C, ReLU(), ReLU()], ["FirstConvolution relu", "Rectifier"]),
    ([C, ReLU(), AveragePooling()], ["FirstConvolution relu", "Plain"]),
    ([C, ReLU(), MaxPooling((3, 3))], ["FirstConvolution relu", "Plain"]),
    ([C, MaxPooling(stride=(1, 1))], ["FirstConvolution", "Plain"]),
    ([C, Tanh(), C], ["FirstConvolution", "Plain", "Convolution"]),
    ([ReLU(), C], ["Rectifier", "FirstConvolution"]),
    ([C, BatchNormalization(), ReLU()], ["FirstConvolution", "BatchNormalization relu"]),
    (
        [C, BatchNormalization(), ReLU(), MaxPooling()],
        ["FirstConvolution", "BatchNormalization", "Pooling relu"],
    ),
    ([BatchNormalization(), C], ["BatchNormalization", "Convolution"]),
    ([Convolution(2, (3, 3), stride=(2, 1))], ["Plain"]),
    ([Convolution(2, (9, 1))], ["Plain"]),
    ([Convolution(2, (2, 2), padding=(2, 0))], ["Plain"]),
    ([Convolution(2, (4, 2))], ["FirstConvolution"]),
    ([Flatten(), Affine(3), ReLU(), Dropout(0.5)], ["Affine relu", "Dropout"]),
    ([Flatten(), Dropout(0.0), Affine(3), Softmax()], ["Affine", "Plain"]),
]


@pytest.mark.parametrize(("layers", "expected"), PLANS, ids=lambda case: " ".join(map(str, case)))
def test_kernels_follow_from_the_layers(layers, expected):
    chosen = kernels(Network(layers, (12, 12, 1)))
    names = [type(kernel).__name__.removesuffix("Kernel") for kernel in chosen]
    relus = [getattr(kernel, "relu", False) for kernel in chosen]
    assert [n + " relu" * relu for n, relu in zip(names, relus, strict=True)] == expected


def test_first_convolution_of_images_with_three_channels_uses_winograd():
    (kernel,) = kernels(Network([C], (12, 12, 3)))
    assert type(kernel).__name__ == "ConvolutionKernel"


def test_larger_images_have_smaller_parts():
    rows = [
        rows_of_a_part(kernels(Network([C, C], (size, size, 1)))) for size in (8, 28, 200, 2000)
    ]
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] == 1
    assert all(r & (r - 1) == 0 for r in rows)


class Shuffle(Layer):
    """Reverses the rows: no kernel can compute this in parts."""

    mixes_rows = True

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x, parameters, *, training, noise=None, statistics=None):
        return x[::-1], lambda gradient: (gradient[::-1], {})


def test_a_network_that_mixes_rows_without_a_kernel_stays_plain():
    network = Network([Affine(3), Shuffle()], (4,))
    assert executor(network) is network
    assert isinstance(executor(Network([Affine(3)], (4,))), Executor)
