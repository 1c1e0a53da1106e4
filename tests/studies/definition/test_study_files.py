"""Study files: what they default to, and that a stored study equals the one that was read."""

import json
import math
import re
import sys

import pytest
from curves import Curve
from hypothesis import assume, given
from hypothesis import strategies as st
from searches import MIXED, a_study

from nets.architectures import build
from nets.errors import InputError
from nets.settings import Settings, from_json, from_plain
from studies.definition import checks, samplers, study_file
from studies.definition.space_section import read_space, types_of

TWO_OPTIMIZERS = 'optimizer = { choices = ["sgd", "momentum"] }\n'


def test_bundled_study_files_are_accepted():
    for name in ("digits", "mnist-mlp", "mnist-cnn"):
        assert study_file.read(study_file.find(name)).name == name


def test_metrics_are_those_that_the_objective_of_nets_reports(tmp_path):
    from nets.data import load
    from nets.objective import objective

    reported = []
    settings = Settings(epochs=1, hidden=(2,))
    objective(settings, load("digits", tmp_path, cache=tmp_path), reported.append)
    assert set(reported[0].metrics) == set(checks.METRICS)


@pytest.mark.parametrize(
    ("metric", "direction"),
    [("val_loss", "minimize"), ("train_loss", "minimize"), ("val_accuracy", "maximize")],
)
def test_direction_follows_from_the_metric(metric, direction):
    tables = {"study": {"name": "s", "metric": metric}}
    study = study_file.build(tables)
    assert study.section.direction == direction
    assert study.definition["study"]["direction"] == direction
    assert type(study.definition["study"]["direction"]) is str
    given = study_file.build({"study": {**tables["study"], "direction": direction}})
    assert given.definition == study.definition


def test_any_direction_is_accepted_for_a_users_objective():
    assert a_study(metric="loss").section.direction == "minimize"
    assert a_study(metric="Relative_Error").section.direction == "minimize"
    assert a_study(metric="f1").section.direction == "maximize"
    assert a_study(metric="loss", direction="maximize").section.direction == "maximize"


def test_stored_study_keeps_the_direction_it_was_searched_in():
    definition = study_file.build({"study": {"name": "s", "metric": "val_loss"}}).definition
    old = {**definition, "study": {**definition["study"], "direction": "maximize"}}
    assert study_file.stored(old).section.direction == "maximize"
    assert study_file.differences(old, definition) == [
        "study.direction: stored 'maximize', given 'minimize'"
    ]


STORED = {
    "shipped": lambda: study_file.read(study_file.find("digits")),
    "everything": lambda: a_study(
        MIXED,
        {"delay": 0.01},
        sampler={"name": "nsga2", "population": 4},
        pruner={"name": "patient", "patience": 2, "wrapped": {"name": "percentile"}},
        stop={"patience": 3},
        first=[{"kind": "wavy", "ripple": 0.1}, {"height": 1}],
        direction="minimize",
        metric="loss",
    ),
    "lists": lambda: study_file.build(
        {"study": {"name": "s"}, "space": {"hidden": {"choices": [[100], [50, 20]]}}}
    ),
}


@pytest.mark.parametrize("name", STORED)
def test_stored_study_equals_the_one_that_was_read(name):
    study = STORED[name]()
    stored = study_file.stored(json.loads(json.dumps(study.definition)))
    assert stored == study
    assert stored.definition == study.definition
    chosen = {
        name: getattr(distribution, "choices", None) or distribution.high
        for name, distribution in study.space.distributions.items()
    }
    chosen |= {name: value[0] for name, value in chosen.items() if isinstance(value, tuple)}
    assert stored.settings(3, chosen) == study.settings(3, chosen)


def test_seed_of_the_command_line_makes_another_study(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[study]\nseed = 4\n[space]\ndropout = { low = 0.0, high = 0.5 }")
    assert study_file.read(path).name == "mine"
    assert study_file.read(path, seed=4).name == "mine"
    other = study_file.read(path, seed=5)
    assert (other.name, other.section.seed, other.fixed["split_seed"]) == ("mine-seed5", 5, 5)


@pytest.mark.parametrize(
    ("text", "option", "message"),
    [
        ("trials = 12.5", {"trials": 3}, "study.trials: got 12.5, expected an integer"),
        ('seed = "x"', {"seed": 3}, "study.seed: got 'x', expected an integer"),
    ],
)
def test_a_value_that_the_command_line_replaces_is_checked_too(text, option, message, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(f"[study]\n{text}\n")
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        study_file.read(path, **option)


def test_stored_study_that_a_file_may_no_longer_describe_is_read():
    definition = study_file.build({"study": {"name": "s"}, "space": {}}).definition
    old = {
        "study": {**definition["study"], "sampler": {"name": "cmaes"}},
        "fixed": {**definition["fixed"], "optimizer": "sgd"},
        "space": {"momentum": {"low": 0.5, "high": 0.9}, "activation": {"choices": ["relu"]}},
    }
    assert len(study_file.stored(old).space.parameters) == 2


def test_a_single_training_needs_no_space(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nepochs = 3\n")
    assert study_file.read(path, to_search=False).fixed["epochs"] == 3


def test_a_setting_may_have_an_effect_in_some_of_the_trials(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        "[space]\n" + TWO_OPTIMIZERS + "momentum = { low = 0.5, high = 0.9 }\n"
        "dropout = { low = 0.0, high = 0.5 }"
    )
    assert len(study_file.read(path).space.parameters) == 3


OWN = """
from dataclasses import dataclass

PLACE = {place!r}

@dataclass(frozen=True)
class Settings:
    epochs: int = 1
    seed: int = 0

def objective(settings, data, report):
    ...
"""
OF_OWN = """
[study]
objective = "ofmine.training:objective"
settings = "ofmine.training:Settings"
[space]
epochs = { low = 1, high = 3 }
"""


@pytest.fixture
def own_package(tmp_path, monkeypatch):
    """Write a package into a folder, and forget at the end of the test that it was imported."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(place):
        package = tmp_path / place / "ofmine"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "training.py").write_text(OWN.format(place=place))
        return package.parent

    yield write
    for name in ("ofmine", "ofmine.training"):
        sys.modules.pop(name, None)


def test_own_modules_are_imported_from_the_folder_of_the_study_file(own_package, monkeypatch):
    beside, here = own_package("beside"), own_package("here")
    monkeypatch.chdir(here)
    (beside / "mine.toml").write_text(OF_OWN)
    study = study_file.read(beside / "mine.toml")
    assert sys.modules["ofmine.training"].PLACE == "beside"
    assert sys.path[:2] == [str(beside), str(here)]
    # Read from the store in the same process, the workers' modules stay those of the driver.
    study_file.stored(study.definition)
    assert sys.path[:2] == [str(beside), str(here)]


def test_own_modules_are_imported_from_the_current_folder(own_package, tmp_path, monkeypatch):
    monkeypatch.chdir(own_package("here"))
    (tmp_path / "mine.toml").write_text(OF_OWN)
    study_file.read(tmp_path / "mine.toml")
    assert sys.modules["ofmine.training"].PLACE == "here"


def test_own_modules_of_a_stored_study_are_imported_from_the_current_folder(
    own_package, monkeypatch
):
    here = own_package("here")
    (here / "mine.toml").write_text(OF_OWN)
    definition = study_file.read(here / "mine.toml").definition
    for name in ("ofmine", "ofmine.training"):
        del sys.modules[name]
    sys.path.remove(str(here))
    monkeypatch.chdir(here)
    assert study_file.stored(definition).own_modules == ["ofmine", "ofmine.training"]
    assert sys.path[0] == str(here)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def (:\n", r"invalid syntax \(training.py, line 1\)"),
        (
            "x = 1\nraise RuntimeError('no\\nway')\n",
            r"RuntimeError in .*training.py, line 2: no way",
        ),
        ("import sys\nsys.nothing\n", r"AttributeError in .*training.py, line 2: .*'nothing'"),
        ("import sys\nsys.exit(3)\n", r"SystemExit in .*training.py, line 2: 3"),
    ],
)
def test_a_module_that_fails_at_import_is_rejected_with_the_place(own_package, text, said):
    place = own_package("beside")
    (place / "ofmine" / "training.py").write_text(text)
    (place / "mine.toml").write_text(OF_OWN)
    with pytest.raises(InputError, match=f"cannot import [^ ]*: {said}; put the module [^\n]*$"):
        study_file.read(place / "mine.toml")


def test_bundled_studies_do_not_change_the_module_path(monkeypatch):
    monkeypatch.setattr(sys, "path", before := list(sys.path))
    study_file.read(study_file.find("digits"))
    assert sys.path == before


def test_differences_name_keys_without_the_number_of_trials():
    one = a_study(trials=10).definition
    other = a_study(trials=20, sampler={"name": "tpe", "candidates": 8}).definition
    assert study_file.differences(one, other) == ["study.sampler.candidates: stored 24, given 8"]


def test_trials_of_a_study_differ_only_in_their_seeds():
    study = a_study()
    chosen = {"rate": 0.1, "height": 0.5}
    one, other = study.settings(0, chosen), study.settings(1, chosen)
    assert one.seed != other.seed
    assert {**vars(one), "seed": 0} == {**vars(other), "seed": 0}


# Spaces


def test_steps_are_decimals_as_written():
    space = a_study({"rate": {"low": 0.0, "high": 0.7, "step": 0.1}}).space
    (rate,) = space.parameters
    assert rate.points == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert all(rate.contains(point) for point in rate.points)


@given(
    low=st.decimals(-100, 100, places=3),
    step=st.decimals("0.001", 10, places=3),
    count=st.integers(1, 1000),
    data=st.data(),
)
def test_values_of_a_range_with_steps_are_the_nearest_decimals(low, step, count, data):
    high = low + count * step
    table = {"low": float(low), "high": float(high), "step": float(step)}
    (rate,) = read_space({"rate": table}, types_of(Curve)).parameters
    assert rate.count == count + 1
    chosen = data.draw(st.integers(0, count))
    computed = float(low) + chosen * float(step)  # as samplers do
    assume(rate.contains(computed))  # the last may lie above the range
    assert rate.rounded(computed) == rate.points[chosen] == float(low + chosen * step)
    assert rate.contains(rate.points[chosen])
    assert rate.rounded(rate.points[chosen]) == rate.points[chosen]


def test_only_values_of_a_range_with_steps_are_rounded():
    space = a_study({**MIXED, "ripple": {"low": 0.0, "high": 1.0}}).space
    kept = {"rate": 0.1 * 3, "ripple": 0.1 * 3, "kind": "wavy", "waves": 3, "other": 0.1 * 3}
    assert space.rounded({**kept, "height": 0.1 * 3}) == {**kept, "height": 0.3}
    for other in (0.1 * 3 + 0.01, 1.1, -0.2, "0.3", True, None):
        assert space.rounded({"height": other})["height"] is other


def test_conditions_on_a_range_with_steps_hold_for_its_decimals():
    space = {
        "height": {"low": 0.1, "high": 1.0, "step": 0.1},
        "ripple": {"low": 0.0, "high": 1.0, "when": {"height": [0.1 * 3, 1]}},
    }
    first = {"height": 0.1 * 3, "ripple": 0.5}
    study = a_study(space, first=[first])
    assert study.space.parameters[1].when.values == (0.3, 1.0)
    # As in the file: a stored study must stay equal to it.
    assert study.definition["study"]["first"] == [first]


def test_values_of_a_range_are_counted_without_listing_them():
    space = {
        "epochs": {"low": 1, "high": 2**53},
        "rate": {"low": 0.0, "high": 1.0, "step": 1e-7},
    }
    study = a_study(space)
    assert [parameter.count for parameter in study.space.parameters] == [2**53, 10**7 + 1]
    assert study.epochs == 2**53


@given(low=st.floats(1e-300, 1e300), high=st.floats(1e-300, 1e300), log=st.booleans())
def test_ends_of_a_range_keep_every_bit(low, high, log):
    assume(low < high)
    space = read_space({"rate": {"low": low, "high": high, "log": log}}, types_of(Curve))
    assert space.parameters[0].ends == [low, high]


def test_range_of_a_study_of_an_earlier_version_ends_at_the_last_whole_step():
    definition = a_study().definition
    space = {
        "rate": {"low": 0.1, "high": 0.35, "step": 0.1},
        "waves": {"low": 1, "high": 6, "step": 2},
    }
    space = study_file.stored({**definition, "space": space}).space
    assert [p.points for p in space.parameters] == [[0.1, 0.2, 0.3], [1, 3, 5]]


def test_parameter_exists_where_its_condition_holds():
    space = a_study(MIXED).space
    ripple = space.parameters[-1]
    assert [ripple.active({"kind": kind}) for kind in ("plain", "wavy", "steep")] == [
        False, True, True,
    ]  # fmt: skip


def test_grid_ends_with_its_points():
    space = {
        "rate": {"low": 0.1, "high": 0.3, "step": 0.1},
        "kind": {"choices": ["plain", "wavy"]},
    }
    study = a_study(space, sampler={"name": "grid"}, first=[{"rate": 0.1, "kind": "plain"}])
    assert study.most_trials == 1 + 3 * 2
    assert a_study(space).most_trials is None


@pytest.mark.parametrize("kind", samplers.Sampler.__args__, ids=lambda kind: kind().name)
@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_sampler_takes_every_seed_of_32_bits(kind, seed):
    space = a_study({"waves": {"low": 1, "high": 3}}).space
    samplers.build(kind(), samplers.Seeds(study=seed, trial=seed), space)


def test_study_takes_a_seed_of_any_size():
    assert math.isqrt(a_study(seed=2**70).section.seed) == 2**35


def test_a_password_is_not_in_a_definition_and_makes_no_difference():
    def build(**section):
        return study_file.build({"study": {"name": "s", **section}})

    given = build(storage="postgresql://me:hunter2@host/db?password=hunter2")
    assert given.section.storage.count("hunter2") == 2
    assert "hunter2" not in str(given.definition)
    known = build(storage="postgresql://me@host/db")
    assert study_file.differences(known.definition, given.definition) == []


def test_the_recorded_diff_is_no_part_of_what_decides_the_trials():
    given = study_file.build({"study": {"name": "s"}})
    without = study_file.build({"study": {"name": "s", "record_diff": False}})
    assert "record_diff" not in given.definition["study"]
    assert without.definition["study"]["record_diff"] is False
    assert study_file.differences(given.definition, without.definition) == []
    assert study_file.stored(without.definition).section.record_diff is False


def test_convolutional_architectures_of_different_depth_are_searched_with_their_filters():
    tables = {
        "study": {"name": "s"},
        "space": {
            "architecture": {"choices": ["mlp", "lenet"]},
            "filters": {"choices": [[8, 16], [4, 8]], "when": {"architecture": "lenet"}},
            "hidden": {"choices": [[20], [30, 20]]},
        },
    }
    study = study_file.build(tables)
    chosen = {"architecture": "lenet", "filters": "[8, 16]", "hidden": "[20]"}
    assert study.settings(0, chosen).filters == (8, 16)
    assert study.settings(0, {"architecture": "mlp", "hidden": "[20]"}).filters is None
    deep = {"architecture": "deep_convnet", "hidden": "[20]"}  # from `retrial train --set`
    assert study.settings(0, deep).hidden == (20,)


SPACE = {"dropout": {"low": 0.0, "high": 0.5}}
EARLIER = {"architecture": "lenet", "hidden": [100]}
"""Settings stored before `filters` existed, when `hidden` had no effect in lenet."""


def test_stored_settings_without_filters_describe_the_same_network():
    assert from_plain(EARLIER) == Settings(architecture="lenet")
    assert from_plain({**EARLIER, "filters": None}).hidden == (100,)
    assert from_plain({"architecture": "mlp", "hidden": [30]}).hidden == (30,)
    assert from_json(json.dumps(EARLIER)) == Settings(architecture="lenet")


@pytest.mark.parametrize("network", [{}, {"architecture": "lenet"}, {"hidden": [100]}])
def test_a_study_stored_without_filters_is_continued_with_its_file(network):
    given = study_file.build({"study": {"name": "s"}, "network": network, "space": SPACE})
    fixed = {**given.definition["fixed"], "hidden": [100]}
    del fixed["filters"]
    earlier = {**given.definition, "fixed": fixed}
    assert study_file.differences(earlier, given.definition) == []
    settings = study_file.stored(earlier).settings(3, {"dropout": 0.5})
    classes = [build(s, (28, 28, 1), 10, None).shapes for s in
               (settings, given.settings(3, {"dropout": 0.5}))]  # fmt: skip
    assert classes[0] == classes[1]


def test_a_study_stored_without_filters_is_not_continued_with_another_network():
    network = {"architecture": "lenet", "hidden": [100]}
    given = study_file.build({"study": {"name": "s"}, "network": network, "space": SPACE})
    earlier = {**given.definition, "fixed": {**given.definition["fixed"]}}
    del earlier["fixed"]["filters"]
    (difference,) = study_file.differences(earlier, given.definition)
    assert difference == "fixed.hidden: stored 'nothing', given [100]"
