"""How much of its frame a digit fills."""

import numpy as np
import pytest

from nets.data import default_folder, load
from nets.framing import fill_of


def test_mnist_digits_take_20_of_28_pixels(mnist_folder):
    assert fill_of(load("mnist", mnist_folder).images[:500]) == pytest.approx(20 / 28, abs=0.005)


def test_digits_of_scikit_learn_fill_their_frame():
    assert fill_of(load("digits", default_folder()).images[:500]) == 1.0


def test_images_without_ink_do_not_count():
    images = np.zeros((3, 10, 10, 1), np.uint8)
    images[1, 2:7, 4] = 255
    assert fill_of(images) == 0.5


def test_without_any_ink_the_frame_is_filled():
    assert fill_of(np.zeros((2, 4, 4, 1))) == 1.0


def test_faint_pixels_are_not_ink():
    image = np.zeros((1, 10, 10, 1), np.uint8)
    image[0, 3:6, 3:6] = 200
    image[0, 0, 0] = 50
    assert fill_of(image) == pytest.approx(0.3)
