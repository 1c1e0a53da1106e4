"""Multiply and add, alone, broadcast and chained."""

import numpy as np
import pytest

from nets.gradient_checker import check_gradients
from nets.layers import add, multiply

SHAPES = [((3,), (3,)), ((2, 3), (3,)), ((2, 3), (2, 1)), ((), (4,)), ((1, 3), (2, 1)), ((), ())]


@pytest.mark.parametrize("operation", [add, multiply])
@pytest.mark.parametrize("shapes", SHAPES)
def test_arithmetic_has_the_gradient_of_its_result(operation, shapes, generator):
    def function(arrays):
        result, backward = operation(arrays["x"], arrays["y"])
        return result, lambda gradient: dict(zip(("x", "y"), backward(gradient), strict=True))

    arrays = {n: generator.standard_normal(s) for n, s in zip(("x", "y"), shapes, strict=True)}
    assert check_gradients(function, arrays, generator=generator).error < 1e-6


@pytest.mark.parametrize("operation", [add, multiply])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arithmetic_keeps_the_dtype_and_its_arguments(operation, dtype):
    x, y = np.array([2, 3], dtype), np.array([5], dtype)
    result, backward = operation(x, y)
    assert {a.dtype for a in (result, *backward(np.ones(2, dtype)))} == {np.dtype(dtype)}
    assert (x.tolist(), y.tolist()) == ([2, 3], [5])


def test_apples_and_oranges_with_tax():
    apples, undo_apples = multiply(np.array(100.0), np.array(2.0))
    oranges, undo_oranges = multiply(np.array(150.0), np.array(3.0))
    basket, undo_basket = add(apples, oranges)
    price, undo_tax = multiply(basket, np.array(1.1))
    assert price == pytest.approx(715)

    to_basket, to_tax = undo_tax(np.array(1.0))
    to_apples, to_oranges = undo_basket(to_basket)
    assert to_tax == 650
    assert undo_apples(to_apples) == pytest.approx((2.2, 110))
    assert undo_oranges(to_oranges) == pytest.approx((3.3, 165))


@pytest.mark.parametrize(
    ("operation", "message"),
    [(add, "^add: the second term must be"), (multiply, "^multiply: the second factor must be")],
)
def test_arithmetic_refuses_integers(operation, message):
    with pytest.raises(TypeError, match=f"{message} an array of float32 or float64, got int64"):
        operation(np.array([1.0]), np.array([1]))
