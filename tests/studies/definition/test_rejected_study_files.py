"""Study files that are rejected: with the key's full name, the value received, what is expected."""

import sys
from dataclasses import dataclass
from pathlib import Path

import curves
import pytest
from searches import a_study

from nets.errors import InputError, ModuleMissing
from studies.definition import study_file

REJECTED = [
    ("study = 3", "study: got 3, expected a section [study]"),
    ("space = 3", "space: got 3, expected a section [space]"),
    ('data = "mnist"', "data: got 'mnist', expected a section [data]"),
    (
        "[trainig]\nepochs = 3",
        "trainig: unknown section, expected study, data, network, training, augmentation or "
        "space; did you mean 'training'?",
    ),
    ('[study]\nname = "a b"', "study.name: got 'a b', expected letters, digits, '.', '_' and '-'"),
    ("[study]\nname = 5", "study.name: got 5, expected a string"),
    ("[study]\ntrials = 0", "study.trials: got 0, expected an integer of at least 1"),
    ('[study]\ntrials = "20"', "study.trials: got '20', expected an integer"),
    ("[study]\ntrials = true", "study.trials: got True, expected an integer"),
    ("[study]\nwindow = 0", "study.window: got 0, expected an integer of at least 1"),
    ("[study]\nseed = -1", "study.seed: got -1, expected an integer of at least 0"),
    ("[study]\nseed = 2020-01-01", "study.seed: got '2020-01-01', expected an integer"),
    ("[study]\nportable = 1", "study.portable: got 1, expected true or false"),
    (
        "[study]\ncolour = 1",
        "study.colour: unknown key, expected name, trials, window, metric, direction, "
        "sampler, pruner, stop, seed, first, warm_start, objective, settings, test, models, "
        "keep_state, storage, memory, trial_seconds, record_diff or portable",
    ),
    ('[study]\ndirection = "up"', "study.direction: got 'up', expected maximize or minimize"),
    (
        '[study]\nmetric = "accuracy"',
        "study.metric: got 'accuracy', expected train_loss, train_accuracy, learning_rate, "
        "val_loss or val_accuracy; did you mean 'val_accuracy'?",
    ),
    (
        '[study]\nmetric = "val_loss"\ndirection = "maximize"',
        "study.direction: got 'maximize', expected 'minimize' with study.metric = "
        "'val_loss'; this is also the default",
    ),
    (
        '[study]\ndirection = "minimize"',
        "study.direction: got 'minimize', expected 'maximize' with study.metric = "
        "'val_accuracy'; this is also the default",
    ),
    ("[study]\nstop = 3", "study.stop: got 3, expected a table such as { patience = 20 }"),
    (
        "[study]\nstop = { patience = 0 }",
        "study.stop.patience: got 0, expected an integer of at least 1",
    ),
    ("[study]\nstop = { min_delta = 0.1 }", "study.stop.patience: missing, expected a value"),
    (
        "[study]\nstop = { patience = 1, delta = 1 }",
        "study.stop.delta: unknown key, expected patience or min_delta; did you mean 'min_delta'?",
    ),
    ("[study]\nfirst = 3", "study.first: got 3, expected a list"),
    (
        '[study]\nobjective = "nothing"',
        "study.objective: got 'nothing', expected package.module:name",
    ),
    (
        '[study]\nobjective = "no.such:thing"',
        "study.objective: cannot import 'no.such:thing': No module named 'no'; put "
        "no/such.py beside the study file or in the current folder, or install it",
    ),
    (
        '[study]\nobjective = "math:thing"',
        "study.objective: got 'math:thing', but math has no thing",
    ),
    ('[study]\nobjective = "math:pi"', "study.objective: got 'math:pi', expected a function"),
    (
        '[study]\nsettings = "math:sin"',
        "study.settings: got 'math:sin', expected a dataclass with the fields seed and epochs",
    ),
    ('[study]\nsampler = "tpe"', "study.sampler: got 'tpe', expected { name = \"tpe\" }"),
    (
        '[study]\nsampler = "bayes"',
        "study.sampler: got 'bayes', expected a table such as { name = \"tpe\" }",
    ),
    (
        '[study]\npruner = "hyperband"',
        "study.pruner: got 'hyperband', expected { name = \"hyperband\" }",
    ),
    (
        '[study]\npruner = { name = "patient", wrapped = 3 }',
        'study.pruner.wrapped: got 3, expected a table such as { name = "median" }',
    ),
    (
        '[study]\nsampler = { name = "bayes" }',
        "study.sampler.name: got 'bayes', expected random, tpe, gp, cmaes, qmc, grid or "
        "nsga2; did you mean 'cmaes'?",
    ),
    (
        "[study]\nsampler = { candidates = 3 }",
        "study.sampler: got {'candidates': 3}, expected a table with a name",
    ),
    (
        '[study]\nsampler = { name = "tpe", startup = 3 }',
        "study.sampler.startup: unknown key, expected name, startup_trials or candidates; "
        "did you mean 'startup_trials'?",
    ),
    (
        '[study]\nsampler = { name = "qmc", sequence = "lattice" }',
        "study.sampler.sequence: got 'lattice', expected sobol or halton",
    ),
    (
        '[study]\npruner = { name = "median", startup_trials = 1.5 }',
        "study.pruner.startup_trials: got 1.5, expected an integer",
    ),
    (
        '[study]\npruner = { name = "percentile", percentile = 0 }',
        "study.pruner.percentile: got 0, expected a number above 0",
    ),
    (
        '[study]\npruner = { name = "hyperband", reduction_factor = 1 }',
        "study.pruner.reduction_factor: got 1, expected an integer of at least 2",
    ),
    (
        '[study]\npruner = { name = "patient", wrapped = { name = "patient" } }',
        "study.pruner.wrapped.name: got 'patient', expected none, median, percentile, "
        "successive_halving, hyperband or threshold",
    ),
    (
        '[study]\npruner = { name = "patient", wrapped = { name = "median", x = 1 } }',
        "study.pruner.wrapped.x: unknown key, expected name, startup_trials, warmup_epochs "
        "or interval",
    ),
    (
        '[study]\npruner = { name = "threshold" }',
        "study.pruner: no bounds, expected lower, upper or both",
    ),
    (
        '[study]\nsampler = { name = "grid" }\n[space]\ndropout = { low = 0.0, high = 0.5 }',
        "space.dropout: the grid sampler needs a finite number of values; add a `step`, use "
        "`choices`, or use another sampler",
    ),
    (
        '[study]\nsampler = { name = "grid" }\n[space]\nepochs = { low = 1, high = 100000000 }',
        "study.sampler: got a grid of 100000000 points, expected at most 100000 points",
    ),
    (
        '[study]\nsampler = { name = "qmc" }\n[space]\noptimizer = { choices = ["sgd", '
        '"momentum"] }\nmomentum = { low = 0.5, high = 0.9, when = { optimizer = ["momentum"] } }',
        "space.momentum.when: the qmc sampler does not support conditions; remove `when`, or "
        "use the sampler tpe, random, gp or nsga2",
    ),
    (
        '[study]\nsampler = { name = "cmaes" }\n[space]\noptimizer = { choices = ["sgd", '
        '"momentum"] }\n',
        "space.optimizer.choices: the cmaes sampler does not support choices; use low and "
        "high, or another sampler",
    ),
    (
        '[study]\nsampler = { name = "cmaes" }\n[space]\nepochs = { low = 1, high = 3 }\ndropout '
        "= { low = 0.0, high = 0.5, when = { epochs = [1] } }",
        "space.dropout.when: the cmaes sampler does not support conditions; remove `when`, "
        "or use the sampler tpe, random, gp or nsga2",
    ),
    (
        '[study]\npruner = { name = "hyperband", min_resource = 21 }',
        "study.pruner.min_resource: got 21, expected at most training.epochs = 20; no trial "
        "would ever be pruned",
    ),
    (
        '[study]\npruner = { name = "patient", wrapped = { name = "successive_halving", '
        "min_resource = 9 } }\n[space]\nepochs = { low = 2, high = 8 }",
        "study.pruner.wrapped.min_resource: got 9, expected at most training.epochs = 8; no "
        "trial would ever be pruned",
    ),
    (
        '[study]\nsampler = { name = "grid" }\nfirst = [{ dropout = 0.1 }]\n[space]\ndropout = { '
        "low = 0.0, high = 0.5, step = 0.1 }\nbatch_size = { low = 1, high = 3 }",
        "study.first[0].batch_size: missing, expected a value of every parameter, because of "
        "the grid sampler",
    ),
    ("[data]\ncolour = 1", "data.colour: unknown key, expected name, validation or split_seed"),
    (
        "[data]\nvalidation = 0",
        "study.metric: got 'val_accuracy' with data.validation = 0, expected data.validation "
        "of at least 1",
    ),
    ("[training]\nhidden = [50]", "training.hidden: unknown key; it belongs under [network]"),
    ("[network]\nname = 3", "network.name: unknown key; it belongs under [study] or [data]"),
    ("[training]\nseed = 3", "training.seed: unknown key; it belongs under [study]"),
    ("[study]\nepochs = 3", "study.epochs: unknown key; it belongs under [training]"),
    (
        "",
        "space: nothing to search, expected a section [space] with at least one setting; for "
        "one training use `retrial train`",
    ),
    (
        "[[study.first]]\ndropout = 0.1",
        "study.first[0].dropout: got 0.1, expected no values, because [space] names no settings",
    ),
    (
        "[space]\nfilters = { choices = [[8, 16], [16, 32]] }",
        "space.filters: no effect with network.architecture = 'mlp'; use 'lenet' or "
        "'deep_convnet', or remove it",
    ),
    (
        "[network]\nfilters = [8, 16]",
        "network.filters: no effect with network.architecture = 'mlp'; use 'lenet' or "
        "'deep_convnet', or remove it",
    ),
    (
        '[network]\narchitecture = "lenet"\nfilters = [8, 16, 32]',
        "network.filters: got [8, 16, 32], expected a list of 2 integers, one per stage of lenet",
    ),
    (
        '[network]\narchitecture = "deep_convnet"\n'
        "[space]\nfilters = { choices = [[8, 16, 32], [16, 32]] }",
        "space.filters: got [16, 32], expected a list of 3 integers, one per stage of deep_convnet",
    ),
    (
        '[space]\narchitecture = { choices = ["mlp", "lenet", "deep_convnet"] }\n'
        "filters = { choices = [[8, 16]], when = { architecture = "
        '["lenet", "deep_convnet"] } }',
        "space.filters: got [8, 16], expected a list of 3 integers, one per stage of deep_convnet",
    ),
    (
        '[training]\noptimizer = "sgd"\n[space]\nmomentum = { low = 0.5, high = 0.9 }',
        "space.momentum: no effect with training.optimizer = 'sgd'; use 'momentum' or "
        "'nesterov', or remove it",
    ),
    (
        '[space]\noptimizer = { choices = ["sgd", "momentum"] }\nbeta1 = { low = 0.5, high = 0.9 }',
        "space.beta1: no effect with space.optimizer = 'sgd' or 'momentum'; use 'adam' or "
        "'adamw', or remove it",
    ),
    (
        '[space]\noptimizer = { choices = ["sgd", "momentum"] }\nmomentum = { low = 0.5, high = '
        '0.9, when = { optimizer = "sgd" } }',
        "space.momentum: no effect with space.momentum.when.optimizer = 'sgd'; use "
        "'momentum' or 'nesterov', or remove it",
    ),
    (
        "[space]\ndropout = { low = 0.1, high = 0.35, step = 0.1 }",
        "space.dropout.high: got 0.35, expected low = 0.1 plus a whole number of steps of "
        "0.1; the nearest are 0.3 and 0.4",
    ),
    (
        "[space]\nbatch_size = { low = 10, high = 36, step = 10 }",
        "space.batch_size.high: got 36, expected low = 10 plus a whole number of steps of "
        "10; the nearest are 30 and 40",
    ),
    (
        "[space]\nlearning_rate = { low = 1e-5, high = 3.5e-5, step = 1e-5 }",
        "space.learning_rate.high: got 3.5e-05, expected low = 1e-05 plus a whole number of "
        "steps of 1e-05; the nearest are 0.00003 and 0.00004",
    ),
    (
        "[space]\ndropout = 0.3",
        "space.dropout: got 0.3, expected a table such as { low = 0.0, high = 0.5 } or { "
        "choices = [...] }",
    ),
    (
        "[space]\ndropout = { low = 0.5, high = 0.5 }",
        "space.dropout: got low = 0.5 and high = 0.5, expected low below high",
    ),
    (
        "[space]\ndropout = { low = 0.6, high = 0.5 }",
        "space.dropout: got low = 0.6 and high = 0.5, expected low below high",
    ),
    ("[space]\ndropout = { low = 0.1 }", "space.dropout.high: missing, expected a value"),
    (
        "[space]\ndropout = { low = 0.0, high = 0.5, log = true }",
        "space.dropout.low: got 0.0, expected a number above 0, because log = true",
    ),
    (
        "[space]\ndropout = { low = 0.0, high = 0.5, log = 1 }",
        "space.dropout.log: got 1, expected true or false",
    ),
    (
        "[space]\ndropout = { low = 0.0, high = 0.5, lgo = true }",
        "space.dropout.lgo: unknown key, expected low, high, log, step, when or choices; did "
        "you mean 'low'?",
    ),
    (
        '[space]\ndropout = { low = "0", high = 0.5 }',
        "space.dropout.low: got '0', expected a number",
    ),
    (
        "[space]\nlearning_rate = { low = 1e-3, high = inf }",
        "space.learning_rate.high: got inf, expected a finite number",
    ),
    (
        "[space]\ndropout = { low = 0.0, high = 0.5, step = nan }",
        "space.dropout.step: got nan, expected a finite number",
    ),
    (
        "[space]\ndropout = { low = 0.0, high = 0.5, step = 1.0 }",
        "space.dropout.step: got 1.0, expected a number above 0 and at most 0.5",
    ),
    (
        "[space]\ndropout = { low = 0.0, high = 0.5, step = 1e-30 }",
        "space.dropout.step: got 1e-30, expected at least 5e-08; or remove it",
    ),
    (
        "[space]\nlearning_rate = { low = 0.1, high = 0.5, log = true, step = 0.1 }",
        "space.learning_rate.step: got 0.1, expected no step, because log = true",
    ),
    (
        "[space]\nbatch_size = { low = 16.5, high = 64 }",
        "space.batch_size.low: got 16.5, expected an integer",
    ),
    (
        "[space]\nbatch_size = { low = 1, high = 10000000000000000000 }",
        "space.batch_size.high: got 10000000000000000000, expected an integer of at most "
        "9007199254740992",
    ),
    (
        "[space]\noptimizer = { low = 1, high = 2 }",
        "space.optimizer: got {'low': 1, 'high': 2}, expected { choices = [...] } from sgd, "
        "momentum, nesterov, adagrad, rmsprop, adam or adamw",
    ),
    (
        "[space]\noptimizer = { choices = [] }",
        "space.optimizer.choices: got [], expected a list of at least one value",
    ),
    (
        '[space]\noptimizer = { choices = ["adam"], low = 1 }',
        "space.optimizer.low: unknown key, expected choices or when",
    ),
    (
        '[space]\noptimizer = { choices = ["adam", "adam"] }',
        "space.optimizer.choices: got ['adam', 'adam'], expected distinct values",
    ),
    (
        "[space]\nbatch_size = { choices = [1, true] }",
        "space.batch_size.choices: got [1, True], expected distinct values",
    ),
    (
        "[space]\noptimizer = { choices = [2020-01-01] }",
        "space.optimizer.choices: got datetime.date(2020, 1, 1), expected numbers, true, "
        "false, strings that do not begin with '[', and lists of these",
    ),
    (
        "[training]\nlearning_rate = 0.1\n[space]\nlearning_rate = { low = 0.1, high = 0.5 }",
        "training.learning_rate: got 0.1, but space.learning_rate searches it; remove one of "
        "the two",
    ),
    (
        '[space]\nmomentum = { low = 0.5, high = 0.9, when = { optimizer = ["momentum"] } }',
        "space.momentum.when.optimizer: unknown parameter, expected one that precedes it in "
        "[space]: there is none",
    ),
    (
        '[space]\noptimizer = { choices = ["sgd", "momentum"] }\nmomentum = { low = 0.5, high = '
        "0.9, when = 3 }",
        'space.momentum.when: got 3, expected a table such as { optimizer = ["momentum", '
        '"nesterov"] }',
    ),
    (
        '[space]\noptimizer = { choices = ["sgd", "momentum"] }\nmomentum = { low = 0.5, high = '
        '0.9, when = { optimizer = "adam" } }',
        "space.momentum.when.optimizer: got 'adam', expected a value of optimizer: 'sgd', "
        "'momentum'",
    ),
    (
        '[space]\noptimizer = { choices = ["sgd", "momentum"] }\nmomentum = { low = 0.5, high = '
        '0.9, when = { optimizer = "sgd" } }\ndropout = { low = 0.0, high = 0.5, when = { '
        "momentum = 0.5 } }",
        "space.dropout.when.momentum: momentum has a condition itself, expected a parameter "
        "without a condition",
    ),
    (
        "[[study.first]]\nspeed = 5.0\n[space]\ndropout = { low = 0.0, high = 0.5 }",
        "study.first[0].speed: unknown parameter, expected dropout",
    ),
    (
        "[[study.first]]\ndropout = 0.6\n[space]\ndropout = { low = 0.0, high = 0.5 }",
        "study.first[0].dropout: got 0.6, expected 0.0 to 0.5",
    ),
    (
        '[[study.first]]\ndropout = "0.5"\n[space]\ndropout = { low = 0.0, high = 0.5 }',
        "study.first[0].dropout: got '0.5', expected 0.0 to 0.5",
    ),
    (
        "[[study.first]]\ndropout = 0.25\n[space]\ndropout = { low = 0.0, high = 0.5, step = 0.1 }",
        "study.first[0].dropout: got 0.25, expected 0.0 to 0.5 in steps of 0.1",
    ),
    (
        "[[study.first]]\nbatch_size = 17\n[space]\nbatch_size = { low = 16, high = 64, step = "
        "16 }",
        "study.first[0].batch_size: got 17, expected 16 to 64 in steps of 16",
    ),
    (
        '[[study.first]]\noptimizer = "sgd"\nmomentum = 0.5\n[space]\noptimizer = { choices = '
        '["sgd", "momentum"] }\nmomentum = { low = 0.5, high = 0.9, when = { optimizer = '
        '"momentum" } }',
        "study.first[0].momentum: got 0.5 with optimizer = 'sgd', expected no momentum; its "
        "`when` excludes that optimizer",
    ),
]
"""Study files, each with the message."""

REJECTED_BY_SETTINGS = [
    ('[data]\nname = "../cells"', "data.name", "../cells"),
    ("[data]\nname = 5", "data.name", 5),
    ("[data]\nvalidation = -1", "data.validation", -1),
    ("[network]\nhidden = 100", "network.hidden", 100),
    ('[training]\noptimizer = "adan"', "training.optimizer", "adan"),
    ("[training]\nepochs = 0", "training.epochs", 0),
    ("[space]\ndropout = { low = 0.0, high = 1.0 }", "space.dropout", 1.0),
    ('[space]\noptimizer = { choices = ["adam", "adan"] }', "space.optimizer", "adan"),
    ("[space]\nhidden = { choices = [[100], [0]] }", "space.hidden", [0]),
    ('[space]\ndata = { choices = ["digits", ".cells"] }', "data.name", ".cells"),
    (
        "[space]\npatience = { low = 0, high = 3 }\nvalidation = { choices = [0, 100] }",
        "space.patience",
        3,
    ),
    (
        "[training]\npatience = 3\n[space]\nvalidation = { choices = [0, 100] }",
        "training.patience",
        3,
    ),
]
"""Study files, each with the key and the value; the settings class words what it expects."""


def rejection(text, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        study_file.read(path)
    return caught.value


@pytest.mark.parametrize(("text", "message"), REJECTED)
def test_study_file_is_rejected_with_key_value_and_expectation(text, message, tmp_path):
    assert str(rejection(text, tmp_path)) == message


@pytest.mark.parametrize(("text", "key", "received"), REJECTED_BY_SETTINGS)
def test_settings_are_rejected_under_the_key_of_the_file(text, key, received, tmp_path):
    error = rejection(text, tmp_path)
    assert (error.key, error.received) == (key, received)
    assert error.expected or error.hint


def test_settings_that_are_no_number_are_rejected_too(tmp_path):
    error = rejection("[training]\nlearning_rate = nan", tmp_path)
    assert error.key == "training.learning_rate"
    assert error.problem == "got nan"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[trainin]", "training"),
        ("[study]\ntrails = 3", "trials"),
        ('[study]\ndirection = "maximise"', "maximize"),
        ('[study]\nmetric = "val_acuracy"', "val_accuracy"),
        ('[study]\nsampler = { name = "nsga" }', "nsga2"),
        ('[study]\nsampler = { name = "tpe", candidate = 3 }', "candidates"),
        ('[study]\npruner = { name = "hyper_band" }', "hyperband"),
        ('[study]\npruner = { name = "patient", wrapped = { name = "medain" } }', "median"),
        ("[training]\nlearningrate = 0.1", "learning_rate"),
        ("[space]\ndropuot = { low = 0.0, high = 0.5 }", "dropout"),
        ("[space]\noptimizer = { choises = ['sgd'], low = 1 }", None),
        ("[space]\ndropout = { low = 0.0, higth = 0.5 }", "high"),
        ("[space]\ndropout = { choises = [0.0, 0.5] }", "choices"),
        ("[[study.first]]\ndropuot = 0.1\n[space]\ndropout = { low = 0.0, high = 0.5 }", "dropout"),
        (
            "[space]\nbatch_size = { low = 1, high = 3 }\n"
            "dropout = { low = 0.0, high = 0.5, when = { batchsize = 1 } }",
            "batch_size",
        ),
    ],
)
def test_near_miss_names_the_similar_name(text, hint, tmp_path):
    assert rejection(text, tmp_path).hint == (f"did you mean {hint!r}?" if hint else "")


@dataclass(frozen=True, kw_only=True)
class Moody(curves.Curve):
    def __post_init__(self):
        raise InputError(problem="these settings do not fit together")


def test_error_of_a_users_settings_class_without_a_field_is_unchanged(monkeypatch):
    monkeypatch.setattr(curves, "Moody", Moody, raising=False)
    study = {"name": "mine", "metric": "score", "objective": "curves:climb"}
    study["settings"] = "curves:Moody"
    with pytest.raises(InputError) as caught:
        study_file.build({"study": study, "space": {"height": {"low": 0.0, "high": 1.0}}})
    assert str(caught.value) == "these settings do not fit together"


def test_settings_that_json_does_not_return_are_rejected():
    study = {
        "name": "mine", "metric": "score", "objective": "curves:climb",
        "settings": "curves:Placed",
    }  # fmt: skip
    with pytest.raises(InputError) as caught:
        study_file.build({"study": study, "space": {"height": {"low": 0.0, "high": 1.0}}})
    assert caught.value.key == "settings.folder"
    assert caught.value.received == Path("/data")


@pytest.mark.parametrize("key", ["speed", "seed", "split_seed"])
def test_only_settings_that_can_be_searched_are_accepted_in_the_space(key, tmp_path):
    error = rejection(f"[space]\n{key} = {{ low = 0, high = 1 }}", tmp_path)
    assert (error.key, error.problem) == (f"space.{key}", "unknown setting")
    assert "data, " in error.expected
    assert "seed" not in error.expected + error.hint


def test_file_that_is_not_toml_is_rejected_with_the_place(tmp_path):
    error = rejection("[study\n", tmp_path)
    assert error.key == str(tmp_path / "mine.toml")
    assert error.problem.startswith("not TOML: Expected ']'")
    assert "line 1, column 7" in error.problem


def test_unknown_study_is_answered_with_the_bundled_ones():
    with pytest.raises(InputError) as caught:
        study_file.find("digit")
    assert str(caught.value) == (
        "study: no bundled study 'digit', expected digits, mnist-best, mnist-cnn, mnist-mlp or the "
        "path of a .toml file; did you mean 'digits'?"
    )


def test_path_without_a_file_is_rejected():
    with pytest.raises(InputError) as caught:
        study_file.find("no/mine.toml")
    assert str(caught.value) == "study: no such file: 'no/mine.toml'"


def test_path_of_a_folder_is_rejected(tmp_path):
    with pytest.raises(InputError, match="is a folder, expected the path of a study file"):
        study_file.find(str(tmp_path))


@pytest.mark.parametrize(("sampler", "package"), [("gp", "torch"), ("cmaes", "cmaes")])
def test_missing_package_is_answered_with_the_install_command(sampler, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleMissing) as caught:
        a_study(sampler={"name": sampler})
    assert caught.value.key == "study.sampler"
    assert caught.value.problem == f"{sampler} needs the package {package}, which is not installed"
    assert caught.value.hint == f"run: pip install {package}"
