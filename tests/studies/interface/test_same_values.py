"""When a module and a notebook have the same value."""

import math
import random
from collections import namedtuple
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import pandas
import pytest

from studies.interface.notebook import is_same

Point = namedtuple("Point", "x y")


class Kind(Enum):
    ONE = 1


def points():
    """A class, as a module and a notebook each have their own."""

    @dataclass
    class Place:
        x: object

    return Place


def frame(*values):
    return pandas.DataFrame({"a": values})


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (1, 1), ("a", "a"), (None, None), (math.nan, math.nan), (Path("a"), Path("a")),
        (np.float64(math.nan), np.float64(math.nan)), ([1, (2, {"a": 3})], [1, (2, {"a": 3})]),
        (np.array([1.0, math.nan]), np.array([1.0, math.nan])), ({1, 2}, {2, 1}),
        (np.array(["a", None], object), np.array(["a", None], object)),
        (frame(1.0, math.nan), frame(1.0, math.nan)), (frame(1).a, frame(1).a),
        (Point(1, 2), Point(1, 2)), (points()(1), points()(1)),
        (pandas.DataFrame, pandas.DataFrame), (np, np), (np.ndarray, np.ndarray), (frame, frame),
        # What cannot be compared.
        (object(), object()), (random.Random(1), random.Random(2)), ({Kind.ONE: 1}, {Kind.ONE: 1}),
    ],
)  # fmt: skip
def test_same(ours, theirs):
    assert is_same(ours, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (1, 2), (1, 1.0), (1, True), ("a", b"a"), (1, None), ([1], [1, 2]), ([1], (1,)),
        ({"a": 1}, {"a": 2}), ({"a": 1}, {"b": 1}), ({1}, {2}), (math.nan, 0.0),
        (np.zeros(2), np.zeros(3)), (np.zeros(2), np.zeros(2, np.float32)),
        (np.zeros(2), np.ones(2)), (np.array([[1], None], object), np.array([[2], None], object)),
        (frame(1), frame(2)), (frame(1), frame(1.0)), (points()(1), points()(2)), (frame, 1),
        (points()([np.zeros(1)]), points()([np.ones(1)])),
    ],
)  # fmt: skip
def test_different(ours, theirs):
    assert not is_same(ours, theirs)


def test_tensors_are_compared():
    torch = pytest.importorskip("torch")
    assert is_same(torch, torch)
    assert is_same(torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True))
    assert not is_same(torch.zeros(2), torch.ones(2))
