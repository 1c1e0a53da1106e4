"""The executor: whole networks in parts and threads, and refused inputs."""

import numpy as np
import pytest

from nets.errors import InputError
from nets.gradient_checker import check_network
from nets.kernels.plan import executor
from nets.layers import (
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    MaxPooling,
    ReLU,
    Sigmoid,
    Tanh,
)
from nets.losses import CrossEntropy, MeanSquaredError

NETWORKS = {
    "convnet": [
        Convolution(4, (3, 3), padding=(1, 1)), ReLU(),
        Convolution(5, (3, 3), padding=(2, 2)), ReLU(), MaxPooling(),
        Convolution(6, (3, 3)), ReLU(), Flatten(), Affine(7), ReLU(), Dropout(0.5), Affine(4),
    ],
    "with batch normalization": [
        Convolution(4, (3, 3), bias=False), BatchNormalization(), ReLU(), MaxPooling(),
        Convolution(5, (2, 2)), BatchNormalization(), Tanh(), Flatten(),
        Affine(6, bias=False), BatchNormalization(), ReLU(), Affine(4),
    ],
    "in place between": [
        Dropout(0.1), Convolution(3, (2, 2)), Dropout(0.2), MaxPooling(), Dropout(0.3),
        MaxPooling(),
        ReLU(), ReLU(), Convolution(5, (2, 1)), Tanh(), ReLU(), Flatten(), Dropout(0.2), Affine(4),
    ],
    "mlp": [Flatten(), Affine(20), ReLU(), Affine(20), ReLU(), Affine(4)],
    "without a fast form": [
        Convolution(3, (3, 3), stride=(2, 2)), Sigmoid(), Convolution(4, (2, 2)), Tanh(),
        AveragePooling(), Flatten(), Affine(4),
    ],
    "fast and plain in turns": [
        Dropout(0.1), Convolution(3, (2, 2)), Tanh(), MaxPooling((3, 3), (1, 1)), ReLU(),
        Convolution(4, (3, 3)), BatchNormalization(), Sigmoid(), Flatten(), Affine(4), Tanh(),
    ],
}  # fmt: skip


@pytest.mark.parametrize("batch", [1, 4, 11])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layers", NETWORKS.values(), ids=NETWORKS)
def test_a_step_and_a_prediction_agree_with_the_plain_form(compare, layers, dtype, batch):
    if batch == 1 and layers is NETWORKS["with batch normalization"]:
        pytest.skip("one value has no variance: every gradient before it is zero, up to rounding")
    tolerance = {np.float32: 3e-5, np.float64: 1e-11}[dtype]
    compare(layers, (9, 8, 1), dtype, rows=4).check(batch, tolerance=tolerance)


@pytest.mark.parametrize("layers", NETWORKS.values(), ids=NETWORKS)
def test_gradients_agree_with_differences(compare, generator, layers):
    comparison = compare(layers, (9, 8, 1), rows=2)
    x, labels, _ = comparison.data(5)
    check_network(
        comparison.network,
        x,
        labels,
        CrossEntropy(label_smoothing=0.1),
        generator=generator,
        compute=comparison.fast.loss_and_gradients,
        entries=12,
    )


@pytest.mark.parametrize("layers", NETWORKS.values(), ids=NETWORKS)
def test_any_number_of_threads_gives_the_same_bits(compare, generator, layers):
    comparison = compare(layers, (9, 8, 1), np.float32, rows=2)
    network = comparison.network
    x, labels, noise = comparison.data(45)  # more parts than lanes
    statistics = network.statistics.copy()
    results = []
    for threads in (1, 2, 3, 20):
        fast = type(comparison.fast)(network, comparison.fast.kernels, rows=2, threads=threads)
        for _ in range(2):  # the second time with used memory
            network.statistics[:] = statistics
            network.gradients[:] = np.nan
            value = fast.loss_and_gradients(x, labels, CrossEntropy(), noise)
            results.append((value, network.gradients.copy(), fast.predict(x)))
    for value, gradients, outputs in results[1:]:
        assert value == results[0][0]
        np.testing.assert_array_equal(gradients, results[0][1])
        np.testing.assert_array_equal(outputs, results[0][2])


def test_mini_batches_of_changing_size_do_not_disturb_each_other(compare):
    comparison = compare(NETWORKS["with batch normalization"], (9, 8, 1), rows=4)
    for batch in (10, 3, 16, 10, 2):
        comparison.check(batch)


def test_a_step_uses_the_current_parameters(compare, generator):
    comparison = compare(NETWORKS["convnet"], (9, 8, 1))
    for _ in range(3):
        comparison.network.parameters += 0.1 * generator.standard_normal(
            comparison.network.parameters.size
        )
        comparison.check(5)


@pytest.mark.parametrize(
    "loss", [MeanSquaredError(), CrossEntropy(0.2)], ids=lambda loss: str(loss)
)
def test_any_loss_is_split_over_the_parts(compare, loss):
    compare(NETWORKS["mlp"], (9, 8, 1), rows=3).check(8, loss)


def test_every_python_version_adds_the_losses_of_the_parts_alike(compare):
    comparison = compare(NETWORKS["mlp"], (9, 8, 1), rows=3)
    x, labels, _ = comparison.data(8)
    values = iter([1.0, 1e16, -1e16])  # sum() is 0 of these, and 1 since Python 3.12

    def loss(outputs, targets, count):
        return next(values), lambda: np.zeros_like(outputs)

    assert comparison.fast.loss_and_gradients(x, labels, loss) == 0


def test_the_outputs_of_the_last_step_can_be_read(compare):
    comparison = compare(NETWORKS["mlp"], (9, 8, 1), rows=3)
    x, labels, _ = comparison.data(8)
    comparison.fast.loss_and_gradients(x, labels, CrossEntropy())
    np.testing.assert_allclose(comparison.fast.outputs, comparison.network.predict(x))


def test_evaluating_during_a_training_changes_nothing(compare):
    comparison = compare(NETWORKS["with batch normalization"], (9, 8, 1), rows=4)
    x, labels, noise = comparison.data(10)
    network, fast = comparison.network, comparison.fast
    statistics = network.statistics.copy()
    fast.loss_and_gradients(x, labels, CrossEntropy(), noise)
    expected = network.gradients.copy()
    fast.predict(x)
    network.statistics[:] = statistics
    fast.loss_and_gradients(x, labels, CrossEntropy(), noise)
    np.testing.assert_array_equal(network.gradients, expected)


def test_a_network_without_kernels_can_be_executed(compare):
    compare([Flatten()], (3, 2)).check(4)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 5), np.float32), TypeError, "must be an array of float64, got float32"),
        (np.zeros((2, 4)), InputError, r"^network.input: got \(2, 4\), expected \(batch, 5\)"),
        (np.zeros((0, 5)), InputError, "with at least one row"),
        (
            np.full((2, 5), np.nan),
            InputError,
            "^network.input: NaN or infinity in row 0$",
        ),
    ],
)
def test_executor_refuses_what_the_network_refuses(compare, x, error, message):
    fast = compare([Affine(3)], (5,)).fast
    with pytest.raises(error, match=message):
        fast.predict(x)
    with pytest.raises(error, match=message):
        fast.loss_and_gradients(x, np.zeros(len(x), int), CrossEntropy())


def test_large_inputs_are_not_mistaken_for_infinite_ones(compare):
    fast = compare([Affine(3)], (5,), np.float32).fast
    assert np.isfinite(fast.predict(np.full((2, 5), 1e30, np.float32))).all()


def test_labels_are_checked(compare):
    fast = compare([Affine(3)], (5,)).fast
    with pytest.raises(InputError, match=r"^targets: got 3, expected 2, one per row$"):
        fast.loss_and_gradients(np.zeros((2, 5)), np.zeros(3, int), CrossEntropy())
    with pytest.raises(InputError, match=r"^labels: got 3, expected integers in 0..2$"):
        fast.loss_and_gradients(np.zeros((2, 5)), np.array([0, 3]), CrossEntropy())


def test_dropout_without_its_mask_is_refused(compare):
    fast = compare([Affine(3), Dropout(0.5)], (5,)).fast
    with pytest.raises(InputError, match=r"^dropout1.mask: got None, expected shape \(2, 3\)"):
        fast.loss_and_gradients(np.zeros((2, 5)), np.zeros(2, int), CrossEntropy())


@pytest.mark.parametrize(("given", "used"), [(2, 2), (20, 8)])
def test_executor_has_the_given_number_of_threads_up_to_that_of_its_lanes(given, used, compare):
    network = compare(NETWORKS["mlp"], (9, 8, 1)).network
    assert executor(network, threads=given).team.size == used


@pytest.mark.parametrize(("batch", "used"), [(2, {0}), (5, {0, 1, 2})])
def test_a_mini_batch_of_few_parts_is_computed_by_as_few_threads(batch, used, compare, monkeypatch):
    comparison = compare(NETWORKS["mlp"], (9, 8, 1), rows=2)
    fast = type(comparison.fast)(comparison.network, comparison.fast.kernels, rows=2, threads=4)
    called = set()
    run = fast.team.run
    monkeypatch.setattr(
        fast.team,
        "run",
        lambda work, count: run(lambda thread: called.add(thread) or work(thread), count),
    )
    x, labels, noise = comparison.data(batch)
    fast.loss_and_gradients(x, labels, CrossEntropy(), noise)
    assert called == used
