import dataclasses

import numpy as np
import pytest

from nets.augmentation import Augmenter, Distortion, draw, smooth, wanted
from nets.errors import InputError
from nets.resampling import CHUNK, Resampler
from nets.settings import Settings

EVERYTHING = Settings(shift=2, rotation=20, scale=0.2, shear=0.2, elastic=1)
EACH = [
    Settings(shift=2.5),
    Settings(rotation=30),
    Settings(scale=0.3),
    Settings(shear=0.3),
    Settings(elastic=1.5),
    EVERYTHING,
]


@pytest.fixture
def images(generator):
    return generator.random((5, 9, 8, 2), dtype=np.float32)


def distorted(images, **values):
    """All images under one distortion given by hand."""
    one = Distortion.none(len(images))
    given = {
        name: np.broadcast_to(np.float64(value), getattr(one, name).shape)
        for name, value in values.items()
    }
    return Augmenter(Settings(), images.shape[1:], images.dtype).distort(
        images, dataclasses.replace(one, **given)
    )


def blob(height=29, width=29, spread=3.0):
    """A round spot in the middle of one image, near zero at its edges."""
    down, right = np.ogrid[:height, :width]
    square = (down - (height - 1) / 2) ** 2 + (right - (width - 1) / 2) ** 2
    return np.exp(-square / (2 * spread**2))[np.newaxis, :, :, np.newaxis]


def centre_and_spread(image):
    """The mean position (down, right) of an image's mass and its covariance."""
    mass = image[0, :, :, 0]
    positions = np.stack(np.indices(mass.shape)).reshape(2, -1)
    return positions @ mass.ravel() / mass.sum(), np.cov(positions, aweights=mass.ravel())


# The contract


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("strengths", EACH)
def test_augmenter_preserves_shape_and_dtype_and_does_not_modify_its_input(
    generator, strengths, dtype
):
    images = generator.random((5, 9, 8, 2)).astype(dtype)
    before = images.copy()
    augmented = Augmenter(strengths, (9, 8, 2), dtype)(images, generator)
    assert (augmented.shape, augmented.dtype) == (images.shape, dtype)
    assert not np.array_equal(augmented, images)
    np.testing.assert_array_equal(images, before)


def test_strength_zero_changes_no_pixel(images, generator):
    augmented = Augmenter(Settings(), (9, 8, 2))(images, generator)
    np.testing.assert_array_equal(augmented, images)
    assert not np.shares_memory(augmented, images)


@pytest.mark.parametrize("strengths", EACH)
def test_augmenter_repeats_itself_from_the_same_generator_state(images, strengths):
    augmenter = Augmenter(strengths, (9, 8, 2))
    first, again, other = (augmenter(images, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("strengths", EACH)
def test_images_are_distorted_alike_however_the_batch_is_cut(generator, strengths):
    count = 2 * CHUNK + 3
    images = generator.random((count, 9, 8, 2), dtype=np.float32)
    augmenter = Augmenter(strengths, (9, 8, 2))
    whole = augmenter(images, np.random.default_rng(5))
    parts_generator = np.random.default_rng(5)
    parts = [augmenter(part, parts_generator) for part in np.split(images, [1, 4, CHUNK + 9])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_strength_does_not_change_the_numbers_drawn_for_another():
    shape = (9, 8, 1)
    shifted = draw(Settings(shift=2), 50, shape, np.random.default_rng(3))
    both = draw(Settings(shift=2, rotation=10), 50, shape, np.random.default_rng(3))
    np.testing.assert_array_equal(shifted.shift, both.shift)


def test_augmenter_writes_to_the_given_array(images, generator):
    out = np.empty_like(images)
    assert Augmenter(EVERYTHING, (9, 8, 2))(images, generator, out) is out


def test_augmenter_accepts_no_images_and_a_single_one(generator):
    augmenter = Augmenter(EVERYTHING, (9, 8, 2))
    assert augmenter(np.empty((0, 9, 8, 2), np.float32), generator).shape == (0, 9, 8, 2)
    assert augmenter(np.ones((1, 9, 8, 2), np.float32), generator).shape == (1, 9, 8, 2)


def test_augmenter_refuses_other_images(generator):
    augmenter = Augmenter(EVERYTHING, (9, 8, 1))
    with pytest.raises(InputError) as error:
        augmenter(np.ones((2, 8, 9, 1), np.float32), generator)
    assert error.value.key == "augmentation.images"
    assert (error.value.received, error.value.expected) == ((2, 8, 9, 1), "(n, 9, 8, 1)")
    with pytest.raises(TypeError, match=r"augmentation: images must be .*float64, got uint8"):
        augmenter(np.ones((2, 9, 8, 1), np.uint8), generator)


@pytest.mark.parametrize("strengths", EACH)
def test_augmentation_is_wanted_if_any_strength_is_above_zero(strengths):
    assert wanted(strengths)
    assert not wanted(Settings())


# Each distortion


@pytest.mark.parametrize("shift", [(1, 0), (-1, 0), (0, 1), (0, -1), (2, -3), (20, 0)])
def test_a_shift_by_whole_pixels_moves_them_and_fills_with_zeros(images, shift):
    expected = np.zeros_like(images)
    down, right = shift
    for row in range(9):
        for column in range(8):
            if 0 <= row + down < 9 and 0 <= column + right < 8:
                expected[:, row + down, column + right] = images[:, row, column]
    np.testing.assert_array_equal(distorted(images, shift=shift), expected)


def test_a_shift_by_half_a_pixel_is_the_mean_of_neighbours(images):
    framed = np.pad(images, ((0, 0), (0, 0), (1, 0), (0, 0)))
    expected = (framed[:, :, 1:] + framed[:, :, :-1]) / 2
    np.testing.assert_allclose(distorted(images, shift=(0, 0.5)), expected, rtol=1e-6)


@pytest.mark.parametrize("turns", [-4, 4, 8])
def test_a_full_turn_is_the_identity(images, turns):
    np.testing.assert_array_equal(distorted(images, rotation=90 * turns), images)


@pytest.mark.parametrize("turns", [-1, 1, 2, 3])
def test_a_quarter_turn_is_numpys(generator, turns):
    images = generator.random((3, 9, 9, 2), dtype=np.float32)
    expected = np.rot90(images, turns, axes=(1, 2))
    np.testing.assert_allclose(distorted(images, rotation=90 * turns), expected, atol=1e-5)


def test_a_rotation_and_the_one_back_nearly_cancel():
    image = blob() * np.linspace(0, 1, 29)[:, np.newaxis]
    back = distorted(distorted(image, rotation=25), rotation=-25)
    # What is left is the blur of resampling twice.
    np.testing.assert_allclose(back, image, atol=0.03)


def test_a_scale_of_two_doubles_the_spread():
    _, before = centre_and_spread(blob(spread=2))
    _, after = centre_and_spread(distorted(blob(spread=2), scale=2))
    np.testing.assert_allclose(after, 4 * before, atol=0.2)


def test_a_shear_slides_each_row_past_the_one_below():
    # From the row in the middle on: three pixels up and, at shear 1, three to the right.
    image = np.zeros((1, 9, 9, 1))
    image[0, 1, 4, 0] = 1
    sheared = distorted(image, shear=1.0)
    assert np.argwhere(sheared[0, :, :, 0] > 0.5).tolist() == [[1, 7]]


def test_a_displacement_determines_from_where_each_pixel_is_fetched(images):
    displacement = np.zeros((2, 9, 8))
    displacement[0, 3, 4] = 2
    displacement[1, 5, 5] = -1.5
    expected = images.copy()
    expected[:, 3, 4] = images[:, 5, 4]
    expected[:, 5, 5] = (images[:, 5, 3] + images[:, 5, 4]) / 2
    one = dataclasses.replace(
        Distortion.none(5), displacement=np.broadcast_to(displacement, (5, 2, 9, 8))
    )
    moved = Augmenter(Settings(), (9, 8, 2)).distort(images, one)
    np.testing.assert_allclose(moved, expected, rtol=1e-6)


def test_the_parts_are_applied_in_the_documented_order():
    # Sheared, turned, scaled, shifted. A dot two pixels above the centre slides 2 to the right,
    # is turned by 90 degrees to the left, pulled away to twice the distance, and pushed down by 1.
    image = np.zeros((1, 13, 13, 1))
    image[0, 4, 6, 0] = 1
    moved = distorted(image, shear=1.0, rotation=90.0, scale=2.0, shift=(1.0, 0.0))
    # (-2, 0) -> (-2, 2) -> (-2, -2) -> (-4, -4) -> (-3, -4), from the centre (6, 6).
    assert np.unravel_index(moved[0, :, :, 0].argmax(), (13, 13)) == (3, 2)


@pytest.mark.parametrize(
    ("values", "factor"),
    [
        ({"shift": (1.3, -2.7)}, 1.0),
        ({"rotation": 33.0}, 1.0),
        ({"shear": 0.3}, 1.0),
        ({"scale": 1.2}, 1.2**2),
        ({"scale": 0.8}, 0.8**2),
        ({"rotation": 20.0, "shear": -0.2, "shift": (1.0, 1.0)}, 1.0),
    ],
)
def test_mass_changes_only_with_the_area(values, factor):
    mass = distorted(blob(), **values).sum()
    assert mass == pytest.approx(factor * blob().sum(), rel=5e-3)


@pytest.mark.parametrize("strengths", EACH)
def test_mean_mass_is_kept_by_random_distortions(generator, strengths):
    images = np.repeat(blob().astype(np.float32), 400, axis=0)
    masses = Augmenter(strengths, (29, 29, 1))(images, generator).sum(axis=(1, 2, 3))
    # E[(1 + u)^2] = 1 + scale^2 / 3 for u uniform within +-scale. An elastic distortion changes
    # areas by chance, and by few per cent.
    expected = blob().sum() * (1 + strengths.scale**2 / 3)
    assert masses.mean() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("strengths", EACH)
def test_every_pixel_stays_in_the_range_of_the_image(images, generator, strengths):
    augmented = Augmenter(strengths, (9, 8, 2))(images, generator)
    assert 0 <= augmented.min() <= augmented.max() <= images.max()


# What is drawn


@pytest.mark.parametrize(
    ("name", "strength", "middle"),
    [("shift", 2.5, 0), ("rotation", 30, 0), ("scale", 0.3, 1), ("shear", 0.2, 0)],
)
def test_values_are_uniform_within_their_strength(generator, name, strength, middle):
    drawn = getattr(draw(Settings(**{name: strength}), 4000, (8, 8, 1), generator), name)
    away = (drawn - middle) / strength
    assert np.abs(away).max() <= 1
    # Of a uniform distribution on [-1, 1]: mean 0, variance 1/3; here within five standard errors.
    assert abs(away.mean()) < 5 * np.sqrt(1 / 3 / drawn.size)
    assert abs((away**2).mean() - 1 / 3) < 5 * np.sqrt(4 / 45 / drawn.size)


def test_elastic_displacement_has_its_standard_deviation_at_every_pixel(generator):
    displacement = draw(Settings(elastic=2.0), 1000, (12, 10, 1), generator).displacement
    assert displacement.shape == (1000, 2, 12, 10)
    samples = displacement.reshape(2000, 12, 10)
    assert np.abs(samples.mean(axis=0)).max() < 6 * 2 / np.sqrt(2000)
    np.testing.assert_allclose(samples.std(axis=0), 2.0, rtol=6 / np.sqrt(4000))


def test_elastic_displacement_is_smooth(generator):
    displacement = draw(Settings(elastic=1.0), 200, (28, 28, 1), generator).displacement
    # Away from the edges, neighbours d apart under a Gaussian blur of deviation s correlate by
    # exp(-d^2 / 4 s^2), here with s = 28 / 7.
    steps = displacement[:, :, :, 14] - displacement[:, :, :, 13]
    assert steps.std() == pytest.approx(np.sqrt(2 - 2 * np.exp(-1 / 4 / 4**2)), rel=0.1)


def test_smoothing_keeps_the_dtype(generator):
    assert smooth(generator.random((2, 5, 6), dtype=np.float32)).dtype == np.float32


# Resampling


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_resampling_agrees_with_the_formula_pixel_by_pixel(generator, dtype):
    height, width = 4, 6
    images = generator.random((3, height, width, 2)).astype(dtype)
    sources = generator.uniform(-3, 9, (3, 2, height * width)).astype(dtype)
    expected = np.zeros((3, height * width, 2))
    for image in range(3):
        for pixel in range(height * width):
            row, column = sources[image, :, pixel].astype(np.float64)
            for i in range(height):
                for j in range(width):
                    weight = max(0, 1 - abs(row - i)) * max(0, 1 - abs(column - j))
                    expected[image, pixel] += weight * images[image, i, j]
    resampled = Resampler((height, width, 2), dtype)(images, sources)
    np.testing.assert_allclose(
        resampled.reshape(expected.shape), expected, atol=4e-6 if dtype == np.float32 else 1e-14
    )


def test_resampling_of_far_away_sources_is_zero(images):
    far = np.full((5, 2, 72), 1e30, np.float32)
    far[2:] *= -1
    assert not Resampler((9, 8, 2))(images, far).any()


def test_resampling_does_not_modify_images_and_sources(images, generator):
    sources = generator.uniform(-1, 9, (5, 2, 72)).astype(np.float32)
    before = images.copy(), sources.copy()
    Resampler((9, 8, 2))(images, sources)
    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(sources, before[1])
