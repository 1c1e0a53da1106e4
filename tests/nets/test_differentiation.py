import numpy as np
import pytest

from nets.differentiation import derivative, descend, gradient

# The central difference


@pytest.mark.parametrize(
    ("function", "x", "slope"),
    [
        (lambda x: 0.01 * x**2 + 0.1 * x, 5, 0.2),
        (lambda x: 0.01 * x**2 + 0.1 * x, 10.0, 0.3),
        (np.sin, 0.0, 1.0),
        (np.exp, -1.0, np.exp(-1.0)),
        (lambda x: 1e12 * x, 1e-9, 1e12),
        (np.log, 1e6, 1e-6),
        (np.square, np.float32(3), 6.0),
    ],
)
def test_derivative_agrees_with_the_formula(function, x, slope):
    assert derivative(function, x) == pytest.approx(slope, rel=1e-8)


def test_derivative_of_a_cubic_is_off_by_the_square_of_the_step():
    # f(x+h) - f(x-h) = 2h f' + 2h^3 f''' / 6, and f''' is 6.
    for step in (0.1, 0.2):
        error = derivative(lambda x: x**3, 1.0, step) - 3
        assert error == pytest.approx(step**2)


def test_gradient_of_an_integer_array_keeps_its_step():
    np.testing.assert_allclose(
        gradient(lambda x: np.sum(x**2), np.array([3, 0, -2])), [6, 0, -4], atol=1e-8
    )


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (2, 1, 3, 2), (0,), (2, 0)])
def test_gradient_has_the_shape_of_its_array(generator, shape):
    x = generator.standard_normal(shape)
    slopes = gradient(lambda x: np.sum(np.sin(x)), x)
    assert slopes.shape == shape
    np.testing.assert_allclose(slopes, np.cos(x), rtol=1e-8)


def test_gradient_does_not_modify_the_array(generator):
    x = generator.standard_normal((3, 2)).astype(np.float32)
    before = x.copy()
    gradient(np.sum, x)
    np.testing.assert_array_equal(x, before)


def test_gradient_refuses_a_function_of_many_numbers():
    with pytest.raises(TypeError, match=r"must return one number, got an array \(2,\)"):
        gradient(lambda x: x, np.ones(2))


# Descending


def parabola(x):
    return x[0] ** 2 / 20 + x[1] ** 2


def test_descent_on_a_parabola_follows_the_closed_form():
    # Each coordinate shrinks by a constant factor a step: 1 - 0.9 / 10 and 1 - 0.9 * 2.
    path = descend(parabola, [-7, 2], learning_rate=0.9, steps=10)
    steps = np.arange(11)
    np.testing.assert_allclose(path[:, 0], -7 * 0.91**steps, rtol=1e-7)
    np.testing.assert_allclose(path[:, 1], 2 * (-0.8) ** steps, rtol=1e-7)


@pytest.mark.parametrize("start", [(3, 4), (-3, 4), (3, -4), (-3, -4)])
def test_descent_reaches_the_minimum_from_every_side(start):
    path = descend(lambda x: np.sum(x**2), start, learning_rate=0.1, steps=100)
    np.testing.assert_allclose(path[-1], 0, atol=1e-8)


def test_descent_records_every_point_from_the_start_on():
    path = descend(np.sum, np.ones((2, 3)), learning_rate=0.5, steps=4)
    assert path.shape == (5, 2, 3)
    np.testing.assert_allclose(path[:, 0, 0], [1, 0.5, 0, -0.5, -1], atol=1e-9)


def test_descent_uses_a_given_slope_that_may_work_in_place():
    def slope(x):
        x *= 2
        return x

    path = descend(parabola, [1.0, -1.0], learning_rate=0.25, steps=2, slope=slope)
    np.testing.assert_array_equal(path, [[1, -1], [0.5, -0.5], [0.25, -0.25]])


def test_descent_of_no_steps_is_the_start():
    np.testing.assert_array_equal(descend(parabola, [1, 2], learning_rate=1, steps=0), [[1, 2]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0, "steps": 1}, "learning_rate must be above 0, got 0"),
        ({"learning_rate": float("nan"), "steps": 1}, "learning_rate must be above 0, got nan"),
        ({"learning_rate": 0.1, "steps": -1}, "steps must be at least 0, got -1"),
    ],
)
def test_descent_refuses_invalid_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        descend(parabola, [1, 2], **settings)
