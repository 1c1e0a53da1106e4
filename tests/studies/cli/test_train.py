"""`retrial train`: which settings it takes, and that its runs are no trials of the study."""

import re
from dataclasses import replace

import pytest
from drivers import ledger_of, write_study
from stored_studies import CONDITIONAL, a_definition, a_search

from nets.errors import InputError
from studies.cli.main import main
from studies.definition.choices import encoded
from studies.search import single_training
from tracking.records import Environment


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def train(store, capsys):
    """Run the command in this process, without MLflow; returns exit code, output and errors."""

    def run(study, *values, record=False):
        options = [] if record else ["--no-record"]
        given = ["--set", *values] if values else []
        code = main(["train", str(study), *given, "--store", str(store), *options])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def trained(store):
    """The trials of a study of the store."""

    def read(name="curves-train"):
        ledger = ledger_of(store)
        try:
            return ledger.trials(name)
        finally:
            ledger.close()

    return read


# What is given


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x=3", 3),
        ("x=3.0", 3.0),
        ("x=1e-3", 0.001),
        ("x=true", True),
        ("x=[100, 50]", [100, 50]),
        ("x=adam", "adam"),
        ('x="adam"', "adam"),
        (" x = 3 ", 3),
        ("x=a=b", "a=b"),
    ],
)
def test_a_value_is_toml_or_a_text(text, value):
    found = single_training.parse([text])
    assert found == {"x": value}
    assert type(found["x"]) is type(value)


@pytest.mark.parametrize("text", ["x", "=3", "x=", " = "])
def test_what_is_no_assignment_is_refused(text):
    with pytest.raises(InputError, match=re.escape(f"--set: got {text!r}, expected name=value")):
        single_training.parse([text])


# Where settings come from


def test_settings_come_from_what_is_given_then_the_best_then_the_default(ledger):
    study = a_definition()
    best = a_search(ledger, study, ["complete"] * 3).best
    chosen = single_training.choose(study, best, {"dropout": 0.5, "epochs": 2})
    assert chosen.settings.learning_rate == best.parameters["learning_rate"]
    assert (chosen.settings.dropout, chosen.settings.epochs) == (0.5, 2)
    assert chosen.settings.seed == best.settings["seed"]
    assert chosen.sources == {
        "learning_rate": f"of trial {best.number}, the best",
        "weight_decay": f"of trial {best.number}, the best",
        "dropout": "--set",
        "epochs": "--set",
    }
    alone = single_training.choose(study, None, {"dropout": 0.5})
    assert alone.settings.learning_rate == 0.001
    assert alone.sources["learning_rate"] == "the default"
    assert alone.settings.seed == study.section.seed


def test_with_nothing_given_it_is_the_best_trial_itself(ledger):
    study = a_definition()
    best = a_search(ledger, study, ["complete"] * 3).best
    chosen = single_training.choose(study, best, {}).settings
    assert chosen == replace(study.settings(0, best.parameters), seed=chosen.seed)


def test_what_the_best_has_no_use_for_beside_what_is_given_is_left_to_its_default(ledger):
    study = a_definition(CONDITIONAL)
    stored = a_search(ledger, study, ["complete"] * 30)
    best = next(t for t in stored.ranked() if t.parameters["optimizer"] == "momentum")
    assert single_training.choose(study, best, {}).settings.momentum == best.parameters["momentum"]
    other = single_training.choose(study, best, {"optimizer": "adam"})
    assert other.settings.momentum == 0.9
    assert other.sources["momentum"] == "the default"


def test_a_list_that_is_given_counts_as_a_choice(ledger):
    study = a_definition(CONDITIONAL)
    chosen = single_training.choose(study, None, {"hidden": [100, 50], "optimizer": "momentum"})
    assert chosen.settings.hidden == (100, 50)
    assert encoded([100, 50]) in study.space.distributions["hidden"].choices


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rate": 1}, "--set rate: unknown setting; settings are data, validation, split_seed,"),
        ({"dropout": 1.5}, r"dropout: got 1.5, expected a number in \[0, 1\)"),
        ({"epochs": "many"}, "epochs: got 'many', expected an integer of at least 1"),
        (
            {"filters": [8, 16]},
            "--set filters: no effect with architecture = 'mlp'; use 'lenet' or 'deep_convnet', or "
            "remove it",
        ),
        ({"optimizer": "sgd", "beta1": 0.8}, "--set beta1: no effect with optimizer = 'sgd'; use"),
    ],
)
def test_what_is_no_setting_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        single_training.choose(a_definition(), None, given)


# The command


def test_a_training_is_kept_and_is_no_trial_of_the_study(tmp_path, store, train, trained):
    study = write_study(tmp_path, epochs=3)
    code, said, _ = train(study, "rate=0.3", "height=0.7")
    assert code == 0
    lines = said.splitlines()
    assert lines[0] == "curves-train: training 0"
    assert "  rate    0.3  (--set)" in lines
    assert "  kind    plain  (the default)" in lines
    assert [line[:14] for line in lines if line.startswith("epoch")] == [
        f"epoch   {n} of 3" for n in (1, 2, 3)
    ]
    assert lines[-1] == f"reproduce it: retrial reproduce 0 --study curves-train --store {store}"
    (trial,) = trained()
    assert (trial.state, trial.settings["rate"], trial.parameters) == ("complete", 0.3, {})
    assert trained("curves") == []


def test_the_same_training_again_is_another_with_the_same_result(tmp_path, train, trained):
    study = write_study(tmp_path, epochs=3)
    for _ in range(2):
        assert train(study, "height=0.7")[0] == 0
    first, second = trained()
    assert (first.number, second.number) == (0, 1)
    assert first.settings == second.settings
    assert first.value == second.value


def test_a_training_of_the_best_alone_has_its_value(tmp_path, store, train, trained):
    study = write_study(tmp_path, trials=4, epochs=3)
    assert main(["search", str(study), "--store", str(store), "--no-record", "--jobs", "1"]) == 0
    ledger = ledger_of(store)
    values = {t.number: t.value for t in ledger.trials("curves") if t.state == "complete"}
    ledger.close()
    code, said, _ = train("curves")  # by its name: the store has it
    assert code == 0
    best = max(values, key=values.get)
    assert f"(of trial {best}, the best)" in said
    assert trained()[0].value == values[best]


def test_a_training_that_fails_says_why_and_stops_no_other(tmp_path, train, trained):
    study = write_study(tmp_path, epochs=3, fault="always")
    for number in range(2):
        code, _, said = train(study)
        assert code == 1
        assert "ZeroDivisionError: a mistake in the objective" in said
        assert said.splitlines()[-1].startswith("retrial: the training failed: ZeroDivisionError")
        assert trained()[number].state == "failed"
    assert train(study, "fault=none")[0] == 0


def test_one_that_was_interrupted_is_continued_by_the_same_command_only(tmp_path, train, trained):
    study = write_study(tmp_path, epochs=3)
    train(study, "height=0.7")
    store = tmp_path / "store"
    ledger = ledger_of(store)
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET state = 'running', outcome = '{}' WHERE number = 0")
        connection.execute("DELETE FROM epoch WHERE number > 1")
    ledger.close()
    assert train(study, "height=0.7")[0] == 0
    assert [trial.state for trial in trained()] == ["complete"]
    ledger = ledger_of(store)
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET state = 'running', outcome = '{}' WHERE number = 0")
    ledger.close()
    assert train(study, "height=0.6")[0] == 0
    given_up, other = trained()
    assert (given_up.state, other.state) == ("failed", "complete")
    assert given_up.outcome.error.type == "Interrupted"


@pytest.mark.parametrize(
    ("study", "values", "message"),
    [
        (
            "digit",
            [],
            "study: no bundled study 'digit', expected digits, mnist-",
        ),
        ("digits", ["rate"], "--set: got 'rate', expected name=value"),
        ("digits", ["rate=1"], "--set rate: unknown setting; settings are"),
        ("digits", ["data=letters"], "data.name: got 'letters', expected digits"),
        (
            "digits",
            ["validation=0"],
            "study.metric: got 'val_accuracy' with data.validation = 0, expected data.validation "
            "of at least 1",
        ),
        ("digits", ["validation=2000"], "data.validation: got 2000, expected 0 to 1436"),
    ],
)
def test_a_wrong_request_leaves_no_store(study, values, message, train, store):
    code, _, said = train(study, *values)
    assert code == 2
    assert said.startswith(f"retrial: {message}")
    assert not store.exists()


def test_trainings_are_not_trained_themselves(tmp_path, train):
    train(write_study(tmp_path, epochs=1))
    code, _, said = train("curves-train")
    assert code == 2
    assert said == "retrial: study: curves-train has the trainings of curves; train curves\n"


def test_trainings_are_not_added_to_another_study_with_their_name(tmp_path, train, store):
    ledger = ledger_of(store)
    ledger.add_study("curves-train", a_definition().definition, Environment())
    ledger.close()
    code, _, said = train(write_study(tmp_path, epochs=1))
    assert code == 2
    assert "the store has another study curves-train" in said


def test_trainings_of_another_kind_are_refused(tmp_path, train):
    path = write_study(tmp_path, epochs=1)
    train(path)
    text = path.read_text()
    path.write_text(text.replace('metric = "value"\ndirection = "maximize"', 'metric = "loss"'))
    code, _, said = train(path)
    assert code == 2
    assert said.startswith(
        "retrial: study.metric: got 'loss', expected 'value', as in earlier trainings"
    )
