"""One training with settings of the user's choice, kept and recorded like a trial.

The trainings of a study NAME are the trials of a study of their own, NAME-train: it has no space,
asks no sampler and prunes nothing, but its ledger, its record in MLflow and its reproduction are
those of every study. So the study itself keeps exactly the trials that its file says.
"""

import json
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any

from nets.errors import InputError
from nets.settings import to_plain
from studies.definition import pruners, samplers
from studies.definition.choices import decoded, encoded
from studies.definition.space import Space
from studies.definition.study_file import Study
from tracking.ledger import Ledger
from tracking.records import (
    Environment,
    Failure,
    SamplerAttributes,
    StudyRecord,
    TrialOutcome,
    TrialRecord,
)

SUFFIX = "-train"
_NO_LIMIT = 1_000_000
"""The window: no training depends on another, and one that failed stops none."""

_GIVEN_UP = Failure(
    "Interrupted", "it was interrupted, and another training was begun", "retrial train"
)


@dataclass(frozen=True)
class Chosen:
    """Settings, and for those that were not fixed by the study where each came from."""

    settings: Any
    sources: dict[str, str]


def parse(texts: Sequence[str]) -> dict[str, Any]:
    """Return the values of ``name=value`` texts: TOML values, or else texts as they stand.

    >>> parse(["learning_rate=1e-3", "hidden=[100, 50]", "optimizer=adam"])
    {'learning_rate': 0.001, 'hidden': [100, 50], 'optimizer': 'adam'}
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise InputError(f"--set: got {text!r}, accepted is name=value")
        try:
            values[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[name.strip()] = value.strip()
    return values


def check_trainable(study: StudyRecord) -> None:
    """Raise InputError for a study that consists of trainings itself."""
    if (of := study.notes.trainings_of) is not None:
        raise InputError(f"study: {study.name} are the trainings of {of}; accepted is {of}")


def choose(study: Study, best: TrialRecord | None, given: Mapping[str, Any]) -> Chosen:
    """Return the settings to train with.

    What is `given` comes first. A searched setting that is not given has the value of the best
    trial of the study, as far as it applies beside the others, and else the default of the
    settings class; the seed is the best trial's, so that what is given is all that differs from
    it. Raises InputError for a name that is no setting and for one that has no value.
    """
    known = {item.name: item for item in fields(study.settings_class)}
    for name in given:
        if name not in known:
            raise InputError(f"--set {name}: unknown; accepted are {', '.join(known)}")
    values: dict[str, Any] = {**study.fixed, "seed": study.section.seed}
    sources: dict[str, str] = {}
    from_best = {} if best is None else best.parameters
    if best is not None:
        values["seed"] = best.settings["seed"]
    beside: dict[str, Any] = {}
    for parameter in study.space.parameters:
        name = parameter.name
        if name in given:
            beside[name] = encoded(given[name])
        elif name in from_best and parameter.active(beside):
            beside[name] = from_best[name]
            values[name] = decoded(from_best[name])
            sources[name] = f"of trial {best.number if best else '?'}, the best"
        elif known[name].default is not MISSING:
            beside[name] = encoded(known[name].default)
            sources[name] = "the default"
        else:
            raise InputError(
                f"{name}: missing; accepted is --set {name}=VALUE, or a study that has been "
                "searched: its best trial has one"
            )
    settings = study.settings_class(**{**values, **given})
    return Chosen(settings, sources | dict.fromkeys(given, "--set"))


def companion(study: Study, settings: Any) -> Study:
    """Return the study whose trials are the trainings of another one."""
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
    plain = {key: value for key, value in asdict(section).items() if value is not None}
    definition = json.loads(json.dumps({"study": plain, "fixed": fixed, "space": {}}))
    return Study(section, fixed, Space(()), definition)


def admit(ledger: Ledger, study: Study, of: str, settings: Any, environment: Environment) -> int:
    """Add a training to the ledger, and its study where it is the first; return its number.

    One with equal settings that was interrupted is continued; others that were are given up.
    Raises InputError when another study has the name, or when what is trained has changed.
    """
    stored = ledger.study(study.name)
    if stored is None:
        ledger.add_study(study.name, study.definition, environment)
        ledger.update_notes(study.name, trainings_of=of)
    elif stored.notes.trainings_of != of:
        raise InputError(
            f"study: the store has another study {study.name}, the name under which trainings of "
            f"{of} are kept; accepted is another name for one of the two"
        )
    else:
        _check_equal(stored.definition["study"], study.definition["study"])
    plain = to_plain(settings)
    trials = ledger.trials(study.name)
    for trial in trials:
        if trial.state == "running" and trial.settings == plain:
            return trial.number
    for trial in trials:
        if trial.state == "running":
            given_up = TrialOutcome(error=_GIVEN_UP)
            ledger.finish_trial(study.name, trial.number, "failed", given_up, None)
    number = len(trials)
    nothing = SamplerAttributes()
    ledger.add_trial(TrialRecord(study.name, number, "running", plain, {}, nothing, time.time()))
    section = {**study.definition["study"], "trials": number + 1}
    ledger.set_definition(study.name, {**study.definition, "study": section})
    return number


def _check_equal(stored: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise InputError when a study's trainings would no longer be of one kind."""
    for key in ("metric", "direction", "objective", "settings"):
        if stored[key] != now[key]:
            raise InputError(
                f"study.{key}: earlier trainings had {stored[key]!r}, got {now[key]!r}; accepted "
                "is a study file with another study.name"
            )
