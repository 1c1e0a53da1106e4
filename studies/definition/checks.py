"""Checks of a whole study: what no single key of its file shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from nets.data import check_name
from nets.errors import InputError, one_of
from nets.settings import to_plain
from studies.definition import pruners, samplers
from studies.definition.choices import decoded
from studies.definition.sections import full_names, sections_of
from studies.definition.space import Space
from studies.definition.study import Study
from studies.definition.study_section import natural_direction
from studies.definition.validation import not_among
from tracking.records import Values
from tracking.store import names

METRICS = ("train_loss", "train_accuracy", "learning_rate", "val_loss", "val_accuracy")
"""What the objective of nets reports; another one may report anything."""


def check_study(study: Study) -> None:
    """Check that the parts of a study fit together; raises InputError."""
    section = study.section
    samplers.check(section.sampler, study.space)
    if section.sampler.name == "grid":
        for i, values in enumerate(section.first):
            if missing := sorted(study.space.by_name.keys() - values.keys()):
                raise InputError(
                    f"study.first[{i}].{missing[0]}",
                    problem="missing",
                    expected="a value of every parameter, because of the grid sampler",
                )
    _check_pruner(study)
    for name in study.data_names:
        check_name(name)
    check_metric(study)
    _check_used(study)


def check_settings(
    fixed: Mapping[str, Any], space: Space, settings: type[Any], where: Mapping[str, str]
) -> None:
    """Build settings with the fixed values and each end of the space, so that these check them.

    `where` is the full name of each field's key. Raises InputError, with the field's key in the
    study file.
    """
    where = {**where, **{p.name: f"space.{p.name}" for p in space.parameters}}
    try:
        for chosen in combinations(fixed, space, settings):
            to_plain(chosen)
    except InputError as error:
        # A user's settings class may raise one that names no field.
        raise error.with_key(where[error.key]) if error.key in where else error from None


def combinations(fixed: Mapping[str, Any], space: Space, settings: type[Any]) -> Iterator[Any]:
    """Yield settings with the fixed values and each end of the space."""
    lowest = {p.name: p.ends[0] for p in space.parameters}
    ends: list[Values] = [lowest]
    for p in space.parameters:
        conditions = [{p.when.parameter: value} for value in p.when.values] if p.when else [{}]
        ends += [{**lowest, **met, p.name: value} for met in conditions for value in p.ends]
    optional = {item.name for item in fields(settings) if item.default is not MISSING}
    for chosen in ends:
        # A setting whose condition is not met has its default.
        used = {
            p.name: chosen[p.name]
            for p in space.parameters
            if p.active(chosen) or p.name not in optional
        }
        yield settings(**{**fixed, **space.settings(used), "seed": 0})


def _check_pruner(study: Study) -> None:
    """Check that a pruner can be built and that it can prune."""
    pruner = study.section.pruner
    key, least = pruners.min_resource(pruner) or ("", 0)
    if least and study.epochs is None:
        raise InputError(
            "study.pruner",
            problem=f"{pruner.name} needs the number of epochs of a trial",
            expected="an objective with the parameter epochs, fixed or searched",
        )
    try:
        pruners.build(pruner, study.epochs)
    except ValueError as error:
        raise InputError("study.pruner", problem=str(error)) from error
    if study.epochs is not None and least > study.epochs:
        epochs = full_names(sections_of(study.settings_class))["epochs"]
        raise InputError(
            f"study.pruner.{key}",
            least,
            f"at most {epochs} = {study.epochs}",
            "no trial would ever be pruned",
        )


def check_metric(study: Study) -> None:
    """Check that trials report the metric, and that the direction is the one it improves in."""
    section = study.section
    if section.objective == names.OWN_OBJECTIVE:
        if section.metric not in METRICS:
            raise not_among("study.metric", section.metric, METRICS)
        natural = natural_direction(section.metric)
        if section.direction != natural:
            raise InputError(
                "study.direction",
                str(section.direction),
                f"{str(natural)!r} with study.metric = {section.metric!r}",
                "this is also the default",
            )
    if section.metric.startswith("val_") and study.fixed.get("validation") == 0:
        raise InputError(
            "study.metric",
            problem=f"got {section.metric!r} with data.validation = 0",
            expected="data.validation of at least 1",
        )


def _check_used(study: Study) -> None:
    """Reject settings without an effect: searched ones, from whose luck the sampler would learn."""
    where = full_names(sections_of(study.settings_class))
    searched = study.space.by_name
    for item in fields(study.settings_class):
        if item.name not in searched:
            # Of a field whose default is None, the value was given.
            is_given = item.default is None and study.fixed.get(item.name) is not None
            for other, values in item.metadata.get("only_with", {}).items() if is_given else ():
                if other in study.fixed and study.fixed[other] not in values:
                    raise no_effect(where[item.name], where[other], [study.fixed[other]], values)
            continue
        when = searched[item.name].when
        for other, values in item.metadata.get("only_with", {}).items():
            if when is not None and when.parameter == other:
                possible = [decoded(value) for value in when.values]
                place = f"space.{item.name}.when.{other}"
            elif other in searched:
                possible = [decoded(value) for value in searched[other].points or []]
                place = f"space.{other}"
            else:
                possible, place = [study.fixed[other]], where[other]
            if not set(possible) & set(values):
                raise no_effect(f"space.{item.name}", place, possible, values)


def no_effect(key: str, other: str, found: Sequence[Any], needed: Sequence[Any]) -> InputError:
    """Return the error for a setting that has an effect only with other values of `other`."""
    return InputError(
        key,
        problem=f"no effect with {other} = {one_of(map(repr, found))}",
        hint=f"use {one_of(map(repr, needed))}, or remove it",
    )
