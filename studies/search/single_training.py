"""One training with settings of the user's choice, stored and recorded like a trial.

The trainings of a study NAME are the trials of a separate study, NAME-train: it has no space, asks
no sampler and prunes nothing, but its ledger, its record in MLflow and its reproduction are those
of every study. The study itself has exactly the trials that its file defines.
"""

import time
import tomllib
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any

from nets.errors import InputError, did_you_mean
from nets.settings import Settings, to_plain, upgraded
from studies.definition import pruners, samplers
from studies.definition.checks import check_metric, no_effect
from studies.definition.choices import decoded, encoded
from studies.definition.space import Space
from studies.definition.study_file import Study, definition
from studies.objective.signature import is_required
from tracking.ledger import Ledger
from tracking.records import (
    Environment,
    Failure,
    SamplerAttributes,
    StudyRecord,
    TrialOutcome,
    TrialRecord,
    Values,
)

SUFFIX = "-train"
_NO_LIMIT = 1_000_000
"""The window: no training depends on another, and a failed one stops no other."""

_GIVEN_UP = Failure(
    "Interrupted", "it was interrupted, and another training was begun", "retrial train"
)


@dataclass(frozen=True)
class Chosen:
    """Settings, and the source of each that the study does not fix."""

    settings: Any
    sources: dict[str, str]


def parse(texts: Sequence[str], key: str = "--set") -> Values:
    """Return the values of ``name=value`` strings: TOML values, or else plain strings.

    `key` is what errors name.

    >>> parse(["learning_rate=1e-3", "hidden=[100, 50]", "optimizer=adam"])
    {'learning_rate': 0.001, 'hidden': [100, 50], 'optimizer': 'adam'}
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise InputError(key, text, "name=value")
        try:
            values[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[name.strip()] = value.strip()
    return values


def check_trainable(study: StudyRecord) -> None:
    """Raise InputError for a study that itself consists of trainings."""
    if (of := study.notes.trainings_of) is not None:
        raise InputError(
            "study", problem=f"{study.name} has the trainings of {of}", hint=f"train {of}"
        )


def choose(study: Study, best: TrialRecord | None, given: Values) -> Chosen:
    """Return the settings to train with.

    Values in `given` come first. A searched setting that is not given has the value of the best
    trial of the study, if it applies together with the others, and otherwise the default of the
    settings class; the seed is the best trial's, so that only the given values differ from it.
    Raises InputError for a name that is no setting, for a setting without a value, and for a given
    one without an effect.
    """
    known = {item.name: item for item in fields(study.settings_class)}
    for name in given:
        if name not in known:
            raise InputError(
                f"--set {name}",
                problem="unknown setting",
                hint=did_you_mean(name, known) or f"settings are {', '.join(known)}",
            )
    values: Values = {**study.fixed, "seed": study.section.seed}
    if study.settings_class is Settings:
        values = upgraded(values)
    sources: dict[str, str] = {}
    from_best = {} if best is None else best.parameters
    if best is not None:
        values["seed"] = best.settings["seed"]
    beside: Values = {}
    for parameter in study.space.parameters:
        name = parameter.name
        if name in given:
            beside[name] = encoded(given[name])
        elif name in from_best and parameter.active(beside):
            beside[name] = from_best[name]
            values[name] = decoded(from_best[name])
            sources[name] = f"of trial {best.number if best else '?'}, the best"
        elif known[name].default is not MISSING and not is_required(known[name]):
            beside[name] = encoded(known[name].default)
            sources[name] = "the default"
        elif parameter.active(beside):
            raise InputError(
                name,
                problem="missing",
                expected=f"--set {name}=VALUE, or a study that has been searched",
            )
    settings = study.settings_class(**{**values, **given})
    for name in given:
        for other, needed in known[name].metadata.get("only_with", {}).items():
            if (found := getattr(settings, other)) not in needed:
                raise no_effect(f"--set {name}", other, [found], needed)
    return Chosen(settings, sources | dict.fromkeys(given, "--set"))


def companion(study: Study, settings: Any) -> Study:
    """Return the study whose trials are the trainings of another study.

    Raises InputError for settings with which its metric cannot be measured.
    """
    section = replace(
        study.section,
        name=study.name + SUFFIX,
        trials=1,
        window=_NO_LIMIT,
        sampler=samplers.Random(),
        pruner=pruners.Keep(),
        stop=None,
        first=(),
        warm_start=None,
    )
    fixed = {name: value for name, value in to_plain(settings).items() if name != "seed"}
    study = Study(section, fixed, Space(()), definition(section, fixed, space={}))
    check_metric(study)
    return study


def admit(ledger: Ledger, study: Study, of: str, settings: Any, environment: Environment) -> int:
    """Add a training to the ledger, and its study if it is the first; return its number.

    An interrupted training with equal settings is resumed; other interrupted ones fail. Raises
    InputError when another study has the name, or when metric or objective have changed.
    """
    stored = ledger.study(study.name)
    if stored is None:
        ledger.add_study(study.name, study.definition, environment)
        ledger.update_notes(study.name, trainings_of=of)
    elif stored.notes.trainings_of != of:
        raise InputError(
            "study",
            problem=f"the store has another study {study.name}, the name for trainings of {of}",
            hint="rename one of the two",
        )
    else:
        _check_equal(stored.definition["study"], study.definition["study"])
    plain = to_plain(settings)
    trials = ledger.trials(study.name)
    interrupted = [trial for trial in trials if trial.state == "running"]
    for trial in interrupted:
        if trial.settings == plain:
            return trial.number
    for trial in interrupted:
        given_up = TrialOutcome(error=_GIVEN_UP)
        ledger.finish_trial(study.name, trial.number, "failed", given_up, None)
    number = len(trials)
    nothing = SamplerAttributes()
    ledger.add_trial(TrialRecord(study.name, number, "running", plain, {}, nothing, time.time()))
    section = {**study.definition["study"], "trials": number + 1}
    ledger.set_definition(study.name, {**study.definition, "study": section})
    return number


def _check_equal(stored: Values, now: Values) -> None:
    """Raise InputError when a study's trainings would no longer be comparable."""
    for key in ("metric", "direction", "objective", "settings"):
        if stored[key] != now[key]:
            raise InputError(
                f"study.{key}",
                now[key],
                f"{stored[key]!r}, as in earlier trainings, or another study.name",
            )
