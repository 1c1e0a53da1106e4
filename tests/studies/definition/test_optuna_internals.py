"""What the project assumes about Optuna's private names, checked against the installed version."""

import contextlib
import copy
import datetime
import math
import sqlite3

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import TrialState

from studies.definition import optuna_internals
from studies.definition.optuna_internals import (
    TRIAL_STATES,
    add_trials,
    contains,
    create_missing_indexes,
    number_of_trials,
    replace_results,
    replace_trial,
    set_parameter,
    share_trials,
    storage_of,
    suggest,
    trial_id,
)

NUMBER = FloatDistribution(0.1, 0.5, step=0.1)


class CountingSampler(optuna.samplers.RandomSampler):
    asked = 0

    def sample_independent(self, study, trial, param_name, param_distribution):
        self.asked += 1
        return super().sample_independent(study, trial, param_name, param_distribution)


def in_memory(**options):
    options.setdefault("sampler", optuna.samplers.RandomSampler(seed=0))
    return optuna.create_study(storage=InMemoryStorage(), **options)


def finished(number=0, **attributes):
    trial = optuna.trial.create_trial(value=0.5, system_attrs=attributes)
    trial.number = number
    return trial


def test_installed_version_is_within_the_bounds_of_the_project():
    assert optuna.__version__.startswith("5.")


def test_every_state_that_optuna_knows_but_waiting_is_one_of_ours():
    assert set(TRIAL_STATES.values()) == set(TrialState) - {TrialState.WAITING}
    assert [name for name, state in TRIAL_STATES.items() if state.is_finished()] == [
        "complete", "pruned", "failed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        (NUMBER, [0.1, 0.3, 0.5], [0.25, 0.6, math.nan, "0.1", None, []]),
        (FloatDistribution(1e-3, 1.0, log=True), [1e-3, 0.7, 1], [0.0, 1.1]),
        (IntDistribution(1, 7, step=2), [1, 7], [2, 9, True, "x", "1"]),
        (CategoricalDistribution(["a", 1, "[1]"]), ["a", 1, "[1]"], ["b", [1], None]),
    ],
)
def test_contains_takes_any_value(distribution, inside, outside):
    assert all(contains(distribution, value) for value in inside)
    assert not any(contains(distribution, value) for value in outside)


def test_suggest_takes_a_distribution_of_any_kind_and_asks_once():
    study = in_memory(sampler=CountingSampler(seed=0))
    trial = study.ask()
    for name, distribution in [("x", NUMBER), ("c", CategoricalDistribution(["a", "b"]))]:
        value = suggest(trial, name, distribution)
        assert contains(distribution, value)
        assert suggest(trial, name, distribution) == value
    assert study.sampler.asked == 2
    assert trial.distributions["x"] == NUMBER
    assert study.trials[0].params == trial.params


def test_suggest_returns_the_value_of_an_enqueued_trial():
    study = in_memory()
    study.enqueue_trial({"x": 0.3})
    assert suggest(study.ask(), "x", NUMBER) == 0.3


def test_suggest_equals_the_public_method():
    asked = in_memory(sampler=optuna.samplers.TPESampler(seed=3)).ask()
    public = in_memory(sampler=optuna.samplers.TPESampler(seed=3)).ask()
    assert suggest(asked, "x", NUMBER) == public.suggest_float("x", 0.1, 0.5, step=0.1)


def test_a_parameter_that_is_set_is_what_the_trial_and_the_study_have():
    study = in_memory(sampler=CountingSampler(seed=0))
    trial = study.ask()
    suggest(trial, "x", NUMBER)
    set_parameter(trial, "x", 0.3)
    assert suggest(trial, "x", NUMBER) == trial.params["x"] == study.trials[0].params["x"] == 0.3
    assert study.trials[0].distributions == {"x": NUMBER}
    assert study.sampler.asked == 1


def test_storage_in_memory_is_the_one_that_was_passed():
    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="s")
    found, study_id = storage_of(study)
    assert found is storage
    assert study_id == storage.get_study_id_from_name("s")


def test_storage_of_a_database_counts_the_same_trials(tmp_path):
    storage = RDBStorage(f"sqlite:///{tmp_path / 'optuna.db'}")
    study = optuna.create_study(storage=storage, study_name="s")
    study.add_trial(finished())
    found, study_id = storage_of(study)
    assert study_id == storage.get_study_id_from_name("s")
    assert found.get_n_trials(study_id) == number_of_trials(storage, "s") == 1
    with pytest.raises(KeyError):
        number_of_trials(storage, "t")
    storage.remove_session()
    storage.engine.dispose()


def test_ids_in_memory_count_all_trials_of_a_storage():
    storage = InMemoryStorage()
    optuna.create_study(storage=storage).ask()
    second = optuna.create_study(storage=storage).ask()
    assert (second.number, trial_id(second)) == (0, 1)
    found = storage.get_trial_id_from_study_id_trial_number(storage_of(second.study)[1], 0)
    assert found == trial_id(second)


def test_attributes_of_trial_and_study_are_read_and_set_by_id():
    study = in_memory()
    storage, study_id = storage_of(study)
    trial = study.ask()
    storage.set_study_system_attr(study_id, "population", 3)
    storage.set_trial_system_attr(trial_id(trial), "rung", 0.5)
    assert storage.get_study_system_attrs(study_id) == {"population": 3}
    assert dict(storage.get_trial_system_attrs(trial_id(trial))) == {"rung": 0.5}


def test_shared_trials_are_seen_by_the_study_and_numbered_before_new_ones():
    study = in_memory()
    shared = [finished(0), finished(1, rung=0.5)]
    share_trials(study, shared)
    seen = study.get_trials(deepcopy=False)
    assert all(one is other for one, other in zip(seen, shared, strict=True))
    assert study.ask().number == 2
    assert seen[1].system_attrs == {"rung": 0.5}


def test_a_pruner_counts_shared_trials():
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=0)
    study = in_memory(pruner=pruner, direction="maximize")
    for number in range(2):
        trial = finished(number)
        trial.intermediate_values = {1: 0.5}
        trial.datetime_complete = datetime.datetime.now()
        share_trials(study, [trial])
    trial = study.ask()
    trial.report(0.1, 1)
    assert trial.should_prune()


def test_replaced_trial_loses_attributes_and_values():
    study = in_memory()
    storage, _ = storage_of(study)
    trial = study.ask()
    before = copy.deepcopy(storage.get_trial(trial_id(trial)))
    trial.report(0.5, 1)
    storage.set_trial_system_attr(trial_id(trial), "rung", 0.5)
    replace_trial(study, trial, before)
    assert storage.get_trial(trial_id(trial)) is before
    (replaced,) = study.trials
    assert (replaced.intermediate_values, replaced.system_attrs) == ({}, {})


def test_setting_an_attribute_leaves_the_trial_that_was_read_before_unchanged():
    study = in_memory()
    storage, _ = storage_of(study)
    trial = study.ask()
    before = storage.get_trial(trial_id(trial))
    storage.set_trial_system_attr(trial_id(trial), "rung", 0.5)
    assert before.system_attrs == {}


def test_trials_are_shared_and_replaced_in_memory_only(tmp_path):
    storage = RDBStorage(f"sqlite:///{tmp_path / 'optuna.db'}")
    study = optuna.create_study(storage=storage)
    with pytest.raises(TypeError, match="expected a study in memory"):
        share_trials(study, [])
    storage.remove_session()
    storage.engine.dispose()


def test_trials_added_together_are_stored_as_those_added_one_by_one(tmp_path):
    known = {"x": NUMBER, "c": CategoricalDistribution(["a", "b"])}
    times = [datetime.datetime(2026, 3, 29, hour, 59, 1, 250) for hour in (1, 3)]
    other = finished()
    trials = [
        optuna.trial.create_trial(
            state=state,
            value=value,
            params={"x": 0.3, "c": "b"} if value else {},
            distributions=known if value else {},
            user_attrs={"reason": "ü", "seed": 2**62},
            system_attrs={"k": [1, {"a": None}]},
            intermediate_values={1: math.nan, 2: math.inf, 3: -math.inf, 4: 0.1 + 0.2},
        )
        for state, value in [
            (TrialState.COMPLETE, 0.5),
            (TrialState.COMPLETE, -math.inf),
            (TrialState.PRUNED, 1e-300),
            (TrialState.PRUNED, None),
            (TrialState.FAIL, None),
        ]
    ]
    for trial in trials:
        trial.datetime_start, trial.datetime_complete = times
    stored = []
    for name in ("one by one", "together"):
        storage = RDBStorage(f"sqlite:///{tmp_path / name}.db")
        study = optuna.create_study(storage=storage, study_name="s")
        study.add_trial(other)
        if name == "together":
            add_trials(storage, "s", trials)
        else:
            for trial in trials:
                study.add_trial(trial)
        study.add_trial(other)
        storage.remove_session()
        storage.engine.dispose()
        with contextlib.closing(sqlite3.connect(tmp_path / f"{name}.db")) as database:
            stored.append(
                {
                    table: sorted(map(repr, rows_of(database, table)))
                    for (table,) in database.execute("SELECT name FROM sqlite_master")
                    if table.startswith("trial") and table.endswith("s")
                }
            )
    assert len(stored[0]) == 7
    assert stored[0] == stored[1]


def test_a_finished_trial_of_a_database_gets_another_result_once(tmp_path):
    storage = RDBStorage(f"sqlite:///{tmp_path / 'optuna.db'}")
    study = optuna.create_study(storage=storage, study_name="s")
    other = optuna.create_study(storage=storage, study_name="other")
    now = datetime.datetime(2026, 1, 2)

    def trial(state, again, **content):
        found = optuna.trial.create_trial(
            state=state, params={"x": 0.3}, distributions={"x": NUMBER},
            user_attrs={"seed": 1, **({"again": again} if again else {})}, **content,
        )  # fmt: skip
        found.datetime_start = found.datetime_complete = now
        return found

    failed = trial(TrialState.FAIL, 0, intermediate_values={1: 0.5}, system_attrs={"a": 1})
    for one in (study, other):
        for _ in range(3):
            one.add_trial(failed)
    complete = trial(
        TrialState.COMPLETE, 1, value=0.7, intermediate_values={1: 0.6, 2: 0.7},
        system_attrs={"a": 2},
    )  # fmt: skip
    replace_results(storage, "s", {1: complete}, "again")
    storage.remove_session()
    before, found, after = study.get_trials()
    for name in ("state", "values", "params", "intermediate_values", "user_attrs", "system_attrs"):
        assert getattr(found, name) == getattr(complete, name), name
        assert getattr(before, name) == getattr(after, name) == getattr(failed, name), name
    assert (found.number, found.datetime_complete) == (1, now)
    assert study.best_trial.number == 1
    assert {one.state for one in other.get_trials()} == {TrialState.FAIL}
    replace_results(storage, "s", {1: trial(TrialState.FAIL, 1)}, "again")
    assert study.get_trials()[1].state == TrialState.COMPLETE
    storage.remove_session()
    storage.engine.dispose()


def test_optuna_creates_no_index_of_a_table_that_exists_but_we_do(tmp_path):
    url = f"sqlite:///{tmp_path / 'optuna.db'}"

    def indexes(storage):
        with storage.engine.connect() as connection:
            return set(connection.scalars(sqlalchemy.text(INDEXES)))

    storage = RDBStorage(url)
    created = indexes(storage)
    assert created == {"ix_studies_study_name", "ix_trials_study_id"}
    with storage.engine.begin() as connection:
        for name in created:
            connection.execute(sqlalchemy.text(f"DROP INDEX {name}"))
    storage.engine.dispose()
    storage = RDBStorage(url)
    assert indexes(storage) == set()
    for _ in range(2):
        create_missing_indexes(storage)
        assert indexes(storage) == created
    storage.remove_session()
    storage.engine.dispose()


INDEXES = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"


def rows_of(database, table):
    """The rows of one of Optuna's tables, without the ids of what belongs to a trial."""
    keys = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
    first = 0 if table == "trials" else 1
    return database.execute(f"SELECT {', '.join(keys[first:])} FROM {table}").fetchall()


def test_no_function_is_left_without_a_contract():
    public = {
        name
        for name, value in vars(optuna_internals).items()
        if getattr(value, "__module__", "") == optuna_internals.__name__
        and not name.startswith("_")
    }
    assert public == {
        "add_trials", "contains", "create_missing_indexes", "number_of_trials",
        "replace_results", "replace_trial", "set_parameter", "share_trials", "storage_of",
        "suggest", "trial_id",
    }  # fmt: skip
