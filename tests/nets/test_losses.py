"""Losses: values worked by hand, gradients by the checker, parts that add up to the whole."""

import math

import numpy as np
import pytest

from nets.errors import InputError
from nets.gradient_checker import check_loss
from nets.losses import CrossEntropy, MeanSquaredError, one_hot

LOSSES = [MeanSquaredError(), CrossEntropy(), CrossEntropy(label_smoothing=0.2)]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)


def rows(generator, count=6, classes=4):
    return generator.standard_normal((count, classes)), generator.integers(classes, size=count)


@every_loss
@pytest.mark.parametrize("count", [None, 24])
def test_loss_has_the_gradient_of_its_value(loss, count, generator):
    outputs, labels = rows(generator)
    assert check_loss(loss, outputs, labels, count=count, generator=generator).error < 1e-6


@every_loss
def test_loss_of_probability_rows_has_the_gradient_of_its_value(loss, generator):
    outputs, _ = rows(generator)
    targets = generator.dirichlet(np.ones(4), size=6)
    assert check_loss(loss, outputs, targets, generator=generator).error < 1e-6


@every_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loss_keeps_the_dtype_and_returns_a_plain_float(loss, dtype, generator):
    outputs, labels = rows(generator)
    value, backward = loss(outputs.astype(dtype), labels)
    assert type(value) is float
    assert backward().dtype == dtype


@every_loss
def test_loss_does_not_modify_its_inputs(loss, generator):
    outputs, labels = rows(generator)
    targets = one_hot(labels, 4)
    for array in (outputs, labels, targets):
        array.flags.writeable = False
    for given in (labels, targets):
        _, backward = loss(outputs, given)
        np.testing.assert_array_equal(backward(), backward())


@every_loss
def test_labels_are_equivalent_to_one_hot_rows(loss, generator):
    outputs, labels = rows(generator)
    by_label, by_row = loss(outputs, labels), loss(outputs, one_hot(labels, 4))
    assert by_label[0] == by_row[0]
    np.testing.assert_array_equal(by_label[1](), by_row[1]())


@every_loss
def test_parts_of_a_mini_batch_add_up_to_it(loss, generator):
    outputs, labels = rows(generator)
    value, backward = loss(outputs, labels)
    parts = [loss(outputs[a:b], labels[a:b], count=6) for a, b in ((0, 1), (1, 4), (4, 6))]
    assert sum(part[0] for part in parts) == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(np.concatenate([p[1]() for p in parts]), backward(), rtol=1e-14)


def test_mean_squared_error_by_hand():
    # differences 1, -2, 0, 3: squares sum to 14, over 2 rows of 2
    value, backward = MeanSquaredError()(np.array([[1.0, -2.0], [0.0, 3.0]]), np.zeros((2, 2)))
    assert value == 3.5
    np.testing.assert_array_equal(backward(), [[0.5, -1.0], [0.0, 1.5]])


def test_cross_entropy_by_hand():
    # probabilities 1/8, 2/8, 5/8 and 1/2, 1/4, 1/4
    scores = np.log([[1.0, 2.0, 5.0], [2.0, 1.0, 1.0]])
    value, backward = CrossEntropy()(scores, np.array([2, 0]))
    assert value == pytest.approx((math.log(8 / 5) + math.log(2)) / 2)
    np.testing.assert_allclose(backward(), [[1 / 16, 2 / 16, -3 / 16], [-1 / 4, 1 / 8, 1 / 8]])


def test_label_smoothing_by_hand():
    # e = 0.3 over 3 classes: targets 0.1, 0.1, 0.8 for the label 2
    scores = np.log([[1.0, 2.0, 5.0]])
    value, _ = CrossEntropy(label_smoothing=0.3)(scores, np.array([2]))
    expected = 0.1 * math.log(8) + 0.1 * math.log(4) + 0.8 * math.log(8 / 5)
    assert value == pytest.approx(expected)


def test_cross_entropy_of_equal_scores_is_the_logarithm_of_the_classes():
    assert CrossEntropy()(np.zeros((3, 10)), np.arange(3))[0] == pytest.approx(math.log(10))


def test_cross_entropy_is_stable_at_the_edges_of_float32():
    scores = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    value, backward = CrossEntropy()(scores, np.array([0, 0]))
    assert value == 1e4  # 0 and 2e4
    np.testing.assert_array_equal(backward(), [[0, 0], [-0.5, 0.5]])


WRONG_TARGETS = [
    (np.array([0, 4]), InputError, r"labels: got 4, expected integers in 0\.\.3"),
    (np.array([-1, 0]), InputError, r"labels: got -1, expected integers in 0\.\.3"),
    (np.array([0.0, 1.0]), TypeError, "labels must be integers, got float64"),
    (
        np.array([1]),
        InputError,
        r"targets: got \(1,\), expected labels \(2,\) or rows \(2, 4\)",
    ),
    (
        np.zeros((2, 3)),
        InputError,
        r"targets: got \(2, 3\), expected labels \(2,\) or rows \(2, 4\)",
    ),
]


@every_loss
@pytest.mark.parametrize(("targets", "error", "message"), WRONG_TARGETS)
def test_loss_refuses_wrong_targets(loss, targets, error, message):
    with pytest.raises(error, match=message):
        loss(np.zeros((2, 4)), targets)


@every_loss
def test_loss_refuses_wrong_outputs(loss):
    with pytest.raises(InputError, match=r"outputs: got \(3,\), expected \(batch, classes\)"):
        loss(np.zeros(3), np.zeros(3, int))
    with pytest.raises(InputError, match=r"\(0, 4\), .* at least one row$"):
        loss(np.zeros((0, 4)), np.zeros(0, int))
    with pytest.raises(
        TypeError, match="outputs must be an array of float32 or float64, got int64"
    ):
        loss(np.zeros((2, 4), np.int64), np.zeros(2, int))


@pytest.mark.parametrize(
    "row", [[0.5, 0.4, 0.0, 0.0], [1.5, -0.5, 0.0, 0.0], [np.nan, 1.0, 0.0, 0.0]]
)
def test_cross_entropy_refuses_rows_that_are_not_probabilities(row):
    targets = np.array([[0, 1, 0, 0], row], float)
    with pytest.raises(
        InputError, match=r"^cross-entropy.targets\[1\]: got .*, expected probabilities"
    ):
        CrossEntropy()(np.zeros((2, 4)), targets)


def test_label_smoothing_out_of_range_is_refused():
    with pytest.raises(InputError) as error:
        CrossEntropy(label_smoothing=1)
    assert (error.value.key, error.value.received) == ("label_smoothing", 1)
