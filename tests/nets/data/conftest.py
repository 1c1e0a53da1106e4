"""A small MNIST: the four files with six and two images, and matching checksums."""

import hashlib
import struct

import numpy as np
import pytest

from nets.data.mnist import FILES, File


def idx(array):
    """The content of an IDX file, built by hand."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.fixture
def little_mnist(monkeypatch):
    """Replace the published files by six training and two test images; return name -> content."""
    generator = np.random.default_rng(28)
    contents = {}
    for part, shape in {
        "images": (6, 28, 28),
        "labels": (6,),
        "test_images": (2, 28, 28),
        "test_labels": (2,),
    }.items():
        content = idx(generator.integers(0, 256 if len(shape) == 3 else 10, shape, dtype=np.uint8))
        name = FILES[part].name
        contents[name] = content
        monkeypatch.setitem(FILES, part, File(name, hashlib.sha256(content).hexdigest()))
    return contents


@pytest.fixture
def little_mnist_folder(little_mnist, tmp_path):
    """A data folder with the small MNIST in plain files."""
    folder = tmp_path / "data"
    (folder / "mnist").mkdir(parents=True)
    for name, content in little_mnist.items():
        (folder / "mnist" / name).write_bytes(content)
    return folder
