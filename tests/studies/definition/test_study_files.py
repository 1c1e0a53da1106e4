"""Study files: what is refused, in which words, and that a stored study is the one read."""

import json
import math
import re
import sys

import pytest
from searches import MIXED, a_study

from nets.errors import InputError
from studies.definition import samplers, study_file

OPTIMIZERS = "sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw"
ACCEPTED_IN_STUDY = (
    "name, trials, window, metric, direction, sampler, pruner, stop, seed, first, warm_start, "
    "objective, settings, storage, portable"
)
TWO_OPTIMIZERS = 'optimizer = { choices = ["sgd", "momentum"] }\n'

REFUSED = {
    # Sections
    "study = 3": "study: got 3, accepted is a section [study]",
    "space = 3": "space: got 3, accepted is a section [space]",
    'data = "mnist"': "data: got 'mnist', accepted is a section [data]",
    "[trainig]\nepochs = 3": "trainig: unknown section; accepted are study, data, network, "
    "training, augmentation, space",
    # [study]
    '[study]\nname = "a b"': "study.name: got 'a b', accepted are letters, digits, '.', '_' and "
    "'-'",
    "[study]\nname = 5": "study.name: got 5, accepted is a text",
    "[study]\ntrials = 0": "study.trials: got 0, accepted is at least 1",
    '[study]\ntrials = "20"': "study.trials: got '20', accepted is a whole number",
    "[study]\ntrials = true": "study.trials: got True, accepted is a whole number",
    "[study]\nwindow = 0": "study.window: got 0, accepted is at least 1",
    "[study]\nseed = -1": "study.seed: got -1, accepted is at least 0",
    "[study]\nseed = 2020-01-01": "study.seed: got '2020-01-01', accepted is a whole number",
    "[study]\nportable = 1": "study.portable: got 1, accepted is true or false",
    "[study]\ncolour = 1": f"study.colour: unknown; accepted are {ACCEPTED_IN_STUDY}",
    '[study]\ndirection = "up"': "study.direction: got 'up', accepted is 'maximize' or 'minimize'",
    '[study]\nmetric = "accuracy"': "study.metric: got 'accuracy', accepted are train_loss, "
    "train_accuracy, learning_rate, val_loss, val_accuracy",
    '[study]\nmetric = "val_loss"\ndirection = "maximize"': "study.direction: got 'maximize' with "
    "study.metric = 'val_loss', accepted is 'minimize', which is also what it is when left out",
    '[study]\ndirection = "minimize"': "study.direction: got 'minimize' with study.metric = "
    "'val_accuracy', accepted is 'maximize', which is also what it is when left out",
    "[study]\nstop = 3": "study.stop: got 3, accepted is a table such as { patience = 20 }",
    "[study]\nstop = { patience = 0 }": "study.stop.patience: got 0, accepted is at least 1",
    "[study]\nstop = { min_delta = 0.1 }": "study.stop.patience: missing; accepted is a value for "
    "it",
    "[study]\nstop = { patience = 1, delta = 1 }": "study.stop.delta: unknown; accepted are "
    "patience, min_delta",
    "[study]\nfirst = 3": "study.first: got 3, accepted is a list",
    '[study]\nobjective = "nothing"': "study.objective: got 'nothing', accepted is "
    "package.module:name",
    '[study]\nobjective = "no.such:thing"': "study.objective: got 'no.such:thing', which cannot be "
    "imported: No module named 'no'\naccepted is a module beside the study file, in the current "
    "folder, or installed",
    '[study]\nobjective = "math:thing"': "study.objective: got 'math:thing', but math has no thing",
    '[study]\nobjective = "math:pi"': "study.objective: got math:pi, accepted is a function",
    '[study]\nsettings = "math:sin"': "study.settings: got math:sin, accepted is a dataclass with "
    "at least the fields seed and epochs",
    # Samplers and pruners
    '[study]\nsampler = "tpe"': "study.sampler: got 'tpe', accepted is { name = \"tpe\" }",
    '[study]\nsampler = "bayes"': "study.sampler: got 'bayes', accepted is a table such as "
    '{ name = "tpe" }',
    '[study]\npruner = "hyperband"': "study.pruner: got 'hyperband', accepted is "
    '{ name = "hyperband" }',
    '[study]\npruner = { name = "patient", wrapped = 3 }': "study.pruner.wrapped: got 3, accepted "
    'is a table such as { name = "median" }',
    '[study]\nsampler = { name = "bayes" }': "study.sampler.name: got 'bayes', accepted are "
    "random, tpe, gp, cmaes, qmc, grid, nsga2",
    "[study]\nsampler = { candidates = 3 }": "study.sampler: got {'candidates': 3}, accepted is a "
    "table with a name",
    '[study]\nsampler = { name = "tpe", startup = 3 }': "study.sampler.startup: unknown; accepted "
    "are name, startup_trials, candidates",
    '[study]\nsampler = { name = "qmc", sequence = "lattice" }': "study.sampler.sequence: got "
    "'lattice', accepted is 'sobol' or 'halton'",
    '[study]\npruner = { name = "median", startup_trials = 1.5 }': "study.pruner.startup_trials: "
    "got 1.5, accepted is a whole number",
    '[study]\npruner = { name = "percentile", percentile = 0 }': "study.pruner.percentile: got 0, "
    "accepted is above 0",
    '[study]\npruner = { name = "hyperband", reduction_factor = 1 }': "study.pruner."
    "reduction_factor: got 1, accepted is at least 2",
    '[study]\npruner = { name = "patient", wrapped = { name = "patient" } }': "study.pruner."
    "wrapped.name: got 'patient', accepted are none, median, percentile, successive_halving, "
    "hyperband, threshold",
    '[study]\npruner = { name = "patient", wrapped = { name = "median", x = 1 } }': "study.pruner."
    "wrapped.x: unknown; accepted are name, startup_trials, warmup_epochs, interval",
    '[study]\npruner = { name = "threshold" }': "study.pruner: got {'name': 'threshold'}, accepted "
    "is a lower or an upper bound, or both with lower below upper",
    '[study]\nsampler = { name = "grid" }\n[space]\ndropout = { low = 0.0, high = 0.5 }': "space."
    "dropout: the grid sampler needs points; accepted is a `step`, `choices`, or another sampler",
    '[study]\nsampler = { name = "grid" }\n[space]\nbatch_size = { low = 1, high = 1000000 }': (
        "study.sampler: the grid has 1000000 points, accepted are at most 100000"
    ),
    '[study]\nsampler = { name = "qmc" }\n[space]\n' + TWO_OPTIMIZERS + "momentum = { low = 0.5, "
    'high = 0.9, when = { optimizer = ["momentum"] } }': "space.momentum.when: the qmc sampler "
    "knows no conditions; accepted are tpe, random, gp or nsga2, or a space without `when`",
    '[study]\nsampler = { name = "cmaes" }\n[space]\n' + TWO_OPTIMIZERS: "space.optimizer.choices: "
    "the cmaes sampler knows no choices; accepted is low and high, or another sampler",
    '[study]\nsampler = { name = "cmaes" }\n[space]\nepochs = { low = 1, high = 3 }\n'
    "dropout = { low = 0.0, high = 0.5, when = { epochs = [1] } }": "space.dropout.when: the cmaes "
    "sampler knows no conditions; accepted are tpe, random, gp or nsga2, or a space without `when`",
    '[study]\npruner = { name = "hyperband", min_resource = 21 }': "study.pruner.min_resource: got "
    "21 with training.epochs = 20, no trial would ever be pruned; accepted is at most 20",
    '[study]\npruner = { name = "patient", wrapped = { name = "successive_halving", min_resource = '
    "9 } }\n[space]\nepochs = { low = 2, high = 8 }": "study.pruner.wrapped.min_resource: got 9 "
    "with training.epochs = 8, no trial would ever be pruned; accepted is at most 8",
    '[study]\nsampler = { name = "grid" }\nfirst = [{ dropout = 0.1 }]\n[space]\n'
    "dropout = { low = 0.0, high = 0.5, step = 0.1 }\nbatch_size = { low = 1, high = 3 }": (
        "study.first[0].batch_size: missing; with the grid sampler accepted are first trials that "
        "name every parameter"
    ),
    # Settings
    '[data]\nname = "../cells"': "data.name: got '../cells', accepted are digits, mnist, or your "
    "own: the name of a file NAME.npz in the folder of the data",
    "[data]\nname = 5": "data.name: got 5, accepted is a text",
    "[data]\ncolour = 1": "data.colour: unknown; accepted are name, validation, split_seed",
    "[data]\nvalidation = -1": "data.validation: got -1, accepted is a whole number at least 0",
    "[data]\nvalidation = 0": "study.metric: got 'val_accuracy' with data.validation = 0, accepted "
    "is a validation of at least 1",
    "[network]\nhidden = 100": "network.hidden: got 100, accepted is a list of whole numbers, each "
    "at least 1",
    '[training]\noptimizer = "adan"': "training.optimizer: got 'adan', accepted is one of "
    f"{OPTIMIZERS}",
    "[training]\nepochs = 0": "training.epochs: got 0, accepted is a whole number at least 1",
    "[training]\nlearning_rate = nan": "training.learning_rate: got nan, accepted is a number "
    "above 0",
    "[training]\nhidden = [50]": "training.hidden: unknown; hidden stands under [network]",
    "[network]\nname = 3": "network.name: unknown; name stands under [study] or [data]",
    "[training]\nseed = 3": "training.seed: unknown; seed stands under [study]",
    "[study]\nepochs = 3": "study.epochs: unknown; epochs stands under [training]",
    # [space]
    "": "space: got nothing to search, all trials would have the same settings; accepted is a "
    "section [space] with at least one setting, or `retrial train` for one training",
    "[[study.first]]\ndropout = 0.1": "study.first[0].dropout: got 0.1, but nothing is searched; "
    "accepted are settings that [space] names",
    '[network]\narchitecture = "lenet"\n[space]\nhidden = { choices = [[50], [100]] }': "space."
    "hidden: got a range for it, but network.architecture is 'lenet', which has no hidden; "
    "accepted beside it is architecture 'mlp'",
    '[training]\noptimizer = "sgd"\n[space]\nmomentum = { low = 0.5, high = 0.9 }': "space."
    "momentum: got a range for it, but training.optimizer is 'sgd', which has no momentum; "
    "accepted beside it is optimizer 'momentum' or 'nesterov'",
    '[space]\noptimizer = { choices = ["sgd", "momentum"] }\nbeta1 = { low = 0.5, high = 0.9 }': (
        "space.beta1: got a range for it, but space.optimizer is 'sgd', 'momentum', which has no "
        "beta1; accepted beside it is optimizer 'adam' or 'adamw'"
    ),
    '[space]\noptimizer = { choices = ["sgd", "momentum"] }\nmomentum = { low = 0.5, high = 0.9, '
    'when = { optimizer = "sgd" } }': "space.momentum: got a range for it, but space.momentum.when."
    "optimizer is 'sgd', which has no momentum; accepted beside it is optimizer 'momentum' or "
    "'nesterov'",
    "[space]\ndropout = { low = 0.1, high = 0.35, step = 0.1 }": "space.dropout.high: got 0.35, "
    "accepted is low = 0.1 and a whole number of steps of 0.1: the nearest are 0.3 and 0.4",
    "[space]\nbatch_size = { low = 10, high = 36, step = 10 }": "space.batch_size.high: got 36, "
    "accepted is low = 10 and a whole number of steps of 10: the nearest are 30 and 40",
    "[space]\nlearning_rate = { low = 1e-5, high = 3.5e-5, step = 1e-5 }": "space.learning_rate."
    "high: got 3.5e-05, accepted is low = 1e-05 and a whole number of steps of 1e-05: the nearest "
    "are 0.00003 and 0.00004",
    "[space]\ndropout = 0.3": "space.dropout: got 0.3, accepted is a table such as { low = 0.0, "
    "high = 0.5 } or { choices = [...] }",
    "[space]\ndropout = { low = 0.5, high = 0.5 }": "space.dropout: got low = 0.5 and high = 0.5, "
    "accepted is low below high",
    "[space]\ndropout = { low = 0.6, high = 0.5 }": "space.dropout: got low = 0.6 and high = 0.5, "
    "accepted is low below high",
    "[space]\ndropout = { low = 0.1 }": "space.dropout.high: missing; accepted is a number",
    "[space]\ndropout = { low = 0.0, high = 1.0 }": "space.dropout: got 1.0, accepted is a number "
    "in [0, 1)",
    "[space]\ndropout = { low = 0.0, high = 0.5, log = true }": "space.dropout.low: got 0.0, "
    "accepted with log = true is above 0",
    "[space]\ndropout = { low = 0.0, high = 0.5, log = 1 }": "space.dropout.log: got 1, accepted "
    "is true or false",
    "[space]\ndropout = { low = 0.0, high = 0.5, lgo = true }": "space.dropout.lgo: unknown; "
    "accepted are choices, high, log, low, step, when",
    '[space]\ndropout = { low = "0", high = 0.5 }': "space.dropout.low: got '0', accepted is a "
    "finite number",
    "[space]\nlearning_rate = { low = 1e-3, high = inf }": "space.learning_rate.high: got inf, "
    "accepted is a finite number",
    "[space]\ndropout = { low = 0.0, high = 0.5, step = nan }": "space.dropout.step: got nan, "
    "accepted is a finite number",
    "[space]\ndropout = { low = 0.0, high = 0.5, step = 1.0 }": "space.dropout.step: got 1.0, "
    "accepted is above 0, at most 0.5",
    "[space]\nlearning_rate = { low = 0.1, high = 0.5, log = true, step = 0.1 }": "space."
    "learning_rate.step: got 0.1, accepted is no step with log = true",
    "[space]\nbatch_size = { low = 16.5, high = 64 }": "space.batch_size.low: got 16.5, accepted "
    "is a whole number of at most 2**53",
    "[space]\nbatch_size = { low = 1, high = 10000000000000000000 }": "space.batch_size.high: got "
    "10000000000000000000, accepted is a whole number of at most 2**53",
    "[space]\noptimizer = { low = 1, high = 2 }": "space.optimizer: got {'low': 1, 'high': 2}, "
    f"accepted is {{ choices = [...] }} from {OPTIMIZERS}",
    '[space]\noptimizer = { choices = ["adam", "adan"] }': "space.optimizer: got 'adan', accepted "
    f"is one of {OPTIMIZERS}",
    "[space]\noptimizer = { choices = [] }": "space.optimizer: got [], accepted is a list of at "
    "least one choice",
    '[space]\noptimizer = { choices = ["adam"], low = 1 }': "space.optimizer: got low beside "
    "choices, accepted is a list of at least one choice",
    '[space]\noptimizer = { choices = ["adam", "adam"] }': "space.optimizer.choices: got ['adam', "
    "'adam'], accepted are distinct values",
    "[space]\nbatch_size = { choices = [1, true] }": "space.batch_size.choices: got [1, True], "
    "accepted are distinct values",
    "[space]\noptimizer = { choices = [2020-01-01] }": "space.optimizer.choices: got "
    "datetime.date(2020, 1, 1), accepted are numbers, true, false, texts that do not begin with "
    "'[', and lists of these",
    "[space]\nhidden = { choices = [[100], [0]] }": "space.hidden: got [0], accepted is a list of "
    "whole numbers, each at least 1",
    "[space]\npatience = { low = 0, high = 3 }\nvalidation = { choices = [0, 100] }": "space."
    "patience: got 3 with validation 0, early stopping looks at the validation loss: accepted is a "
    "validation of at least 1",
    "[training]\nlearning_rate = 0.1\n[space]\nlearning_rate = { low = 0.1, high = 0.5 }": (
        "training.learning_rate: got 0.1, but space.learning_rate searches it; accepted is one of "
        "the two"
    ),
    '[space]\ndata = { choices = ["digits", ".cells"] }': "data.name: got '.cells', accepted are "
    "digits, mnist, or your own: the name of a file NAME.npz in the folder of the data",
    # Conditions
    '[space]\nmomentum = { low = 0.5, high = 0.9, when = { optimizer = ["momentum"] } }': "space."
    "momentum.when.optimizer: unknown; accepted is a parameter that stands before it in [space]: "
    "there is none",
    "[space]\n" + TWO_OPTIMIZERS + "momentum = { low = 0.5, high = 0.9, when = 3 }": "space."
    'momentum.when: got 3, accepted is one condition such as { optimizer = ["momentum", '
    '"nesterov"] }',
    "[space]\n"
    + TWO_OPTIMIZERS
    + 'momentum = { low = 0.5, high = 0.9, when = { optimizer = "adam" } }': "space.momentum.when."
    "optimizer: got 'adam', accepted is a value that optimizer can have: 'sgd', 'momentum'",
    "[space]\n"
    + TWO_OPTIMIZERS
    + 'momentum = { low = 0.5, high = 0.9, when = { optimizer = "sgd" } }\n'
    "dropout = { low = 0.0, high = 0.5, when = { momentum = 0.5 } }": "space.dropout.when."
    "momentum: momentum has a condition itself; accepted is one level",
    # First trials
    "[[study.first]]\nspeed = 5.0\n[space]\ndropout = { low = 0.0, high = 0.5 }": "study.first[0]."
    "speed: unknown; accepted are dropout",
    "[[study.first]]\ndropout = 0.6\n[space]\ndropout = { low = 0.0, high = 0.5 }": "study."
    "first[0].dropout: got 0.6, accepted is 0.0 to 0.5",
    "[[study.first]]\ndropout = 0.25\n[space]\ndropout = { low = 0.0, high = 0.5, step = 0.1 }": (
        "study.first[0].dropout: got 0.25, accepted is 0.0 to 0.5 in steps of 0.1"
    ),
    "[[study.first]]\nbatch_size = 17\n[space]\nbatch_size = { low = 16, high = 64, step = 16 }": (
        "study.first[0].batch_size: got 17, accepted is 16 to 64 in steps of 16"
    ),
    '[[study.first]]\noptimizer = "sgd"\nmomentum = 0.5\n[space]\n'
    + TWO_OPTIMIZERS
    + 'momentum = { low = 0.5, high = 0.9, when = { optimizer = "momentum" } }': "study.first[0]."
    "momentum: got 0.5 beside optimizer = 'sgd', accepted beside it is no momentum",
}


@pytest.mark.parametrize("text", REFUSED)
def test_study_file_is_refused_with_key_value_and_what_is_accepted(text, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{re.escape(REFUSED[text])}$"):
        study_file.read(path)


def test_settings_that_json_does_not_give_back_are_refused():
    study = {
        "name": "mine", "metric": "value", "objective": "curves:climb",
        "settings": "curves:Placed",
    }  # fmt: skip
    space = {"height": {"low": 0.0, "high": 1.0}}
    with pytest.raises(
        InputError,
        match=r"^settings\.folder: got PosixPath\('/data'\), accepted are values that JSON has: ",
    ):
        study_file.build({"study": study, "space": space})


@pytest.mark.parametrize("key", ["speed", "seed", "split_seed"])
def test_space_names_all_settings_that_can_be_searched(key, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(f"[space]\n{key} = {{ low = 0, high = 1 }}")
    with pytest.raises(
        InputError, match=f"space.{key}: unknown; accepted are data, .*, elastic$"
    ) as caught:
        study_file.read(path)
    assert "seed" not in str(caught.value).partition("accepted")[2]


def test_file_that_is_no_toml_is_refused_with_the_place(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[study\n")
    with pytest.raises(InputError, match=r"mine\.toml: not TOML: Expected '\]'.*line 1, column 7"):
        study_file.read(path)


def test_unknown_study_names_those_that_ship():
    with pytest.raises(
        InputError,
        match=r"^study: got 'digit', accepted are digits, mnist-cnn, mnist-mlp or the path of a "
        r"\.toml file$",
    ):
        study_file.find("digit")


def test_path_without_a_file_is_refused():
    with pytest.raises(
        InputError,
        match=r"^study: got 'no/mine.toml', no such file; accepted is the path of one$",
    ):
        study_file.find("no/mine.toml")


@pytest.mark.parametrize(("sampler", "package"), [("gp", "torch"), ("cmaes", "cmaes")])
def test_missing_package_is_answered_with_the_install_command(sampler, package, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(
        InputError,
        match=f"study.sampler: {sampler} needs the package {package}, which is not installed; "
        rf"install it with: pip install {package}$",
    ):
        a_study(sampler={"name": sampler})


def test_study_files_that_ship_are_accepted():
    for name in ("digits", "mnist-mlp", "mnist-cnn"):
        assert study_file.read(study_file.find(name)).name == name


def test_our_own_metrics_are_those_that_the_objective_reports(tmp_path):
    from nets.data import load
    from nets.objective import objective
    from nets.settings import Settings

    reported = []
    settings = Settings(epochs=1, hidden=(2,))
    objective(settings, load("digits", tmp_path, cache=tmp_path), reported.append)
    assert set(reported[0].metrics) == set(study_file._METRICS)


@pytest.mark.parametrize(
    ("metric", "direction"),
    [("val_loss", "minimize"), ("train_loss", "minimize"), ("val_accuracy", "maximize")],
)
def test_direction_follows_from_the_metric(metric, direction):
    tables = {"study": {"name": "s", "metric": metric}}
    study = study_file.build(tables)
    assert study.section.direction == direction
    assert study.definition["study"]["direction"] == direction
    given = study_file.build({"study": {**tables["study"], "direction": direction}})
    assert given.definition == study.definition


def test_an_objective_of_ones_own_may_say_what_is_better():
    assert a_study(metric="loss").section.direction == "minimize"
    assert a_study(metric="Relative_Error").section.direction == "minimize"
    assert a_study(metric="value").section.direction == "maximize"
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
def test_stored_study_is_the_one_that_was_read(name):
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
        ("trials = 12.5", {"trials": 3}, "study.trials: got 12.5, accepted is a whole number"),
        ('seed = "x"', {"seed": 3}, "study.seed: got 'x', accepted is a whole number"),
    ],
)
def test_what_the_command_line_replaces_is_checked_too(text, option, message, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(f"[study]\n{text}\n")
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        study_file.read(path, **option)


def test_study_stored_with_what_is_refused_now_is_still_read():
    definition = study_file.build({"study": {"name": "s"}, "space": {}}).definition
    old = {
        "study": {**definition["study"], "sampler": {"name": "cmaes"}},
        "fixed": {**definition["fixed"], "optimizer": "sgd"},
        "space": {"momentum": {"low": 0.5, "high": 0.9}, "activation": {"choices": ["relu"]}},
    }
    assert len(study_file.stored(old).space.parameters) == 2


def test_one_training_needs_no_space(tmp_path):
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
def test_a_module_that_fails_when_it_is_imported_is_refused_in_two_lines(own_package, text, said):
    place = own_package("beside")
    (place / "ofmine" / "training.py").write_text(text)
    (place / "mine.toml").write_text(OF_OWN)
    with pytest.raises(InputError, match=f"which cannot be imported: {said}\naccepted is [^\n]*$"):
        study_file.read(place / "mine.toml")


def test_studies_that_ship_leave_the_path_of_modules_as_it_is(monkeypatch):
    monkeypatch.setattr(sys, "path", before := list(sys.path))
    study_file.read(study_file.find("digits"))
    assert sys.path == before


def test_differences_name_keys_and_leave_out_the_number_of_trials():
    one = a_study(trials=10).definition
    other = a_study(trials=20, sampler={"name": "tpe", "candidates": 8}).definition
    assert study_file.differences(one, other) == ["study.sampler.candidates: stored 24, given 8"]


def test_trials_of_a_study_differ_in_their_seeds_only():
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


def test_range_of_an_older_study_ends_at_the_last_whole_step():
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
