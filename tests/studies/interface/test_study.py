"""`studies.Study` in a program: definitions, searches, results, refusals."""

import functools
import re
import threading

import numpy as np
import pandas
import pytest
from drivers import ledger_of, write_study
from searches import MIXED, trials
from stored_studies import CONDITIONAL, a_definition, a_search

import studies
from studies import Choice, Float, InputError, Integer, SearchFailed, Study, pruners, samplers
from studies.cli.main import main
from studies.definition import study_file
from studies.definition.study_file import SHIPPED
from tracking.ledger import Ledger

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload``"),  # SQLAlchemy's to MLflow
    pytest.mark.filterwarnings("ignore:.*Any type hint"),  # MLflow's, of the curves' models
]

SPACE = {
    "kind": Choice("plain", "wavy"),
    "rate": Float(1e-3, 1.0, log=True),
    "height": Float(0.1, 1, step=0.1),
    "waves": Integer(1, 9, step=2),
    "ripple": Float(0, 0.2, when={"kind": ("wavy",)}),
}


def curves(store=None, space=SPACE, fixed=None, **section):
    """A study over the curves of tests/support."""
    section = {"name": "curves", "trials": 4, "window": 4, "seed": 5, **section}
    return Study(
        "curves:climb", space, settings="curves:Curve", metric="value", direction="maximize",
        fixed=fixed, store=store, **section,
    )  # fmt: skip


EVERYTHING = {
    "first": [{"rate": 0.5, "kind": "wavy"}, {"ripple": 0.1, "kind": "wavy"}],
    "stop": {"patience": 3, "min_delta": 0.5},
    "sampler": samplers.TPE(startup_trials=3),
    "pruner": pruners.Patient(patience=2, wrapped=pruners.Median(warmup_epochs=2)),
    "storage": "postgresql://me:secret@host/db",
}


def definition_of(study):
    return study._source.definition().definition


def written(study, folder):
    path = folder / "written.toml"
    path.write_text(study.to_toml())
    return studies.read(path)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_a_study_file_that_is_read_and_written_has_the_same_definition(path, tmp_path):
    study = studies.read(path)
    assert definition_of(study) == study_file.read(path).definition
    assert definition_of(written(study, tmp_path)) == definition_of(study)


@pytest.mark.parametrize("given", [{}, {"fixed": {"epochs": 7, "delay": 0.5}}, EVERYTHING])
def test_a_study_of_python_is_written_with_the_same_definition(given, tmp_path):
    study = curves(**given)
    assert definition_of(written(study, tmp_path)) == definition_of(study)
    assert "secret" not in study.to_toml()


def test_the_defaults_are_those_of_a_study_file():
    space = {"dropout": Float(0, 0.5)}
    tables = {"study": {"name": "plain"}, "space": {"dropout": {"low": 0.0, "high": 0.5}}}
    study = Study(space=space, name="plain")
    assert definition_of(study) == study_file.build(tables).definition
    assert study.tables == tables


def test_a_study_of_a_store_is_written_with_the_same_definition(tmp_path):
    with Ledger(tmp_path / "ledger.db") as ledger:
        a_search(ledger, a_definition(CONDITIONAL), [])
    opened = studies.open("digits", tmp_path)
    assert definition_of(written(opened, tmp_path)) == definition_of(opened)
    assert studies.names(tmp_path) == ["digits"]
    assert (opened.trials, opened.best, len(opened.frame())) == ([], None, 0)


def test_a_folder_without_a_store_has_no_studies_and_a_new_study_no_trials(tmp_path):
    assert studies.names(tmp_path) == []
    assert (curves(tmp_path).trials, curves(tmp_path).best) == ([], None)
    with pytest.raises(InputError, match=f"store: {tmp_path} has no studies"):
        studies.open("curves", tmp_path)
    assert list(tmp_path.iterdir()) == []


def without_times(text):
    """Without what depends on the load or the store: durations, the wait for a slow record."""
    return re.sub(r"\d+\.\d s|--store \S+ *|, in /\S+|recording: .*\n", "", text)


def test_a_search_prints_and_stores_what_the_command_does(tmp_path, capsys):
    file = write_study(tmp_path, trials=6)
    command = ["search", str(file), "--jobs", "1", "--store", str(tmp_path / "one")]
    assert main([*command, "--no-record"]) == 0
    printed = capsys.readouterr()
    study = studies.read(file)
    study._store = tmp_path / "other"
    assert study.search(jobs=1) is study
    again = capsys.readouterr()
    assert without_times(again.out) == without_times(printed.out)
    assert again.err == printed.err == ""
    definition = study_file.read(file)
    with ledger_of(tmp_path / "one") as one, ledger_of(tmp_path / "other") as other:
        assert trials(one, definition) == trials(other, definition)
    study.search(trials=4)
    assert capsys.readouterr().out == (
        "curves: nothing to do, 6 trials are finished, 4 were requested\n"
    )


def test_results_are_typed_and_frozen(tmp_path, capsys):
    study = curves(tmp_path, trials=3, window=1, fixed={"epochs": 2})
    study.search(jobs=1, progress=False)
    assert capsys.readouterr().out == ""
    first, *_ = found = study.trials
    assert [trial.number for trial in found] == [0, 1, 2]
    assert study.best == max(found, key=lambda trial: trial.value)
    assert (first.state, len(first.epochs), first.error) == ("complete", 2, None)
    assert first.epochs[1].metrics["value"] == first.value
    assert first.run_id is not None
    assert str(first).startswith(f"trial 0 (complete): {first.value:.4g} with kind ")
    with pytest.raises(AttributeError):
        first.value = 1.0
    frame = study.frame()
    assert frame.index.name == "trial"
    kinds = {name: str(frame[name].dtype) for name in ("value", "rate", "waves", "epochs")}
    assert kinds == {"value": "float64", "rate": "float64", "waves": "int64", "epochs": "int64"}
    assert frame.loc[0, "params_epochs" if "params_epochs" in frame else "kind"]
    epochs = study.frame(epochs=True)
    assert epochs.index.names == ["trial", "epoch"]
    assert epochs.loc[(0, 2), "value"] == first.value
    assert study.importances == {}  # three values say nothing
    assert study.figure("optimization_history").axes
    with pytest.raises(InputError, match="did you mean 'timeline'"):
        study.figure("timelines")
    study.delete()
    assert (studies.names(tmp_path), study.trials) == ([], [])


def test_a_column_has_the_type_of_its_values():
    from studies.interface.results import _column

    kinds = [
        ([1, 2], "int64"), ([1, None], "Int64"), ([1, 2.5], "float64"), ([None, 0.5], "float64"),
        ([True, False], "bool"), ([True, None], "boolean"), ([None], "float64"),
        ([[1], [2]], "object"), ([True, 2], "object"),
    ]  # fmt: skip
    assert [str(_column(values).dtype) for values, _ in kinds] == [kind for _, kind in kinds]
    assert pandas.api.types.is_string_dtype(_column(["a", "b"]))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("always", "the first trials all failed with ZeroDivisionError at "),
        ("each", "curves: every trial failed; see `retrial show curves --store"),
    ],
)
def test_a_search_that_fails_raises_one_sentence(fault, message, tmp_path, capsys):
    study = curves(tmp_path, fixed={"fault": fault})
    with pytest.raises(SearchFailed, match=message):
        study.search(jobs=1, progress=False)
    again = "the same call with retry_failed=True trains them again"
    with pytest.raises(SearchFailed, match=f"curves: nothing to do, .*{again}"):
        study.search()
    assert capsys.readouterr().out == ""


def test_failed_trials_are_trained_again(tmp_path, monkeypatch, capsys):
    study = curves(tmp_path, fixed={"fault": "always"})
    with pytest.raises(SearchFailed):
        study.search(jobs=1, progress=False)
    before = study.trials
    assert {trial.error for trial in before} == {"ZeroDivisionError: a mistake in the objective"}
    monkeypatch.setenv("CURVES_FIXED", "1")
    study.search(jobs=1, retry_failed=True, progress=False)
    assert "training trials 0 to 3 again, which had failed" in capsys.readouterr().err
    for trial, earlier in zip(study.trials, before, strict=True):
        assert (trial.state, trial.error) == ("complete", None)
        assert trial.earlier_errors == (earlier.error,)
        assert (trial.settings, trial.run_id) == (earlier.settings, earlier.run_id)


def test_a_confirmation_is_returned_and_printed_as_the_command_prints_it(tmp_path, capsys):
    study = curves(store=tmp_path)
    study.search(jobs=1)
    found = study.confirm(top=2, seeds=2, jobs=2)
    assert [len(candidate.repetitions) for candidate in found.candidates] == [2, 2]
    said = capsys.readouterr().out
    assert main(["confirm", "curves", "--top", "2", "--seeds", "2", "--store", str(tmp_path)]) == 0
    again = capsys.readouterr().out
    table = again[again.index("trial  search") :]
    assert said.endswith(table)
    assert f"winner: trial {found.winner}, value " in table


def test_a_trial_is_added_with_values_of_any_number_type(tmp_path):
    study = curves(tmp_path, trials=2)
    with pytest.raises(InputError, match="no studies"):
        study.add(rate=0.5)
    study.search(jobs=1, progress=False)
    with pytest.raises(InputError, match=r"space.rate: got 2, expected 0.001 to 1.0"):
        study.add(rate=2)
    with pytest.raises(InputError, match="add: got no values"):
        study.add()
    study.add(rate=np.float64(0.5), waves=np.int64(3), kind="plain")
    study.search(jobs=1, trials=3, progress=False)
    assert [trial.added for trial in study.trials] == [False, False, True]
    added = study.trials[-1].params
    assert (added["rate"], added["waves"], added["kind"]) == (0.5, 3, "plain")
    assert "ripple" not in added


def test_a_search_in_a_thread_needs_no_signals(tmp_path):
    study = curves(tmp_path, trials=2)
    problems = []

    def work():
        try:
            study.search(jobs=1)
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(600)
    assert (problems, len(study.trials)) == ([], 2)


def objective(settings, data, report):
    """An objective in the full form."""


def made():
    def inner(settings, data, report):
        pass

    return inner


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda settings: 0.0, "objective: got <lambda>, a lambda, expected a function of a "),
        (made(), "objective: got made.<locals>.inner, a nested function or a method, expected "),
        (functools.partial(objective, 1), "objective: got functools.partial("),
        ("".join, "expected a function, or the name package.module:function of one"),
        (3, "objective: got 3, expected a function, or the name package.module:function of one"),
    ],
)
def test_an_objective_that_workers_cannot_import_is_rejected(wrong, message):
    with pytest.raises(InputError, match=re.escape(message)) as found:
        Study(wrong, {"rate": Float(0, 1)}, name="wrong")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(space={"rate": (0, 1)}), "space.rate: got (0, 1), expected a studies.Float, Integer"),
        (dict(space={"rate": Float(1, 0)}), "space.rate: got low = 1.0 and high = 0.0, expected"),
        (dict(space={"rate": Integer(0, 1)}), "expected a Float, because the setting is a number"),
        (dict(space={"waves": Float(1, 2)}), "space.waves.low: got 1.0, expected an integer"),
        (dict(space={"kind": Choice()}), "space.kind.choices: got [], expected a list of at"),
        (dict(fixed={"rte": 1}), "fixed.rte: unknown setting"),
        (dict(fixed={"rate": 1}), "settings.rate: got 1, but space.rate searches it"),
        (dict(sampler="tpee"), "study.sampler.name: got 'tpee', expected"),
        (dict(pruner=pruners.Median(interval=0)), "study.pruner.interval: got 0, expected an int"),
        (dict(trials=0), "study.trials: got 0, expected an integer of at least 1"),
        (dict(name="a b"), "study.name: got 'a b', expected letters, digits"),
    ],
)
def test_a_wrong_argument_is_rejected_as_in_a_study_file(given, message):
    with pytest.raises(InputError, match=re.escape(message)):
        curves(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(jobs=0), "jobs: got 0, expected an integer of at least 1"),
        (dict(trials=1.5), "trials: got 1.5, expected an integer of at least 1"),
        (dict(threads=True), "threads: got True, expected an integer of at least 1"),
        (dict(timeout=0), "timeout: got 0, expected a number of seconds above 0"),
    ],
)
def test_a_wrong_argument_of_a_search_leaves_no_store(given, message, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        curves(tmp_path / "store").search(**given)
    assert not (tmp_path / "store").exists()


def test_the_tables_of_a_space_are_those_of_a_study_file():
    tables = {name: entry.table() for name, entry in SPACE.items()}
    assert tables["ripple"] == {"low": 0.0, "high": 0.2, "when": {"kind": ["wavy"]}}
    assert {name: tables[name] for name in ("rate", "waves")} == {
        name: MIXED[name] for name in ("rate", "waves")
    }


def test_nets_need_a_name(tmp_path):
    with pytest.raises(InputError, match="name: missing, expected a name for the study"):
        Study(space={"dropout": Float(0, 0.5)})
    with pytest.raises(InputError, match="space: nothing to search"):
        Study(name="plain", store=tmp_path / "store").search()
    assert not (tmp_path / "store").exists()
