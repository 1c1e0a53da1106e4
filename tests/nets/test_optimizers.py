"""Optimizers: three steps by hand, two minima, and resuming from a saved state."""

import math

import numpy as np
import pytest

from nets.optimizers import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    RMSProp,
    clip_by_norm,
    make,
)
from nets.settings import Settings

RATE = 0.1
START = 1.0
GRADIENTS = (0.5, -0.25, 1.0)


def sgd():
    # w <- w - r g
    yield START - RATE * 0.5
    yield START - RATE * (0.5 - 0.25)
    yield START - RATE * (0.5 - 0.25 + 1.0)


def momentum():
    # m = 0.9; v: 0.5, 0.9 * 0.5 - 0.25 = 0.2, 0.9 * 0.2 + 1 = 1.18
    yield START - RATE * 0.5
    yield START - RATE * (0.5 + 0.2)
    yield START - RATE * (0.5 + 0.2 + 1.18)


def nesterov():
    # the same v; steps g + 0.9 v: 0.5 + 0.45 = 0.95, -0.25 + 0.18 = -0.07, 1 + 1.062 = 2.062
    yield START - RATE * 0.95
    yield START - RATE * (0.95 - 0.07)
    yield START - RATE * (0.95 - 0.07 + 2.062)


def adagrad():
    # h: 0.25, 0.3125, 1.3125
    w = START
    for g, h in zip(GRADIENTS, (0.25, 0.3125, 1.3125), strict=True):
        w -= RATE * g / (math.sqrt(h) + 1e-10)
        yield w


def rmsprop():
    # d = 0.5; h: 0.125, 0.0625 + 0.03125 = 0.09375, 0.046875 + 0.5 = 0.546875
    w = START
    for g, h in zip(GRADIENTS, (0.125, 0.09375, 0.546875), strict=True):
        w -= RATE * g / (math.sqrt(h) + 1e-8)
        yield w


# Adam with b1 = 0.5 and b2 = 0.75, by the paper's algorithm:
# m: 0.25, 0.125 - 0.125 = 0, 0 + 0.5 = 0.5
# h: 0.0625, 0.046875 + 0.015625 = 0.0625, 0.046875 + 0.25 = 0.296875
# 1 - b1^t: 1/2, 3/4, 7/8     1 - b2^t: 1/4, 7/16, 37/64
MOMENTS = ((0.25 / 0.5, 0.0625 / 0.25), (0.0, 0.0625 / 0.4375), (0.5 / 0.875, 0.296875 / 0.578125))


def adam():
    w = START
    for m, h in MOMENTS:
        w -= RATE * m / (math.sqrt(h) + 1e-8)
        yield w


def adamw():
    # first 2 % decay a step (r = 0.1 times decay = 0.2), then Adam's step
    w = START
    for m, h in MOMENTS:
        w = w * 0.98 - RATE * m / (math.sqrt(h) + 1e-8)
        yield w


BY_HAND = [
    (SGD(1), sgd),
    (Momentum(1), momentum),
    (Nesterov(1), nesterov),
    (AdaGrad(1), adagrad),
    (RMSProp(1, decay=0.5), rmsprop),
    (Adam(1, beta1=0.5, beta2=0.75), adam),
    (AdamW(1, beta1=0.5, beta2=0.75, weight_decay=0.2), adamw),
]


@pytest.mark.parametrize(("optimizer", "steps"), BY_HAND, ids=[f.__name__ for _, f in BY_HAND])
def test_optimizer_takes_the_paper_s_first_three_steps(optimizer, steps):
    w = np.array([START])
    for gradient, expected in zip(GRADIENTS, steps(), strict=True):
        optimizer.update(w, np.array([gradient]), RATE)
        assert w[0] == pytest.approx(expected, rel=1e-13)


KINDS = {
    "sgd": (SGD, {}),
    "momentum": (Momentum, {}),
    "nesterov": (Nesterov, {}),
    "adagrad": (AdaGrad, {}),
    "rmsprop": (RMSProp, {"decay": 0.9}),
    "adam": (Adam, {}),
    "adamw": (AdamW, {"weight_decay": 0.01, "weights": 1}),
}
PARABOLA_RATES = {
    "sgd": 0.1, "momentum": 0.02, "nesterov": 0.02, "adagrad": 1.0, "rmsprop": 0.05,
    "adam": 0.1, "adamw": 0.1,
}  # fmt: skip
ROSENBROCK_RATES = {
    "sgd": 1e-3, "momentum": 2e-4, "nesterov": 2e-4, "adagrad": 0.5, "rmsprop": 1e-3,
    "adam": 0.02, "adamw": 0.02,
}  # fmt: skip
every_optimizer = pytest.mark.parametrize("name", KINDS)


def new(name, size=2, dtype=np.float64, **changes):
    kind, hyperparameters = KINDS[name]
    return kind(size, dtype, **hyperparameters | changes)


def without_decay(name):
    return new(name, **({"weight_decay": 0.0} if name == "adamw" else {}))


@every_optimizer
def test_optimizer_reaches_the_minimum_of_a_parabola(name):
    # f(x, y) = x^2 / 20 + y^2, ten times as steep in one direction
    w, optimizer = np.array([-7.0, 2.0]), without_decay(name)
    for step in range(3000):
        rate = PARABOLA_RATES[name] * (1 - step / 3000)
        optimizer.update(w, np.array([w[0] / 10, 2 * w[1]]), rate)
    np.testing.assert_allclose(w, 0, atol=1e-3)


@every_optimizer
def test_optimizer_reaches_the_minimum_of_rosenbrock_s_valley(name):
    # f(x, y) = (1 - x)^2 + 100 (y - x^2)^2
    w, optimizer = np.array([-1.0, 1.0]), without_decay(name)
    for step in range(20_000):
        x, y = w
        gradient = np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])
        optimizer.update(w, gradient, ROSENBROCK_RATES[name] * (1 - step / 20_000))
    np.testing.assert_allclose(w, 1, atol=0.02)


@every_optimizer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_optimizer_works_in_place_and_in_one_dtype(name, dtype, generator):
    optimizer = new(name, 5, dtype)
    w, gradient = (generator.standard_normal(5).astype(dtype) for _ in range(2))
    gradient.flags.writeable = False
    view, before = w[:], w.copy()
    for _ in range(3):
        optimizer.update(w, gradient, 0.01)
    assert view is not w
    assert (view == w).all()
    assert (w != before).all()
    arrays = [value for value in optimizer.state().values() if isinstance(value, np.ndarray)]
    assert {array.dtype for array in (w, *arrays)} == {np.dtype(dtype)}


@every_optimizer
def test_optimizer_starts_from_zero_state(name):
    for value in new(name).state().values():
        assert not np.any(value)


@every_optimizer
def test_optimizer_restored_from_its_state_is_identical_to_the_bit(name, generator):
    gradients = generator.standard_normal((6, 3)).astype(np.float32)
    w, optimizer = np.ones(3, np.float32), new(name, 3, np.float32)
    for gradient in gradients[:3]:
        optimizer.update(w, gradient, 0.01)
    saved_w, saved = w.copy(), optimizer.state()
    for gradient in gradients[3:]:
        optimizer.update(w, gradient, 0.01)

    continued = new(name, 3, np.float32)
    continued.restore(saved)
    for gradient in gradients[3:]:
        continued.update(saved_w, gradient, 0.01)
    np.testing.assert_array_equal(saved_w, w)


@every_optimizer
def test_state_is_a_copy(name):
    optimizer = new(name)
    before = optimizer.state()
    optimizer.update(np.ones(2), np.ones(2), 0.1)
    for value in before.values():
        assert not np.any(value)


@every_optimizer
def test_a_zero_gradient_changes_nothing(name):
    w, optimizer = np.ones(2, np.float32), without_decay(name)
    optimizer.update(w, np.zeros(2, np.float32), 0.1)
    np.testing.assert_array_equal(w, 1)


def test_adamw_decays_only_the_weights():
    w = np.ones(4)
    AdamW(4, weight_decay=0.5, weights=2).update(w, np.zeros(4), 0.1)
    np.testing.assert_allclose(w, [0.95, 0.95, 1, 1])


def test_adamw_s_decay_does_not_depend_on_the_gradient_s_size():
    w = np.array([1.0, 1.0])
    plain = w.copy()
    gradient = np.array([1e-3, 1e3])
    AdamW(2, weight_decay=0.5).update(w, gradient, 0.1)
    Adam(2).update(plain, gradient, 0.1)
    np.testing.assert_allclose(w - plain, -0.05)


@pytest.mark.parametrize("name", KINDS)
def test_make_takes_its_hyperparameters_from_settings(name):
    settings = Settings(
        optimizer=name, momentum=0.7, beta1=0.6, beta2=0.8, weight_decay=0.3, learning_rate=1
    )
    optimizer = make(settings, size=5, weights=3)
    assert type(optimizer) is KINDS[name][0]
    expected = {
        "momentum": {"momentum": 0.7},
        "nesterov": {"momentum": 0.7},
        "rmsprop": {"decay": 0.8},
        "adam": {"beta1": 0.6, "beta2": 0.8},
        "adamw": {"weight_decay": 0.3, "weights": 3},
    }.get(name, {})
    assert {key: getattr(optimizer, key) for key in expected} == expected


def test_clipping_shortens_a_long_gradient_and_keeps_its_direction(generator):
    gradient = generator.standard_normal(50)
    before = gradient.copy()
    norm = clip_by_norm(gradient, 0.5)
    assert norm == pytest.approx(np.linalg.norm(before))
    assert np.linalg.norm(gradient) == pytest.approx(0.5)
    np.testing.assert_allclose(gradient / gradient[0], before / before[0])


def test_clipping_does_not_change_a_short_gradient():
    gradient = np.array([0.3, 0.4])
    assert clip_by_norm(gradient, 0.5) == pytest.approx(0.5)
    np.testing.assert_array_equal(gradient, [0.3, 0.4])
