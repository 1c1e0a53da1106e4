"""Which settings are parameters of a run."""

from nets.settings import Settings, to_plain
from tracking.runs.content import with_effect

OURS = {"study": {"settings": "nets.settings:Settings"}}
OTHERS = {"study": {"settings": "mine:Settings"}}


def left_out(settings, definition):
    """The settings that are no parameters."""
    return settings.keys() - with_effect(settings, definition).keys()


def test_our_settings_are_left_out_where_they_have_no_effect():
    sgd = to_plain(Settings(optimizer="sgd", architecture="lenet"))
    always = {"initial_std", "step_epochs", "step_factor"}
    assert left_out(sgd, OURS) == {"momentum", "beta1", "beta2", *always}
    mlp = to_plain(Settings(optimizer="rmsprop"))
    assert left_out(mlp, OURS) == {"momentum", "beta1", "filters", *always}
    step = to_plain(Settings(schedule="step", initialization="constant_std", optimizer="adam"))
    assert left_out(step, OURS) == {"momentum", "filters"}


def test_searched_settings_of_a_branch_that_was_not_taken_are_left_out():
    space = {
        "model": {"choices": ["forest", "svm", "linear"]},
        "C": {"low": 0.1, "high": 10.0, "when": {"model": ["svm", "linear"]}},
        "depth": {"low": 1, "high": 9, "when": {"model": "forest"}},
        "widths": {"choices": [[1], [2]], "when": {"sizes": [[1, 2]]}},
    }
    definition = {**OTHERS, "space": space}
    settings = {"model": "forest", "C": 1.0, "depth": 3, "beta1": 0.9, "optimizer": "sgd"}
    assert left_out(settings, definition) == {"C"}
    assert left_out(settings | {"model": "svm"}, definition) == {"depth"}
    assert left_out({"widths": [1], "sizes": [1, 2]}, definition) == set()
    assert left_out({"widths": [1], "sizes": [3]}, definition) == {"widths"}
