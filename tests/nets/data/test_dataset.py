import dataclasses
import hashlib
import pickle

import numpy as np
import pytest

from nets.data import Dataset
from nets.errors import InputError


@pytest.fixture
def dataset():
    return Dataset(
        name="squares",
        images=np.arange(10 * 4, dtype=np.uint8).reshape(10, 2, 2, 1),
        labels=np.arange(10, dtype=np.uint8) % 3,
        test_images=np.zeros((2, 2, 2, 1), np.uint8),
        test_labels=np.zeros(2, np.uint8),
        classes=3,
        full_scale=39,
    )


@pytest.mark.parametrize("validation", [0, 1, 4, 9])
def test_split_gives_every_training_image_to_exactly_one_part(dataset, validation):
    train, held_out = dataset.split(validation, seed=3)
    assert len(held_out) == validation
    assert sorted([*train, *held_out]) == list(range(10))
    assert train.dtype == held_out.dtype == np.int64


def test_split_is_a_function_of_the_seed(dataset):
    assert all(map(np.array_equal, dataset.split(4, seed=1), dataset.split(4, seed=1)))
    assert not all(map(np.array_equal, dataset.split(4, seed=1), dataset.split(4, seed=2)))


@pytest.mark.parametrize("validation", [-1, 10, 11])
def test_split_leaves_something_to_train_on(dataset, validation):
    with pytest.raises(InputError, match="at least one of the 10 images of squares") as error:
        dataset.split(validation, seed=0)
    assert error.value.key == "validation"
    assert (error.value.received, error.value.expected) == (validation, "0 to 9")


def test_checksum_is_the_documented_one(dataset):
    content = b"images 10x2x2x1\n" + bytes(range(40)) + b"labels 10\n" + dataset.labels.tobytes()
    content += b"test_images 2x2x2x1\n" + bytes(8) + b"test_labels 2\n" + bytes(2)
    assert dataset.sha256 == hashlib.sha256(content).hexdigest()


def test_checksum_changes_with_one_pixel(dataset):
    images = dataset.images.copy()
    images[3, 1, 0, 0] += 1
    assert dataclasses.replace(dataset, images=images).sha256 != dataset.sha256


def test_checksum_does_not_depend_on_memory_layout(dataset):
    images = np.asfortranarray(dataset.images)
    assert dataclasses.replace(dataset, images=images).sha256 == dataset.sha256


def test_a_dataset_in_memory_can_be_pickled(dataset):
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy.images, dataset.images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((10, 2, 2), np.uint8)}, r"images: got uint8 \(10, 2, 2\), expected"),
        ({"images": np.zeros((10, 2, 2, 1))}, r"images: got float64 .*expected uint8 \(count,"),
        ({"labels": np.zeros((10, 3), np.uint8)}, r"labels: got uint8 \(10, 3\)"),
        ({"labels": np.zeros(9, np.uint8)}, "^labels: got 9, expected 10, one per image"),
        ({"labels": np.full(10, 3, np.uint8)}, "^labels: got 3, expected 0 to 2"),
        ({"test_labels": np.full(2, 9, np.uint8)}, "^test_labels: got 9"),
        (
            {"test_images": np.zeros((2, 3, 2, 1), np.uint8)},
            r"test_images: got \(3, 2, 1\), expected the shape of the training",
        ),
    ],
)
def test_arrays_that_do_not_match_are_refused(dataset, change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(dataset, **change)
