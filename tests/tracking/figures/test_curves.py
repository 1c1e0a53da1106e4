"""The curves of a training, for every kind of history."""

import io
import math
import sys

import pytest
from PIL import Image
from programs import run_to_end

from tracking.figures import curves as curves_module
from tracking.figures.curves import curves, curves_png
from tracking.figures.style import to_png
from tracking.records import EpochRecord


def epochs(*metrics):
    return [EpochRecord(i, values, {}, 1.0, 0.0) for i, values in enumerate(metrics, start=1)]


def lines_of(axes):
    """Return the values of each metric's line; matplotlib gives other lines a label with `_`."""
    lines = [line for line in axes.lines if not line.get_label().startswith("_")]
    return {line.get_label(): list(line.get_ydata()) for line in lines}


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]


def texts(figure):
    """Return title, subtitle and the legend."""
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return [*(text.get_text() for text in figure.texts), *legends]


def test_training_and_validation_share_a_panel_and_the_rest_is_left_out():
    figure = curves(
        "a trial",
        epochs(
            {"train_loss": 2.0, "val_loss": 3.0, "val_accuracy": 0.5, "learning_rate": 0.1},
            {"train_loss": 1.0, "val_loss": 2.0, "val_accuracy": 0.6, "learning_rate": 0.1},
        ),
    )
    loss, accuracy = figure.axes
    assert titles(figure) == ["loss", "accuracy"]
    assert lines_of(loss) == {"train_loss": [2.0, 1.0], "val_loss": [3.0, 2.0]}
    assert lines_of(accuracy) == {"val_accuracy": [0.5, 0.6]}
    assert texts(figure) == ["a trial", "2 epochs", "training", "validation"]


def test_metrics_of_another_kind_are_all_drawn_where_there_is_nothing_else():
    figure = curves("a trial", epochs({"score": 1.0, "regret": 2.0}))
    assert titles(figure) == ["score", "regret"]
    assert not figure.legends


def test_of_very_many_metrics_the_first_are_drawn_and_the_subtitle_says_so():
    figure = curves("a trial", epochs({f"score {i:03d}": 1.0 for i in range(200)}))
    assert titles(figure) == [f"score {i:03d}" for i in range(6)]
    assert texts(figure) == ["a trial", "1 epoch; the first 6 of 200 metrics"]


def test_the_epoch_whose_weights_are_kept_is_marked_where_it_is_not_the_last():
    history = epochs({"val_loss": 2.0}, {"val_loss": 1.0}, {"val_loss": 3.0})
    marked = curves("a trial", history, kept=2)
    assert "kept: epoch 2" in texts(marked)
    assert len(marked.axes[0].lines) == 2
    plain = curves("a trial", history, kept=3)
    assert texts(plain) == ["a trial", "3 epochs", "validation"]
    assert len(plain.axes[0].lines) == 1


@pytest.mark.filterwarnings("error")
def test_a_metric_without_a_name_and_huge_values_are_drawn_without_a_warning():
    figure = curves("a trial", epochs({"": 1e308}, {"": -1e308}, {"": 1e299}, {"": -1e299}))
    to_png(figure)
    assert titles(figure) == ['""']


def test_what_is_not_finite_leaves_a_gap():
    figure = curves("a trial", epochs({"val_loss": math.inf}, {"val_loss": 1.0}, {}))
    values = lines_of(figure.axes[0])["val_loss"]
    assert [math.isnan(value) for value in values] == [True, False, True]


def test_a_panel_without_a_finite_value_says_so():
    figure = curves("a trial", epochs({"val_loss": math.nan, "val_accuracy": 1.0}))
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [
        ["no finite value"],
        [],
    ]


def test_names_are_no_formulas_and_values_near_the_largest_leave_a_gap():
    history = epochs({r"cost_$_{per$\udcff": 1e308}, {r"cost_$_{per$\udcff": -1e308})
    assert to_png(curves(r"\udcff $_{", history)).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "history",
    [[], epochs({"val_loss": 1.0}), epochs({"val_loss": math.nan}, {"val_loss": math.inf})],
    ids=["no epoch", "one epoch", "nothing finite"],
)
def test_the_barest_curves_are_drawn_too(history):
    with Image.open(io.BytesIO(to_png(curves("a trial", history)))) as image:
        assert image.format == "PNG"
        assert (image.width, image.height) == (800, 345)


def test_a_figure_that_was_used_before_gives_the_same_pixels():
    histories = [
        (
            "a",
            epochs({"val_loss": 2.0, "train_loss": 3.0}, {"val_loss": 1e-3, "train_loss": 3.0}),
            1,
        ),
        ("a longer title", epochs({"val_loss": math.nan}, {"val_loss": math.nan}), None),
        ("b", epochs(*({"val_accuracy": 0.1 * i} for i in range(50))), 20),
        ("c", epochs({"score": 1e9}, {"score": -1e9}, {"score": 0.0}), None),
        ("d", epochs(*({"val_loss": 2.0, "val_accuracy": i} for i in range(5))), 5),
        ("d", epochs(*({"score": 2.0, "regret": -i} for i in range(300))), 5),
    ]
    fresh = []
    for history in histories:
        curves_module._empty.cache_clear()
        fresh.append(curves_png(*history))
    assert len(set(fresh)) == len(histories)
    for _ in range(2):
        assert [curves_png(*history) for history in histories] == fresh


def test_drawing_does_not_touch_the_state_of_pyplot():
    code = (
        "import sys; from tracking.figures.curves import *;"
        "curves_png('t', [EpochRecord(1, {'val_loss': 1.0}, {}, 1.0, 0.0)]);"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    assert run_to_end([sys.executable, "-c", code], check=True).stdout == "False\n"
