"""The figures of a final model and of a confirmation, by what they must contain."""

import io

import numpy as np
import pytest
from matplotlib.font_manager import FontProperties, findfont
from PIL import Image

from nets.architectures import build
from nets.layers import Flatten, ReLU
from nets.network import Network
from nets.settings import Settings
from tracking.confirmation.figure import comparison
from tracking.figures import style
from tracking.figures.model import (
    calibration,
    confusion_matrix,
    first_filters,
    first_layer_filters,
    misclassified,
)
from tracking.figures.style import to_png
from tracking.records.confirmation import Candidate, Confirmation, Estimate, Repetition

LABELS = np.array([0, 0, 1, 1, 2, 2, 2])
ANSWERS = np.array(
    [
        [0.9, 0.1, 0.0],
        [0.2, 0.7, 0.1],  # a 0 taken for a 1
        [0.1, 0.8, 0.1],
        [0.0, 1.0, 0.0],
        [0.6, 0.0, 0.4],  # a 2 taken for a 0
        [0.0, 0.3, 0.7],
        [0.95, 0.0, 0.05],  # a 2 taken for a 0, and surely
    ],
    np.float32,
)


def heading(figure):
    """Return title and subtitle."""
    return [text.get_text() for text in figure.texts[:2]]


def texts(axes):
    """Return the texts in axes, and their title."""
    return [text.get_text() for text in axes.texts] + [axes.get_title()]


def test_confusion_matrix_counts_labels_in_rows_and_answers_in_columns():
    figure = confusion_matrix("a model", LABELS, ANSWERS)
    axes = figure.axes[0]
    placed = {text.get_position()[::-1]: text.get_text() for text in axes.texts}
    assert placed == {(0, 0): "1", (0, 1): "1", (1, 1): "2", (2, 0): "2", (2, 2): "1"}
    assert "4 of 7 test images correct (57.14%), 3 wrong" in heading(figure)[1]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("answer", "label")


def test_classes_are_called_by_their_names_where_they_have_some(generator):
    names = ["a cat", "$5 bills", "what has a name that is much too long for a figure"]
    axes = confusion_matrix("a model", LABELS, ANSWERS, names).axes[0]
    written = ["a cat", r"\$5 bills", "what has a …r a figure"]
    assert [label.get_text() for label in axes.get_xticklabels()] == written
    assert [label.get_text() for label in axes.get_yticklabels()] == written
    figure = misclassified("a model", np.zeros((7, 8, 8, 1), np.uint8), LABELS, ANSWERS, names)
    first = next(axes for axes in figure.axes if axes.images)
    assert texts(first) == ["what …igure\n0.050", "a cat\n0.950"]
    to_png(axes.figure)


@pytest.mark.filterwarnings("error")
def test_a_name_that_no_font_has_is_shown_as_its_number_with_a_notice():
    names = ["cat", "\u732b", "\u72ac \u2b50"]
    if not style.families("".join(names))[1]:
        pytest.skip("an installed font has these characters")
    figure = confusion_matrix("a model", LABELS, ANSWERS, names)
    written = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert written == ["cat", "1", "2"]
    notice = "; a number is a class whose name no installed font has"
    assert heading(figure)[1].endswith(notice)
    to_png(figure)
    figure = misclassified("a model", np.zeros((7, 8, 8, 1), np.uint8), LABELS, ANSWERS, names)
    assert heading(figure)[1].endswith(notice)
    to_png(figure)


@pytest.mark.filterwarnings("error")
def test_a_name_that_another_font_has_is_drawn_in_that_font():
    default, other = (
        style._characters_of(findfont(FontProperties(family=family)))
        for family in (None, "STIXGeneral")
    )
    name = "".join(sorted(other - default)[:3])
    family, missing = style.families(f"a{name}")
    assert len(family) > 1
    assert missing == set()
    figure = confusion_matrix("a model", LABELS, ANSWERS, ["cat", "dog", name])
    assert figure.axes[0].get_xticklabels()[2].get_text() == name
    to_png(figure)


def test_counts_of_very_many_classes_are_colours_alone():
    labels = np.arange(100)
    axes = confusion_matrix("a model", labels, np.eye(100, dtype=np.float32)).axes[0]
    assert not axes.texts
    assert len(axes.get_xticks()) < 20


def test_misclassified_images_come_surest_first_with_their_scores(generator):
    images = generator.integers(17, size=(7, 8, 8, 1)).astype(np.uint8)
    figure = misclassified("a model", images, LABELS, ANSWERS)
    shown = [axes for axes in figure.axes if axes.images]
    assert [texts(axes) for axes in shown] == [
        ["2: 0.050", "0: 0.950"],
        ["0: 0.200", "1: 0.700"],
        ["2: 0.400", "0: 0.600"],
    ]
    for axes, place in zip(shown, (6, 1, 4), strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), images[place, ..., 0])
    assert heading(figure)[1].startswith("all 3, highest score first")


def test_many_misclassified_images_are_counted_and_the_surest_shown(generator):
    images = np.zeros((300, 8, 8, 1), np.uint8)
    answers = np.tile(np.float32([0.4, 0.6]), (300, 1))
    figure = misclassified("a model", images, np.zeros(300, int), answers)
    assert len([axes for axes in figure.axes if axes.images]) == 40
    assert heading(figure)[1].startswith("40 of 300, highest score first")


def test_a_model_without_mistakes_is_labelled_so():
    figure = misclassified(
        "a model", np.zeros((1, 8, 8, 1)), np.array([1]), np.float32([[0.1, 0.9]])
    )
    assert heading(figure) == ["a model: misclassified test images", "none"]
    assert not any(axes.images for axes in figure.axes)


def test_calibration_shows_the_share_of_right_answers_in_each_bin():
    scores = np.array([0.55, 0.65, 0.68, 0.92, 0.97, 0.99])
    answers = np.column_stack([scores, 1 - scores])
    labels = np.array([1, 0, 1, 0, 0, 1])  # right where the label is 0

    figure = calibration("a model", labels, answers)
    upper, lower = figure.axes

    (points,) = upper.collections
    assert points.get_offsets().data == pytest.approx(
        np.array([[0.55, 0.0], [0.665, 0.5], [0.96, 2 / 3]])
    )
    middles = [bar.get_x() + bar.get_width() / 2 for bar in lower.patches]
    assert middles == pytest.approx([0.55, 0.65, 0.95])
    assert [bar.get_height() for bar in lower.patches] == [1, 2, 3]
    assert [text.get_text() for text in lower.texts] == ["1", "2", "3"]
    # (0.55 + 2 (0.665 - 0.5) + 3 (0.96 - 2/3)) / 6
    assert heading(figure)[1] == "expected calibration error 0.2933; larger points: more answers"


@pytest.mark.parametrize(
    ("settings", "image_shape", "count", "size"),
    [
        (Settings(hidden=(12,)), (8, 8, 1), 12, (8, 8)),
        (Settings(hidden=(100,)), (8, 8, 1), 64, (8, 8)),
        (Settings(architecture="lenet"), (28, 28, 1), 16, (5, 5)),
        (Settings(architecture="deep_convnet"), (28, 28, 1), 16, (3, 3)),
    ],
    ids=["mlp", "wide mlp", "lenet", "deep_convnet"],
)
def test_first_layer_is_shown_as_images_on_one_scale(settings, image_shape, count, size, generator):
    network = build(settings, image_shape, 10, generator)
    figure = first_layer_filters("a model", network)
    shown = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(shown) == count
    assert {image.get_array().shape for image in shown} == {size}
    limits = {image.get_clim() for image in shown}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low == -high


def test_a_single_answer_draws_little_attention_in_a_calibration():
    one, many = np.float32([[0.9, 0.1]]), np.float32([[0.9, 0.1]] * 50)
    areas = [
        calibration("a model", np.zeros(len(answers), int), answers).axes[0].collections[0]
        for answers in (one, many)
    ]
    single, full = (points.get_sizes()[0] for points in areas)
    assert single < full / 8


def test_filters_say_what_they_are_of(generator):
    mlp = build(Settings(hidden=(100,)), (8, 8, 1), 10, generator)
    cnn = build(Settings(architecture="lenet"), (28, 28, 1), 10, generator)
    bright = "red responds to bright pixels, blue to dark ones"
    assert heading(first_layer_filters("champion of digits", mlp)) == [
        "champion of digits: weights of the first layer",
        f"the 64 strongest of 100 units, 8x8 weights each; {bright}",
    ]
    subtitle = heading(first_layer_filters("a model", cnn))[1]
    assert subtitle == f"16 kernels, 5x5 weights each; {bright}"


def test_filters_of_an_mlp_are_its_weights_in_the_images_order(generator):
    network = build(Settings(hidden=(5,)), (8, 8, 1), 10, generator)
    weight = network.named["affine1.weight"]
    np.testing.assert_array_equal(first_filters(network)[3], weight[:, 3].reshape(8, 8))


def test_filters_of_a_convolution_are_its_kernels(generator):
    network = build(Settings(architecture="lenet"), (28, 28, 1), 10, generator)
    kernel = network.named["convolution1.weight"]
    np.testing.assert_array_equal(first_filters(network)[7], kernel[:, :, 0, 7])


def test_network_without_weights_has_no_picture_of_them():
    assert first_layer_filters("a model", Network([Flatten(), ReLU()], (4, 4, 1))) is None


def test_pictures_are_as_wide_as_the_pages_show_them(generator):
    images = generator.integers(17, size=(7, 8, 8, 1)).astype(np.uint8)
    network = build(Settings(hidden=(100,)), (8, 8, 1), 3, generator)
    for figure in (
        confusion_matrix("a model", LABELS, ANSWERS),
        misclassified("a model", images, LABELS, ANSWERS),
        calibration("a model", LABELS, ANSWERS),
        first_layer_filters("a model", network),
        comparison(a_confirmation()),
    ):
        picture = Image.open(io.BytesIO(to_png(figure)))
        assert picture.width == 800
        assert picture.height <= 1000


def a_confirmation(**changes):
    again = tuple(Repetition(3, n, n, 0.9 + n / 100) for n in range(1, 4))
    candidates = (
        Candidate(3, 0.95, again, Estimate(0.92, 0.9, 0.94), Estimate(0.03, 0.01, 0.05)),
        Candidate(1, 0.94, (Repetition(1, 1, 5, None),), None, None),
    )
    values = {"top": 2, "seeds": 3, "finished": 5, "at": 1.0, "winner": 3, "lead": None, **changes}
    return Confirmation("digits", "val_accuracy", "maximize", candidates=candidates, **values)


def test_comparison_has_a_row_a_candidate_with_its_value_in_the_search():
    figure = comparison(a_confirmation())
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["trial 3", "trial 1"]
    diamonds = [line for line in axes.lines if line.get_marker() == "D" and len(line.get_xdata())]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in diamonds] == [
        (0.95, 0),
        (0.94, 1),
    ]
    assert heading(figure) == [
        "digits: confirmation with 3 fresh seeds",
        "trial 3 wins with 0.9200 on average",
    ]


def test_comparison_without_a_winner_says_so():
    assert heading(comparison(a_confirmation(winner=None)))[1] == "no winner"
