"""Images of one's own, as a file ``NAME.npz`` in the folder of the data."""

import numpy as np
import pytest

from nets.data import load, open_cached, own, own_files
from nets.errors import InputError


def arrays(shape=(5, 4, 3), **changed):
    """Images of five classes in a file's form, 20 to train on and 10 to test with."""
    generator = np.random.default_rng(5)
    return {
        "images": generator.integers(0, 256, (20, *shape), np.uint8),
        "labels": np.arange(20) % 5,
        "test_images": generator.integers(0, 256, (10, *shape), np.uint8),
        "test_labels": np.arange(10) % 5,
        **changed,
    }


@pytest.fixture
def written(tmp_path):
    """Writes a file ``cells.npz`` and loads it."""

    def write(content):
        np.savez(tmp_path / "cells.npz", **content)
        return load("cells", tmp_path, tmp_path / "cache")

    return write


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4)], ids=["colours", "grey"])
def test_a_file_of_images_is_a_dataset(written, shape):
    content = arrays(shape)
    cells = written(content)
    assert (cells.name, cells.classes, cells.full_scale) == ("cells", 5, 255)
    assert cells.image_shape == (5, 4, 3 if len(shape) == 3 else 1)
    np.testing.assert_array_equal(cells.images.reshape(20, *shape), content["images"])
    np.testing.assert_array_equal(cells.test_labels, content["test_labels"])
    assert isinstance(cells.images, np.memmap)


def test_the_names_of_keras_and_labels_in_a_column_are_taken(written):
    content = arrays()
    expected = written(content).sha256
    keras = {name: content[ours] for name, ours in own.KERAS.items()}
    assert written(keras | {"y_train": content["labels"][:, np.newaxis]}).sha256 == expected


def test_another_full_scale_is_kept(written):
    content = arrays()
    content |= {name: content[name] // 16 for name in ("images", "test_images")}
    as_bright_as_can_be = written(content)
    darker = written({**content, "full_scale": 15})
    assert (as_bright_as_can_be.full_scale, darker.full_scale) == (255, 15)
    # Trained with, they give other results: so they are two datasets, also in the record.
    assert darker.sha256 != as_bright_as_can_be.sha256
    again = written(content)
    assert (again.full_scale, again.sha256) == (255, as_bright_as_can_be.sha256)


def test_names_of_the_classes_are_kept_and_change_no_checksum(written):
    content = arrays()
    nameless = written(content)
    names = ["a", "b", "c", "d", "e", "never seen"]
    named = written({**content, "label_names": names})
    assert (nameless.label_names, nameless.classes) == ((), 5)
    assert (named.label_names, named.classes) == (tuple(names), 6)
    assert open_cached(named.path).label_names == tuple(names)
    assert named.sha256 == nameless.sha256


def test_a_changed_file_is_another_dataset(written):
    content = arrays()
    before = written(content)
    content["images"][3, 2, 1, 0] ^= 1
    after = written(content)
    assert after.sha256 != before.sha256
    assert after.path != before.path


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"images": np.zeros((20, 5, 4, 3))},
            r"images: got float64 \(20, 5, 4, 3\), accepted is",
        ),
        (
            {"images": np.zeros((20, 5), np.uint8)},
            r"images: got uint8 \(20, 5\), accepted is",
        ),
        ({"images": np.zeros((0, 5, 4), np.uint8)}, r"images: got uint8 \(0, 5, 4\), accepted is"),
        ({"labels": np.zeros(20)}, r"labels: got float64 \(20,\), accepted are whole numbers"),
        ({"labels": np.zeros((20, 2), int)}, r"labels: got int64 \(20, 2\), accepted are whole"),
        ({"labels": np.arange(20) - 1}, r"labels: got -1 to 18, accepted are 0 to 255"),
        ({"labels": np.arange(19)}, r"got 20 images but 19 labels, accepted is one label an image"),
        (
            {"labels": np.zeros(20, int), "test_labels": np.zeros(10, int)},
            r"labels: got 0 only, accepted are two classes or more",
        ),
        ({"full_scale": 0}, r"full_scale: got 0, accepted is a number from 1 to 255"),
        ({"full_scale": 16}, r"images: got a pixel of 255, accepted is up to full_scale, 16"),
        (
            {"test_images": np.zeros((10, 5, 4), np.uint8)},
            r"test_images: got \(5, 4, 1\), accepted is the shape of the training images, \(5, ",
        ),
        ({"label_names": ["a", "b"]}, r"label_names: got 2 for labels up to 4, accepted is one a"),
        ({"label_names": list("abcda")}, r"label_names: got \('a', .* accepted are different tex"),
        ({"label_names": [1, 2, 3, 4, 5]}, r"label_names: got int64 \(5,\), accepted are texts"),
        ({"labels": np.array([None] * 20)}, r"it cannot be read: Object arrays cannot be loaded"),
    ],
)
def test_a_file_of_something_else_is_refused(written, tmp_path, changed, message):
    with pytest.raises(InputError, match=message) as refused:
        written(arrays(**changed))
    assert str(refused.value).startswith(f"{tmp_path / 'cells.npz'}: ")
    assert not (tmp_path / "cache").exists()


def test_a_file_without_some_arrays_is_told_which(tmp_path):
    np.savez(tmp_path / "cells.npz", x_train=np.zeros((2, 3, 3), np.uint8), y_train=[0, 1])
    with pytest.raises(InputError, match=r"got no test_images, test_labels; accepted are the arra"):
        load("cells", tmp_path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 a broken one"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "cells.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"cells.npz: it cannot be read: .*; accepted is an .npz"):
        load("cells", tmp_path)


@pytest.mark.parametrize("name", ["../cells", "a/b", ".hidden", "", "a b"])
def test_a_name_is_no_path(tmp_path, name):
    with pytest.raises(InputError, match=r"the name of a file NAME\.npz in the folder of the data"):
        load(name, tmp_path)


def test_files_of_ones_own_are_found_by_their_names(tmp_path):
    for name in ("cells.npz", ".hidden.npz", "b.npz", "notes.txt"):
        (tmp_path / name).touch()
    assert list(own_files(tmp_path)) == ["b", "cells"]
    assert list(own_files(tmp_path / "not there")) == []
