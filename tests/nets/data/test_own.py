"""Users' images, as a file ``NAME.npz`` in the data folder."""

import numpy as np
import pytest

from nets.data import load, open_cached, own, own_files
from nets.errors import InputError
from nets.model_source import probabilities, restore
from nets.objective import objective
from nets.settings import Settings
from nets.trainer import Training, check_fits


def arrays(shape=(5, 4, 3), **changed):
    """The arrays of a file with images of five classes, 20 for training and 10 for testing."""
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
    """Write a file ``cells.npz`` and load it."""

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


def test_the_names_of_keras_and_labels_in_a_column_are_accepted(written):
    content = arrays()
    expected = written(content).sha256
    keras = {name: content[ours] for name, ours in own.KERAS.items()}
    assert written(keras | {"y_train": content["labels"][:, np.newaxis]}).sha256 == expected


def test_another_full_scale_is_kept(written):
    content = arrays()
    content |= {name: content[name] // 16 for name in ("images", "test_images")}
    full_brightness = written(content)
    darker = written({**content, "full_scale": 15})
    assert (full_brightness.full_scale, darker.full_scale) == (255, 15)
    # Training with them gives different results, so they are two datasets.
    assert darker.sha256 != full_brightness.sha256
    again = written(content)
    assert (again.full_scale, again.sha256) == (255, full_brightness.sha256)


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
            r"images: got float64 \(20, 5, 4, 3\), expected uint8 images, or a table of floats",
        ),
        (
            {"images": np.zeros((20, 5), np.uint8)},
            r"images: got uint8 \(20, 5\), expected uint8",
        ),
        ({"images": np.zeros((0, 5, 4), np.uint8)}, r"images: got uint8 \(0, 5, 4\), expected"),
        ({"labels": np.zeros(20)}, r"labels: got float64 \(20,\), expected integers"),
        ({"labels": np.zeros((20, 2), int)}, r"labels: got int64 \(20, 2\), expected integers"),
        (
            {"labels": np.array(["a", "b"] * 10)},
            r"test_labels: got int64 \(10,\), expected strings, as the other labels are",
        ),
        (
            {
                "labels": np.array(["a", "b"] * 10),
                "test_labels": np.array(["a", "c"] * 5),
                "label_names": ["a", "b"],
            },
            r"labels: got 'c', expected one of label_names: a, b",
        ),
        ({"labels": np.arange(20) - 1}, r"labels: got -1 to 18, expected 0 to 255"),
        ({"labels": np.arange(19)}, r"labels: got 19, expected 20, one per image"),
        (
            {"labels": np.zeros(20, int), "test_labels": np.zeros(10, int)},
            r"labels: got 0 only, expected at least two classes",
        ),
        ({"full_scale": 0}, r"full_scale: got 0, expected an integer from 1 to 255"),
        ({"full_scale": 16}, r"images: got 255, expected pixels up to full_scale, 16"),
        (
            {"test_images": np.zeros((10, 5, 4), np.uint8)},
            r"test_images: got \(5, 4, 1\), expected the shape of the training images, \(5, ",
        ),
        (
            {"label_names": ["a", "b"]},
            r"label_names: got 2, expected at least 5, one per class",
        ),
        ({"label_names": list("abcda")}, r"label_names: got \('a', .* expected distinct strings"),
        ({"label_names": [1, 2, 3, 4, 5]}, r"label_names: got int64 \(5,\), expected strings"),
        ({"labels": np.array([None] * 20)}, r"cannot be read: an array of objects, expected"),
    ],
)
def test_a_file_with_other_content_is_refused(written, tmp_path, changed, message):
    with pytest.raises(InputError, match=message) as refused:
        written(arrays(**changed))
    assert refused.value.key.startswith(str(tmp_path / "cells.npz"))
    assert not (tmp_path / "cache").exists()


def test_error_for_missing_arrays_names_them(tmp_path):
    np.savez(tmp_path / "cells.npz", x_train=np.zeros((2, 3, 3), np.uint8), y_train=[0, 1])
    with pytest.raises(InputError, match=r"no test_images, test_labels, expected images, "):
        load("cells", tmp_path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 a broken one"])
def test_a_file_that_is_not_an_archive_is_refused(tmp_path, content):
    (tmp_path / "cells.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"cells.npz: cannot be read: .*, expected an .npz"):
        load("cells", tmp_path)


def test_arrays_too_large_for_memory_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("nets.data.own.LARGEST", 10_000)
    np.savez_compressed(tmp_path / "cells.npz", **arrays(), notes=np.zeros(9_000))
    assert load("cells", tmp_path).classes == 5  # notes are not read
    np.savez_compressed(tmp_path / "cells.npz", **arrays(images=np.zeros((20, 50, 40), np.uint8)))
    with pytest.raises(
        InputError, match=r"cells\.npz: got arrays of .* expected at most 10,000 in"
    ):
        load("cells", tmp_path)


@pytest.mark.parametrize("name", ["../cells", "a/b", ".hidden", "", "a b"])
def test_a_name_must_not_be_a_path(tmp_path, name):
    with pytest.raises(InputError, match=r"the name of a file NAME\.npz in the data folder"):
        load(name, tmp_path)


def test_users_files_are_found_by_their_names(tmp_path):
    for name in ("cells.npz", ".hidden.npz", "b.npz", "notes.txt"):
        (tmp_path / name).touch()
    assert list(own_files(tmp_path)) == ["b", "cells"]
    assert list(own_files(tmp_path / "not there")) == []


def a_table(**changed):
    """The arrays of a table of three features and two classes."""
    generator = np.random.default_rng(5)
    labels = np.array(["yes", "no"])
    return {
        "features": generator.normal([0.0, 100.0, -1e-3], [1.0, 20.0, 1e-4], (60, 3)),
        "labels": labels[np.arange(60) % 2],
        "test_features": generator.standard_normal((10, 3)),
        "test_labels": labels[np.arange(10) % 2],
        **changed,
    }


def test_a_table_of_floats_is_a_dataset(written):
    content = a_table()
    table = written(content)
    assert (table.is_table, table.image_shape, table.classes) == (True, (3,), 2)
    np.testing.assert_array_equal(table.images, content["features"].astype(np.float32))
    as_images = {own.TABLE.get(name, name): array for name, array in content.items()}
    assert written(as_images).sha256 == table.sha256
    assert open_cached(table.path).is_table


def test_labels_may_be_strings(written):
    named = written(a_table())
    assert named.label_names == ("no", "yes")
    np.testing.assert_array_equal(named.labels, 1 - np.arange(60) % 2)
    ordered = written(a_table(label_names=["yes", "no", "perhaps"]))
    assert (ordered.label_names, ordered.classes) == (("yes", "no", "perhaps"), 3)
    np.testing.assert_array_equal(ordered.labels, np.arange(60) % 2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"features": np.full((60, 3), np.nan)}, r"images: NaN, infinity or .* in row 0"),
        ({"features": np.full((60, 3), 1e300)}, r"images: .* too large for float32 in row 0"),
        ({"features": np.zeros((60, 3), int)}, r"images: got int64 \(60, 3\), expected uint8"),
        ({"test_features": np.zeros((10, 4))}, r"test_images: got \(4,\), expected the shape"),
        ({"test_features": np.zeros((10, 3), np.uint8)}, r"test_images: got uint8 \(10, 3\)"),
    ],
)
def test_a_table_with_other_content_is_refused(written, changed, message):
    with pytest.raises(InputError, match=message):
        written(a_table(**changed))


def test_a_table_is_standardized_by_the_rows_that_are_trained_on(written):
    table = written(a_table())
    settings = Settings(data="cells", validation=20, hidden=(4,), epochs=2)
    training = Training(settings, table)
    rows = table.images[training.training_rows].astype(np.float64)
    mean, deviation = (training.network.statistic_views[0][n] for n in ("mean", "deviation"))
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(deviation, rows.std(axis=0), rtol=1e-6)
    outcome = objective(settings, table, lambda epoch: None)
    network, full_scale, _ = restore(outcome.model.arrays)
    np.testing.assert_array_equal(network.statistics, training.network.statistics)
    answers = probabilities(network, full_scale, table.test_images)
    assert answers.shape == (10, 2)
    with pytest.raises(InputError, match=r"^features: got NaN or infinity, expected finite"):
        probabilities(network, full_scale, np.full((1, 3), np.nan, np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "lenet"}, r"^lenet: rows of a table of shape \(3,\) do not fit: convo"),
        ({"rotation": 5.0}, r"^augmentation: cells is a table, expected images$"),
    ],
)
def test_what_does_not_fit_a_table_is_refused(written, changes, message):
    settings = Settings(data="cells", validation=20, **changes)
    table = written(a_table())
    for refuse in (check_fits, Training):
        with pytest.raises(InputError, match=message):
            refuse(settings, table)
