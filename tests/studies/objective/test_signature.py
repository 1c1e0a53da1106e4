"""The parameters of a function as settings, and studies that use them."""

import plain_functions
import pytest

from nets.errors import InputError
from studies.definition import study_file
from studies.objective.signature import settings_class

X = {"x": {"low": 0.0, "high": 1.0}}


def study(name, space=None, settings=None, **section):
    return study_file.build(
        {
            "study": {
                "name": name, "objective": f"plain_functions:{name}", "metric": "loss", **section,
            },
            "settings": settings or {},
            "space": X if space is None else space,
        }
    )  # fmt: skip


def test_a_study_of_a_function_has_its_parameters_as_settings():
    built = study("walk", settings={"epochs": 9})
    assert built.fixed == {"epochs": 9}
    assert built.epochs == 9
    assert "settings" not in built.definition["study"]
    assert built.values(0, {"x": 0.5}).keys() == {"epochs", "x", "seed"}
    again = study_file.stored(built.definition)
    assert (again.space, again.fixed, again.definition) == (
        built.space, built.fixed, built.definition,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ({"low": 0, "high": 9}, int),
        ({"low": 0.0, "high": 9.0}, float),
        ({"low": 0, "high": 9, "step": 0.5}, float),
    ],
)
def test_a_range_without_an_annotation_is_of_what_is_written(table, kind):
    (parameter,) = study("pure", {"x": table}).space.parameters
    assert type(parameter.distribution.low) is kind


def test_an_annotation_decides_the_type():
    with pytest.raises(InputError, match=r"^space\.x\.low: got 0\.5"):
        study("typed", {"x": {"low": 0.5, "high": 2.5}}, direction="minimize")
    built = study("typed", {"x": {"low": 1, "high": 3}}, direction="minimize")
    assert built.fixed == {"kind": "a", "widths": [1, 2]}


def test_a_parameter_without_a_value_is_missing():
    with pytest.raises(InputError) as error:
        study("required", {"gamma": {"low": 0.1, "high": 1.0}})
    assert str(error.value) == "settings.C: missing, expected a value, or a range in [space]"


def test_a_parameter_whose_condition_fails_is_none():
    space = {
        "gamma": {"choices": [0.1, 0.2]},
        "C": {"low": 0.1, "high": 1.0, "when": {"gamma": [0.2]}},
    }
    built = study("required", space)
    assert built.settings(0, {"gamma": 0.1}).C is None
    assert built.settings(0, {"gamma": 0.2, "C": 0.5}).C == 0.5


@pytest.mark.parametrize(
    ("name", "parameter"), [("many", "*args"), ("named", "**options"), ("positional", "x")]
)
def test_a_parameter_without_a_name_is_refused(name, parameter):
    with pytest.raises(InputError) as error:
        settings_class(getattr(plain_functions, name))
    assert str(error.value) == (
        f"objective: {name} has the parameter {parameter}, expected parameters with names, each "
        "of which is a setting"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "annotated",
            "objective: the annotations of annotated cannot be read: name 'Absent' is not defined,"
            " expected types that its module knows",
        ),
        ("Kind", "study.objective: got 'plain_functions:Kind', expected a function"),
        (
            "generator",
            "study.objective: plain_functions:generator is a generator, expected a function that "
            "calls trial.report, or returns a number",
        ),
        (
            "asynchronous",
            "study.objective: plain_functions:asynchronous is asynchronous, expected a function "
            "that calls trial.report, or returns a number",
        ),
    ],
)
def test_what_cannot_be_called_for_a_number_is_refused(name, message):
    with pytest.raises(InputError) as error:
        study(name)
    assert str(error.value) == message


def test_a_pruner_that_needs_epochs_is_refused_without_them():
    with pytest.raises(InputError) as error:
        study("pure", pruner={"name": "hyperband"})
    assert str(error.value) == (
        "study.pruner: hyperband needs the number of epochs of a trial, expected an objective "
        "with the parameter epochs, fixed or searched"
    )


def test_a_metric_whose_name_says_nothing_needs_a_direction():
    with pytest.raises(InputError) as error:
        study("pure", metric="depth")
    assert str(error.value) == (
        "study.direction: missing, and the name 'depth' does not imply it, expected \"minimize\" "
        'or "maximize"'
    )


def test_a_function_with_data_has_the_settings_of_data():
    built = study("with_data", settings={"data": "digits", "validation": 100})
    assert built.data_names == ["digits"]
    assert built.fixed == {"data": "digits", "validation": 100, "split_seed": 0}
