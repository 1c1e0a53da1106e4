"""`retrial add` as a person meets it: beside a search, for a finished study, refusals."""

import json

import pytest
from drivers import OBJECTIVES_PATH, Driver, ledger_of, write_study
from programs import Program

from studies.cli.main import main
from studies.definition import study_file
from tracking.records import Environment, QueuedTrial


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def run(command, *arguments):
    return main([command, *map(str, arguments)])


def stored(store, tables):
    """Store a study that has no trials yet."""
    study = study_file.build(tables)
    ledger = ledger_of(store)
    ledger.add_study(study.name, study.definition, Environment())
    return ledger


SPACE = {
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "batch_size": {"low": 16, "high": 64, "step": 16},
    "dropout": {"low": 0.0, "high": 0.5, "step": 0.1},
    "hidden": {"choices": [[100], [100, 50]]},
    "optimizer": {"choices": ["adam", "momentum"]},
    "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": "momentum"}},
}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("learning_rate=1", "space.learning_rate: got 1, expected 0.0001 to 0.1"),
        ("learning_rate=fast", "space.learning_rate: got 'fast', expected 0.0001 to 0.1"),
        ("learning_rate=nan", "space.learning_rate: got nan, expected 0.0001 to 0.1"),
        ("batch_size=17", "space.batch_size: got 17, expected 16 to 64 in steps of 16"),
        ("batch_size=true", "space.batch_size: got True, expected 16 to 64 in steps of 16"),
        ("hidden=[7]", "space.hidden: got [7], expected [100], [100, 50]"),
        ("droput=0.1", "space.droput: unknown parameter, expected learning_rate, batch_size, "),
        ("epochs=3", "space.epochs: unknown parameter, expected learning_rate, batch_size, "),
        ("optimizer=adam momentum=0.9", "space.momentum: got 0.9 with optimizer = 'adam', "),
        ("learning_rate", "add: got 'learning_rate', expected name=value"),
        ("=3", "add: got '=3', expected name=value"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(value, message, store, capsys):
    ledger = stored(store, {"study": {"name": "s"}, "space": SPACE})
    assert run("add", "s", *value.split(), "--store", store) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"retrial: {message}")
    assert said.err.count("\n") == 1
    assert ledger.queued("s") == ()
    ledger.close()


def test_values_are_those_of_a_study_file(store, capsys):
    ledger = stored(store, {"study": {"name": "s", "trials": 2}, "space": SPACE})
    values = ["learning_rate=1e-2", "batch_size=32.0", "hidden=[100, 50]", "optimizer=adam"]
    assert run("add", "s", *values, "--store", store) == 0
    assert run("add", "s", "dropout=0.3", "--store", store) == 0
    assert run("add", "s", "dropout=0", "--store", store) == 0
    search = f"retrial search s --store {store}"
    assert capsys.readouterr().out.splitlines() == [
        f"s: queued; `{search}` trains it next",
        f"s: queued as number 2; `{search}` trains it next",
        "s: queued as number 3; a study of 2 trials has no room for it: `"
        + search.replace(" --store", " --trials 3 --store") + "` trains it",
    ]  # fmt: skip
    first, second, third = (trial.parameters for trial in ledger.queued("s"))
    assert json.dumps(first) == json.dumps(
        {"learning_rate": 0.01, "batch_size": 32, "hidden": "[100, 50]", "optimizer": "adam"}
    )
    assert (repr(second), repr(third)) == ("{'dropout': 0.3}", "{'dropout': 0.0}")
    ledger.close()


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("t", "study: no study 't' in {store}; it has s"),
        ("s", "study.sampler: s searches a grid, which has each combination of values once, "),
    ],
)
def test_a_study_that_takes_no_trials_is_refused(study, message, store, capsys):
    space = {"dropout": SPACE["dropout"]}
    tables = {"study": {"name": "s", "sampler": {"name": "grid"}}, "space": space}
    stored(store, tables).close()
    assert run("add", study, "dropout=0.1", "--store", store) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"retrial: {message.format(store=store)}")
    assert said.count("\n") == 1


def test_trainings_take_no_trials(store, capsys):
    ledger = stored(store, {"study": {"name": "s-train"}, "space": SPACE})
    ledger.update_notes("s-train", trainings_of="s")
    ledger.close()
    assert run("add", "s-train", "dropout=0.1", "--store", store) == 2
    assert "study: s-train has the trainings of s; train s" in capsys.readouterr().err


def test_a_folder_without_studies_is_refused_and_stays_as_it_is(store, capsys):
    assert run("add", "s", "dropout=0.1", "--store", store) == 2
    assert capsys.readouterr().err.startswith(f"retrial: store: {store} has no studies")
    assert not store.exists()


def test_a_trial_that_is_added_while_the_study_is_searched_is_asked_next(tmp_path, store, capsys):
    study = write_study(tmp_path, trials=40, delay=0.2, study='models = "champion"')
    driver = Driver(study, store, "--jobs", "2", "--no-record")
    driver.wait_for_trial()
    values = ["height=0.75", "kind=plain"]
    adding = Program(
        "-m", "studies.cli.main", "add", "curves", *values, "--store", store,
        PYTHONPATH=OBJECTIVES_PATH,
    )  # fmt: skip
    assert adding.finish() == (0, "curves: queued; the running search trains it next\n", "")
    assert driver.finish()[0] == 0
    assert run("show", "curves", "--json", "--store", store) == 0
    shown = json.loads(capsys.readouterr().out)
    (added,) = [trial for trial in shown["trials"] if trial["added"]]
    assert (added["params"]["height"], added["params"]["kind"]) == (0.75, "plain")
    assert 0 < added["number"] < 39
    assert (len(shown["trials"]), shown["queued"]) == (40, [])


def test_a_finished_study_keeps_an_added_trial_for_a_larger_total(tmp_path, store, capsys):
    study = write_study(tmp_path, trials=3)
    assert run("search", study, "--store", store, "--no-record") == 0
    assert run("add", "curves", "height=0.75", "--store", store) == 0
    capsys.readouterr()
    assert run("show", "curves", "--store", store) == 0
    assert "curves: 3 of 3 trials (3 complete), 1 added trial queued" in capsys.readouterr().out
    assert run("search", study, "--store", store, "--no-record") == 0
    assert capsys.readouterr().out == (
        "curves: nothing to do, 3 of 3 trials are finished; 1 added trial left: the same command "
        "with --trials 4 trains it\n"
    )
    assert run("search", study, "--trials", 4, "--store", store, "--no-record") == 0
    ledger = ledger_of(store)
    assert ledger.trial("curves", 3).parameters["height"] == 0.75
    assert ledger.queued("curves") == ()
    ledger.close()


def test_a_queued_trial_from_elsewhere_is_checked(tmp_path, store):
    from nets.errors import InputError
    from studies.analysis.stored_study import check

    ledger = stored(store, {"study": {"name": "s"}, "space": SPACE})
    ledger.queue_trial("s", QueuedTrial({"hidden": "[100, 50]", "dropout": 0.3}, 0.0))
    check(ledger, "s")
    for wrong in ({"dropout": 7.0}, {"command": "rm"}, {"hidden": ["../x"]}):
        ledger.queue_trial("s", QueuedTrial(wrong, 0.0))
        with pytest.raises(InputError, match="a queued trial of study 's' is damaged"):
            check(ledger, "s")
        ledger.update_notes("s", queued=())
    ledger.close()
