"""`retrial data list`: what it says about a dataset."""

import numpy as np
import pytest

from nets import data
from nets.data import Dataset
from studies.cli.data import description_of


def described(labels, test_labels, shape=(4, 4, 1), dtype=np.uint8, names=(), classes=3):
    dataset = Dataset(
        name="cells",
        images=np.zeros((len(labels), *shape), dtype),
        labels=np.array(labels, np.uint8),
        test_images=np.zeros((len(test_labels), *shape), dtype),
        test_labels=np.array(test_labels, np.uint8),
        classes=classes,
        full_scale=255,
        label_names=names,
    )
    return description_of(dataset)


def test_images_are_counted_by_class():
    first, second = described([0, 0, 1, 2], [0, 1, 2], names=("a", "b", "c"))
    assert first.startswith("4 training and 3 test images of 4x4x1, 3 classes, SHA-256 ")
    assert second == "by class, training+test: a 2+1, b 1+1, c 1+1"


def test_how_the_test_images_differ_is_said_where_it_is_known():
    digits = data.load("digits", data.default_folder())
    assert f"note: {data.TEST_NOTES['digits']}" in description_of(digits)


def test_rows_of_a_table_are_counted_by_class():
    first, _ = described([0, 1, 2], [0, 1, 2], (13,), np.float32)
    assert first.startswith("3 training and 3 test rows of 13 features, 3 classes, ")


def test_only_the_first_of_many_classes_are_counted():
    _, second = described(range(30), range(30), classes=30)
    assert second.endswith("18 1+1, 19 1+1, and 10 more")


@pytest.mark.parametrize(
    ("labels", "test_labels", "options", "warning"),
    [
        ([0, 1, 1], [0, 1, 2], {}, "no training image of class 2"),
        ([0, 1, 2], [0, 0], {"names": ("a", "b", "c")}, "no test image of class b, c"),
        ([0] * 19 + [1], [0, 1], {"classes": 2}, "95% of training is of class 0"),
        (
            [0, 1, 2], [0, 1, 2], {"shape": (3, 8, 8)},
            "images of 3x8x8 look channels-first, expected (height, width, channels)",
        ),
        (
            [0, 1] * 4000 + [2], [0, 1, 2], {},
            "no validation image (of 360, the default) of class 2",
        ),
    ],
)  # fmt: skip
def test_what_may_be_wrong_is_a_warning(labels, test_labels, options, warning):
    assert described(labels, test_labels, **options)[2:] == [f"warning: {warning}"]
