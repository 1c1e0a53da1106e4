import gzip
import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from nets.data import DATASETS, TEST_NOTES, default_folder, load, open_cached
from nets.data.mnist import FILES
from nets.errors import InputError

ARRAYS = ("images", "labels", "test_images", "test_labels")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return load("digits", tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("cache"))


def test_digits_are_scikit_learns_in_file_order(digits):
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    assert digits.images.shape == (1437, 8, 8, 1)
    assert digits.test_images.shape == (360, 8, 8, 1)
    loaded = np.concatenate([digits.images, digits.test_images]).reshape(-1, 64)
    np.testing.assert_array_equal(loaded, images)
    np.testing.assert_array_equal(np.concatenate([digits.labels, digits.test_labels]), labels)
    assert digits.full_scale == digits.images.max() == 16
    assert digits.classes == 10


def test_arrays_are_mapped_8_bit_and_read_only(digits):
    for name in ARRAYS:
        array = getattr(digits, name)
        assert isinstance(array, np.memmap)
        assert array.dtype == np.uint8
        assert not array.flags.writeable


def test_a_worker_opens_the_cache_without_scikit_learn_and_pooch(digits):
    program = (
        "import sys, pathlib; from nets.data import open_cached;"
        "dataset = open_cached(pathlib.Path(sys.argv[1]));"
        "print(dataset.sha256, int(dataset.images.sum()));"
        "print([name for name in ('sklearn', 'pooch', 'tqdm') if name in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, digits.path], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split("\n")[:2] == [f"{digits.sha256} {int(digits.images.sum())}", "[]"]


def test_a_cached_dataset_is_pickled_as_its_path(digits):
    message = pickle.dumps(digits)
    assert len(message) < 500
    copy = pickle.loads(message)
    assert copy.path == digits.path
    np.testing.assert_array_equal(copy.images, digits.images)


def test_digits_once_cached_are_loaded_without_scikit_learn(digits):
    program = (
        "import sys, pathlib; from nets.data import load;"
        "load('digits', pathlib.Path('none'), pathlib.Path(sys.argv[1]));"
        "print('sklearn' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, digits.path.parent],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "False\n"


def test_the_real_mnist_loads(mnist_folder, tmp_path):
    dataset = load("mnist", mnist_folder, tmp_path)
    assert dataset.images.shape == (60_000, 28, 28, 1)
    assert dataset.test_images.shape == (10_000, 28, 28, 1)
    assert dataset.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(dataset.test_labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert (dataset.full_scale, dataset.classes) == (255, 10)


@pytest.mark.parametrize("place", ["mnist", "."])
@pytest.mark.parametrize(("suffix", "write"), [("", bytes), (".gz", gzip.compress)])
def test_mnist_files_are_found_plain_or_gzip_in_either_place(
    little_mnist, tmp_path, place, suffix, write
):
    folder = tmp_path / "data" / place
    folder.mkdir(parents=True)
    for name, content in little_mnist.items():
        (folder / f"{name}{suffix}").write_bytes(write(content))
    dataset = load("mnist", tmp_path / "data", tmp_path / "cache")
    assert dataset.images.tobytes() == little_mnist["train-images-idx3-ubyte"][16:]
    assert dataset.test_labels.tobytes() == little_mnist["t10k-labels-idx1-ubyte"][8:]


def test_loading_never_writes_to_the_data_folder(little_mnist_folder, tmp_path):
    before = sorted(little_mnist_folder.rglob("*"))
    load("mnist", little_mnist_folder, tmp_path / "cache")
    assert sorted(little_mnist_folder.rglob("*")) == before


def test_the_default_cache_is_in_the_users_cache_folder(little_mnist_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert default_folder() == tmp_path / "home" / "retrial"
    dataset = load("mnist", little_mnist_folder)
    assert dataset.path.parent == tmp_path / "home" / "retrial" / "arrays"


def test_progress_reports_every_slow_step_and_writing_only_the_first_time(
    little_mnist_folder, tmp_path
):
    lines = []
    load("mnist", little_mnist_folder, tmp_path, lines.append)
    assert [line.split()[0] for line in lines] == ["reading"] * 4 + ["writing"]
    lines.clear()
    load("mnist", little_mnist_folder, tmp_path, lines.append)
    assert [line.split()[0] for line in lines] == ["reading"] * 4


def test_a_damaged_cache_is_replaced(little_mnist_folder, tmp_path):
    first = load("mnist", little_mnist_folder, tmp_path)
    images = first.images.tobytes()
    path = first.path / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert load("mnist", little_mnist_folder, tmp_path).images.tobytes() == images


@pytest.mark.parametrize("lost", ["dataset.json", "images.npy", "test_labels.npy"])
def test_an_incomplete_cache_is_refused_by_a_worker_and_completed_by_a_driver(
    little_mnist_folder, tmp_path, lost
):
    path = load("mnist", little_mnist_folder, tmp_path).path
    (path / lost).unlink()
    with pytest.raises(InputError, match=r"is not a complete data cache: .*No such file"):
        open_cached(path)
    load("mnist", little_mnist_folder, tmp_path)
    assert open_cached(path).images.shape == (6, 28, 28, 1)


WRITE_AND_READ = """
import pathlib, sys
import numpy as np
from nets.data.cache import open_verified, store
from nets.data.dataset import ARRAYS, Content, content_sha256
shapes = [(50, 8, 8, 1), (50,), (10, 8, 8, 1), (10,)]
arrays = {name: np.ones(shape, np.uint8) for name, shape in zip(ARRAYS, shapes)}
sha256 = content_sha256(arrays)
path = pathlib.Path(sys.argv[1])
for _ in range(100):
    store(path, Content(arrays, classes=2, full_scale=1), name="ones", sha256=sha256)
    assert open_verified(path, sha256) is not None
"""


def test_processes_may_write_and_read_one_cache_at_once(tmp_path):
    command = [sys.executable, "-c", WRITE_AND_READ, tmp_path]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([*(f"{name}.npy" for name in ARRAYS), "dataset.json"])


def test_error_for_an_unknown_dataset_lists_the_known_ones(tmp_path):
    np.savez(tmp_path / "cells.npz", images=[])
    with pytest.raises(InputError) as raised:
        load("mnits", tmp_path)
    assert (raised.value.key, raised.value.received) == ("data.name", "mnits")
    assert raised.value.expected == f"digits, mnist, cells or a file mnits.npz in {tmp_path}"
    assert raised.value.hint == "did you mean 'mnist'?"
    assert list(DATASETS) == ["digits", "mnist"]
    assert TEST_NOTES.keys() <= DATASETS.keys()


def test_error_for_missing_files_names_the_folder_and_the_command(little_mnist_folder, tmp_path):
    (little_mnist_folder / "mnist" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError) as raised:
        load("mnist", little_mnist_folder, tmp_path / "cache")
    missing = f"no t10k-labels-idx1-ubyte (plain or .gz) in {little_mnist_folder}"
    assert raised.value.problem.startswith(missing)
    assert "`retrial data fetch mnist`" in raised.value.hint
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "cache").exists()


def test_error_for_a_wrong_checksum_names_file_expected_and_received(
    little_mnist, little_mnist_folder, tmp_path
):
    path = little_mnist_folder / "mnist" / "train-labels-idx1-ubyte"
    path.write_bytes(little_mnist[path.name][:-1] + b"\x0b")
    expected = FILES["labels"].sha256
    with pytest.raises(InputError) as error:
        load("mnist", little_mnist_folder, tmp_path / "cache")
    assert (error.value.key, error.value.expected) == (str(path), expected)
    assert error.value.received == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_cache_that_cannot_be_written_is_named(little_mnist_folder, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"^cannot write the data cache .*cache/mnist-.*: "):
        load("mnist", little_mnist_folder, tmp_path / "cache")
