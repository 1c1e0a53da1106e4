"""Everything this project uses of Optuna that Optuna does not document.

The search asks and completes trials in its own order, and the pruner is asked the same question
several times; Optuna's public interface has neither. `tests/studies/definition` checks each
assumption made here against the installed version, and `pyproject.toml` sets an upper bound on it.
"""

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    distribution_to_json,
)
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

# Every module that runs a study imports this one.
optuna.logging.set_verbosity(optuna.logging.WARNING)
# Samplers and a pruner that Optuna marks as experimental. Where they are built, `catch_warnings` is
# not enough: it holds for all threads, and another one that leaves it restores the filters.
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

TRIAL_STATES = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
"""Optuna's state for each state of a trial in the ledger."""


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Return whether a distribution can give a value, of any type."""
    if isinstance(value, str | bool) and not isinstance(distribution, CategoricalDistribution):
        return False  # Optuna would convert "0.1" and True to numbers
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (ValueError, TypeError):
        return False


def suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """Ask a trial for a parameter of any distribution; `suggest_float` and others build their own.

    Nothing is asked twice: a parameter that the trial already has keeps its value.
    """
    return trial._suggest(name, distribution)


def set_parameter(trial: optuna.Trial, name: str, value: Any) -> None:
    """Replace the value of a parameter that an open trial of a study in memory has."""
    storage, _ = _in_memory(trial.study)
    distribution = trial.distributions[name]
    storage.set_trial_param(
        trial._trial_id, name, distribution.to_internal_repr(value), distribution
    )
    trial._cached_frozen_trial.params[name] = value


def storage_of(study: optuna.Study) -> tuple[BaseStorage, int]:
    """Return the storage that a study is in, and the study's id there."""
    return study._storage, study._study_id


def create_missing_indexes(storage: RDBStorage) -> None:
    """Create the indexes that a database lacks if the process that created it was killed.

    SQLite commits each table and each index by itself, and Optuna creates no index of a table that
    it finds. Without the unique one it adds a study of the same name whenever it is opened.
    """
    from optuna.storages._rdb import models

    for table in models.BaseModel.metadata.tables.values():
        for index in table.indexes:
            index.create(storage.engine, checkfirst=True)


def number_of_trials(storage: RDBStorage, study: str) -> int:
    """Return how many trials of a study are in a database; raises KeyError if it lacks the study.

    Optuna's `get_n_trials` reads all of them, with their parameters and values.
    """
    from optuna.storages._rdb import models
    from sqlalchemy.orm import Session

    with Session(storage.engine) as session:
        found = models.StudyModel.find_or_raise_by_name(study, session)
        return models.TrialModel.count(session, found)


def add_trials(storage: RDBStorage, study: str, trials: Sequence[FrozenTrial]) -> None:
    """Append finished trials to a study in a database, all in one transaction.

    `add_trial` takes some thirty statements for each of them.
    """
    from optuna.storages._rdb import models
    from sqlalchemy.orm import Session

    known = storage.get_study_id_from_name(study)
    with Session(storage.engine) as session, session.begin():
        # The lock of the study's row, which Optuna takes too, keeps the numbers unique.
        found = models.StudyModel.find_or_raise_by_id(known, session, for_update=True)
        for number, trial in enumerate(trials, models.TrialModel.count(session, found)):
            row = models.TrialModel(study_id=known, number=number, state=trial.state)
            _fill(row, trial)
            for name, value in trial.params.items():
                distribution = trial.distributions[name]
                row.params.append(
                    models.TrialParamModel(
                        param_name=name,
                        param_value=distribution.to_internal_repr(value),
                        distribution_json=distribution_to_json(distribution),
                    )
                )
            session.add(row)


def replace_results(
    storage: RDBStorage, study: str, trials: Mapping[int, FrozenTrial], times: str
) -> None:
    """Replace the results of finished trials in a database by their numbers, in one transaction.

    Optuna changes no finished trial. Only those are replaced whose user attribute `times`, how
    often a trial has been replaced, has another value. Parameters stay as they are.
    """
    from optuna.storages._rdb import models
    from sqlalchemy.orm import Session

    known = storage.get_study_id_from_name(study)
    with Session(storage.engine) as session, session.begin():
        models.StudyModel.find_or_raise_by_id(known, session, for_update=True)
        of_study = session.query(models.TrialModel).filter_by(study_id=known)
        for row in of_study.filter(models.TrialModel.number.in_(list(trials))):
            trial = trials[int(row.number)]
            there = {one.key: json.loads(one.value_json) for one in row.user_attributes}
            if there.get(times) == trial.user_attrs.get(times):
                continue
            for results in (
                row.values, row.intermediate_values, row.user_attributes, row.system_attributes,
            ):  # fmt: skip
                results.clear()
            session.flush()  # else the new rows would violate their uniqueness
            row.state = trial.state
            _fill(row, trial)


def _fill(row: Any, trial: FrozenTrial) -> None:
    """Give the row of a trial the times, values and attributes of a finished trial."""
    from optuna.storages._rdb import models

    as_value = models.TrialValueModel.value_to_stored_repr
    as_intermediate = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
    row.datetime_start = trial.datetime_start
    row.datetime_complete = trial.datetime_complete
    for objective, value in enumerate(trial.values or ()):
        stored, kind = as_value(value)
        row.values.append(
            models.TrialValueModel(objective=objective, value=stored, value_type=kind)
        )
    for step, value in trial.intermediate_values.items():
        stored, kind_of_step = as_intermediate(value)
        row.intermediate_values.append(
            models.TrialIntermediateValueModel(
                step=step, intermediate_value=stored, intermediate_value_type=kind_of_step
            )
        )
    for key, value in trial.user_attrs.items():
        row.user_attributes.append(
            models.TrialUserAttributeModel(key=key, value_json=json.dumps(value))
        )
    for key, value in trial.system_attrs.items():
        row.system_attributes.append(
            models.TrialSystemAttributeModel(key=key, value_json=json.dumps(value))
        )


def trial_id(trial: optuna.Trial) -> int:
    """Return the id of a trial in its study's storage; it is not the trial's number."""
    return trial._trial_id


def share_trials(study: optuna.Study, trials: Iterable[FrozenTrial]) -> None:
    """Append finished trials to a study in memory without a check and without a copy.

    `add_trial` checks and copies each one; at 1,000 trials that takes longer than many a training.
    """
    storage, study_id = _in_memory(study)
    storage._studies[study_id].trials.extend(trials)


def replace_trial(study: optuna.Study, trial: optuna.Trial, content: FrozenTrial) -> None:
    """Replace what a study in memory holds of a trial, attributes included.

    Optuna has no way to remove an attribute or an intermediate value.
    """
    storage, _ = _in_memory(study)
    storage._set_trial(trial._trial_id, content)


def _in_memory(study: optuna.Study) -> tuple[InMemoryStorage, int]:
    storage, study_id = storage_of(study)
    if not isinstance(storage, InMemoryStorage):
        raise TypeError(f"expected a study in memory, got one in {type(storage).__name__}")
    return storage, study_id
