import dataclasses

import numpy as np
import pytest

from nets.gradient_checker import (
    GradientError,
    check_gradients,
    check_layer,
    check_loss,
    check_network,
)
from nets.initializers import he_normal
from nets.layers import Affine, Dropout, LeakyReLU, MaxPooling, ReLU, Tanh
from nets.losses import CrossEntropy, MeanSquaredError
from nets.network import Network


class Wrong:
    """Mixed into a layer: the gradient of one array is made wrong by `spoil`."""

    def forward(self, x, parameters, **options):
        y, backward = super().forward(x, parameters, **options)

        def spoilt(r):
            input_gradient, gradients = backward(r)
            named = {"input": input_gradient.copy()} | {
                key: array.copy() for key, array in gradients.items()
            }
            named[self.array] = self.spoil(named[self.array])
            return named.pop("input"), named

        return y, spoilt


@dataclasses.dataclass(frozen=True)
class WrongAffine(Wrong, Affine):
    array: str = dataclasses.field(default="weight", kw_only=True)
    spoil: object = dataclasses.field(default=None, kw_only=True)


def by_a_thousandth(array):
    return 1.001 * array


def in_one_entry(array):
    index = np.unravel_index(np.argmax(np.abs(array)), array.shape)
    array[index] *= 1.001
    return array


@pytest.mark.parametrize("array", ["input", "weight", "bias"])
@pytest.mark.parametrize("spoil", [by_a_thousandth, in_one_entry, np.negative, np.zeros_like])
def test_checker_finds_a_wrong_gradient_and_names_it(generator, array, spoil):
    layer = WrongAffine(3, array=array, spoil=spoil, label="affine7")
    with pytest.raises(GradientError, match=f"^affine7: the gradient of '{array}' is wrong: at"):
        check_layer(layer, (4,), generator=generator)


def test_checker_names_index_and_both_values():
    def function(arrays):
        x = arrays["x"]
        return float(np.sum(x**2)), lambda r: {"x": r * 2 * x + [[0, 0, 0], [0, 0, 1e-3]]}

    with pytest.raises(
        GradientError,
        match=r"function: the gradient of 'x' is wrong: at \(1, 2\) backward gives 2\.001, "
        r"differences give 2 \(relative error 5e-04, expected at most 1e-06\)",
    ):
        check_gradients(function, {"x": np.ones((2, 3))}, generator=np.random.default_rng(0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_checker_finds_a_gradient_that_is_not_finite(generator, value):
    layer = WrongAffine(3, array="bias", spoil=lambda array: array + value)
    with pytest.raises(GradientError, match=r"relative error inf"):
        check_layer(layer, (4,), generator=generator)


def test_checker_reports_a_missing_gradient(generator):
    def function(arrays):
        return arrays["x"] * arrays["y"], lambda r: {"x": r * arrays["y"]}

    arrays = {"x": np.ones(2), "y": np.ones(2)}
    with pytest.raises(GradientError, match=r"the gradient of 'y' is missing, .* shape \(2,\)"):
        check_gradients(function, arrays, generator=generator)


def test_checker_refuses_a_gradient_of_another_shape(generator):
    layer = WrongAffine(3, array="bias", spoil=lambda array: array[np.newaxis])
    with pytest.raises(GradientError, match=r"'bias' is of shape \(1, 3\), expected shape \(3,"):
        check_layer(layer, (4,), generator=generator)


@dataclasses.dataclass(frozen=True)
class WrongTanh(Wrong, Tanh):
    array = "input"

    @staticmethod
    def spoil(array):
        return 1.001 * array


def test_checker_finds_a_thousandth_in_the_middle_of_a_network(generator):
    network = Network([Affine(3), WrongTanh(), Affine(2)], (4,), np.float64)
    network.parameters[...] = generator.standard_normal(network.parameters.size)
    x, labels = generator.standard_normal((5, 4)), np.array([0, 1, 1, 0, 1])
    with pytest.raises(GradientError, match=r"network: the gradient of 'affine1\.(weight|bias)'"):
        check_network(network, x, labels, CrossEntropy(), generator=generator)


def test_checker_finds_a_thousandth_in_a_loss(generator):
    class WrongLoss(MeanSquaredError):
        def __call__(self, outputs, targets, count=None):
            value, backward = super().__call__(outputs, targets, count)
            return value, lambda: 1.001 * backward()

    outputs, targets = generator.standard_normal((2, 4, 3))
    with pytest.raises(GradientError, match="WrongLoss: the gradient of 'outputs' is wrong"):
        check_loss(WrongLoss(), outputs, targets, generator=generator)


@pytest.mark.parametrize("targets", [np.array([0, 2, 1, 1]), np.full((4, 3), 1 / 3)])
@pytest.mark.parametrize(
    "loss", [MeanSquaredError(), CrossEntropy(), CrossEntropy(label_smoothing=0.1)]
)
@pytest.mark.parametrize("count", [None, 10])
def test_checker_accepts_right_losses(generator, loss, targets, count):
    outputs = generator.standard_normal((4, 3))
    check_loss(loss, outputs, targets, generator=generator, count=count)


def test_checker_accepts_a_right_network_with_random_layers(generator):
    layers = [Affine(6), ReLU(), Dropout(0.5), Affine(5), Tanh(), Affine(3)]
    network = Network(layers, (4,), np.float64)
    network.parameters[...] = generator.standard_normal(network.parameters.size)
    x, labels = generator.standard_normal((5, 4)), np.array([0, 1, 2, 0, 1])
    before = network.parameters.copy()
    worst = check_network(network, x, labels, CrossEntropy(), generator=generator)
    assert worst.error < 1e-6
    np.testing.assert_array_equal(network.parameters, before)


def test_checker_compares_only_the_given_number_of_entries(generator):
    calls = []

    def function(arrays):
        calls.append(1)
        return arrays["x"], lambda r: {"x": r}

    check_gradients(function, {"x": np.ones(1000)}, generator=generator, entries=7)
    assert len(calls) == 1 + 2 * 7


def test_checker_is_not_misled_by_a_kink_within_its_step(generator):
    # The difference from -5e-6 to 7e-6 straddles ReLU's kink and is not a derivative there.
    x = np.array([[1e-6, -1e-6, 1.0]])
    check_layer(ReLU(), (3,), generator=generator, x=x)


@pytest.mark.parametrize("layer", [ReLU(), LeakyReLU(), MaxPooling((1, 2), (1, 2))])
def test_checker_accepts_the_slope_of_either_side_at_a_kink(generator, layer):
    x = np.zeros((1, 1, 2, 1))
    check_layer(layer, (1, 2, 1), generator=generator, x=x)


def test_checker_accepts_a_network_with_all_units_at_their_kink(generator):
    # Biases start at zero, and one image is black.
    network = Network([Affine(6), ReLU(), Affine(5), ReLU(), Affine(3)], (4,), np.float64)
    network.initialize(he_normal, generator)
    x, labels = np.array([[0, 0, 0, 0], [0, 1, 0, 1.0]]), np.array([0, 2])
    check_network(network, x, labels, CrossEntropy(), generator=generator)


def test_checker_finds_a_wrong_gradient_at_a_kink(generator):
    def function(arrays):
        return np.maximum(arrays["x"], 0), lambda r: {"x": 0.501 * r}

    with pytest.raises(GradientError):
        check_gradients(function, {"x": np.zeros(1)}, generator=generator)


def test_checker_still_finds_a_wrong_gradient_beside_a_kink(generator):
    def function(arrays):
        x = arrays["x"]
        return np.maximum(x, 0), lambda r: {"x": 1.001 * r * (x > 0)}

    with pytest.raises(GradientError):
        check_gradients(function, {"x": np.array([1e-6])}, generator=generator)


def test_checker_ignores_rounding_of_a_large_output(generator):
    def function(arrays):
        return 1e6 + arrays["x"], lambda r: {"x": r}

    check_gradients(function, {"x": np.ones(4)}, generator=generator)


def test_checker_treats_the_last_bits_of_a_vanishing_gradient_as_zero(generator):
    # A bias before batch normalization does nothing, and its gradient is what rounding left.
    def function(arrays):
        return 3.0 * np.ones(4), lambda r: {"x": np.full(2, 1e-17)}

    check_gradients(function, {"x": np.ones(2)}, generator=generator)


def test_checker_computes_in_float64_for_any_dtype(generator):
    seen = []

    def function(arrays):
        seen.append(arrays["x"].dtype)
        return arrays["x"] ** 2, lambda r: {"x": 2 * r * arrays["x"]}

    check_gradients(function, {"x": np.array([1, 2], np.int32)}, generator=generator)
    assert set(seen) == {np.dtype(np.float64)}


def test_checker_requires_a_network_in_float64(generator):
    network = Network([Affine(2)], (4,), np.float32)
    with pytest.raises(TypeError, match="checked in float64, got float32"):
        check_network(network, np.ones((1, 4)), np.array([0]), CrossEntropy(), generator=generator)
