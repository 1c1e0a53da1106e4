"""Figures say what they should, for every kind of curve, and are attached to the study."""

import io
import math

import pytest
from PIL import Image
from programs import run_to_end

from nets.errors import InputError
from tracking.figures.curves import CurvesInTurn, curves, curves_png, log_study_figures, to_png
from tracking.records import EpochRecord
from tracking.runs.delivery import Delivery
from tracking.store import names


def epochs(*metrics):
    return [EpochRecord(i, values, {}, 1.0, 0.0) for i, values in enumerate(metrics, start=1)]


def lines_of(axes):
    return {line.get_label(): list(line.get_ydata()) for line in axes.lines}


def test_training_and_validation_share_a_panel_and_the_rest_is_left_out():
    figure = curves(
        "a trial",
        epochs(
            {"train_loss": 2.0, "val_loss": 3.0, "val_accuracy": 0.5, "learning_rate": 0.1},
            {"train_loss": 1.0, "val_loss": 2.0, "val_accuracy": 0.6, "learning_rate": 0.1},
        ),
    )
    loss, accuracy = figure.axes
    assert (loss.get_title(), accuracy.get_title()) == ("loss", "accuracy")
    assert lines_of(loss) == {"training": [2.0, 1.0], "validation": [3.0, 2.0]}
    assert lines_of(accuracy) == {"validation": [0.5, 0.6]}


def test_metrics_of_another_kind_are_all_drawn_where_there_is_nothing_else():
    figure = curves("a trial", epochs({"score": 1.0, "regret": 2.0}))
    assert [axes.get_title() for axes in figure.axes] == ["score", "regret"]


def test_curves_drawn_in_turn_are_those_drawn_alone():
    """Pixel by pixel, whatever was drawn in the same figure before."""
    trials = [
        ("one", epochs(*({"val_loss": 1 / i, "train_loss": 2 / i} for i in range(1, 9))), 8),
        ("two, longer", epochs(*({"val_loss": i, "train_loss": 0.1} for i in range(1, 30))), None),
        ("an epoch", epochs({"val_loss": 1.0, "train_loss": 1e-9}), 1),
        ("gaps", epochs({"val_loss": math.nan}, {"val_loss": 1.0, "train_loss": math.inf}), 2),
        ("kept", epochs(*({"val_loss": i, "train_loss": i} for i in range(3))), 2),
        ("many", epochs(*({"val_loss": i % 7, "train_loss": i} for i in range(60))), None),
        ("others", epochs({"score": 1.0}, {"score": 3.0}), None),
        ("again", epochs(*({"val_loss": 1e6 * i, "train_loss": i} for i in range(4))), None),
    ]
    in_turn = CurvesInTurn()
    for title, history, kept in trials + trials[::-1]:
        assert in_turn.png(title, history, kept) == curves_png(title, history, kept), title


def test_of_very_many_metrics_the_first_are_drawn_and_the_title_says_so():
    figure = curves("a trial", epochs({f"score {i:03d}": 1.0 for i in range(200)}))
    assert [axes.get_title() for axes in figure.axes] == [f"score {i:03d}" for i in range(6)]
    assert figure.get_suptitle() == "a trial (the first 6 of 200 metrics)"


def test_the_epoch_whose_weights_are_kept_is_marked_where_it_is_not_the_last():
    history = epochs({"val_loss": 2.0}, {"val_loss": 1.0}, {"val_loss": 3.0})
    (marked,) = curves("a trial", history, kept=2).axes
    (plain,) = curves("a trial", history, kept=3).axes
    assert "kept: epoch 2" in lines_of(marked)
    assert lines_of(plain).keys() == {"validation"}


def test_what_is_not_finite_leaves_a_gap():
    figure = curves("a trial", epochs({"val_loss": math.inf}, {"val_loss": 1.0}, {}))
    values = lines_of(figure.axes[0])["validation"]
    assert [math.isnan(value) for value in values] == [True, False, True]


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
        assert image.height == 340


def test_drawing_does_not_touch_the_state_of_pyplot():
    import sys

    code = (
        "import sys; from tracking.figures.curves import *;"
        "to_png(curves('t', [EpochRecord(1, {'val_loss': 1.0}, {}, 1.0, 0.0)]));"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    assert run_to_end([sys.executable, "-c", code], check=True).stdout == "False\n"


def test_figures_are_attached_to_the_run_of_the_study(store, ledger, environment):
    delivery = Delivery(store, ledger, ledger.study("digits"), environment)

    log_study_figures(
        store, "digits", {"history": curves("t", epochs({"val_loss": 1.0})), "slice": b"png"}
    )

    run_id = delivery._parent.run_id
    found = store.client.list_artifacts(run_id, names.FIGURES_FOLDER)
    assert {info.path for info in found} == {"figures/history.png", "figures/slice.png"}


def test_figures_of_a_study_that_mlflow_does_not_have_are_refused(store):
    with pytest.raises(InputError, match="study: got 'digits', accepted is"):
        log_study_figures(store, "digits", {"history": b"png"})
