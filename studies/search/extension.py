"""Extend a study: a successor, whose space contains the earlier one's, begins with its trials.

The successor is a study of its own. Its first trials are copies of the earlier study's complete and
pruned ones, with their settings, epochs and outcomes, so they count, and may be best. The earlier
study stays as it is, and may grow without changing this one. Copies have no model: it stays with
the earlier trial.

A successor with more epochs trains the complete trials for the rest, as its next trials after the
copies: the values of shorter trainings would not compare. A trial continues from its state after
its last epoch if the earlier study kept it (``keep_state``), and from the beginning otherwise.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nets.errors import InputError
from nets.settings import to_plain
from studies.analysis.formatting import shown_seconds
from studies.definition.sections import full_names, sections_of
from studies.definition.study_file import Study, comparable
from studies.search.warm_start import Counted, DoesNotFit, check_metric, find, fitted
from studies.workers.admission import check_data
from tracking.ledger import Ledger
from tracking.records import (
    Extended,
    SamplerAttributes,
    StudyRecord,
    TrialOutcome,
    TrialRecord,
    Values,
)

KEY = "extend"
"""What errors name: the command, as a study file cannot say it."""


@dataclass(frozen=True)
class Extension:
    """The trials with which a successor begins: copies, and those to be trained again, in order.

    `sentences` say how many are known, and what training the others costs.
    """

    record: Extended
    trials: Sequence[TrialRecord]
    sentences: Sequence[str]


def extension_of(study: Study, name: str, ledger: Ledger, digests: Mapping[str, str]) -> Extension:
    """Return the trials that a new study begins with to extend the study of a name.

    `digests` are the SHA-256 of the datasets. Raises InputError where the new study is no extension
    of it, or no trial of it fits.
    """
    earlier = find(name, ledger, KEY)
    _check(study, earlier)
    check_data(earlier, digests)
    epochs = earlier.definition["fixed"].get("epochs")
    is_longer = epochs is not None and study.fixed.get("epochs", epochs) != epochs
    counted = Counted()
    copies: list[TrialRecord] = []
    again: list[TrialRecord] = []
    for trial in ledger.trials(name):
        try:
            parameters = fitted(study, trial)
            if is_longer and not {"seed", "epochs"} <= trial.settings.keys():
                raise DoesNotFit("without seed and epochs")
        except DoesNotFit as error:
            counted.others[str(error)] += 1
            continue
        counted.known += 1
        if is_longer and trial.state == "complete":
            last, _ = ledger.checkpoint(name, trial.number) or (0, b"")
            again.append(_again(study, trial, parameters, has_state=last == epochs))
        else:
            copies.append(_copy(study, trial, parameters))
    sentence = counted.sentence("earlier trials")
    if not counted.known:
        raise InputError(KEY, problem=f"{sentence}", expected="a trial of it that fits the space")
    if counted.known >= study.section.trials:
        raise InputError(
            "study.trials", study.section.trials, f"more than the {counted.known} earlier trials"
        )
    sentences = [sentence]
    if again:
        sentences.append(_cost(again, epochs, study.fixed["epochs"], name, ledger))
    trials = [*copies, *again]
    numbers = tuple(trial.number for trial in trials)
    return Extension(
        Extended(name, numbers, len(copies)),
        [replace(trial, number=number) for number, trial in enumerate(trials)],
        sentences,
    )


def _check(study: Study, earlier: StudyRecord) -> None:
    """Raise InputError unless trials of the earlier study could be trials of the new one."""
    check_metric(study, earlier, KEY)
    section = earlier.definition["study"]
    for key in ("objective", "settings"):
        if section.get(key) != getattr(study.section, key):
            raise InputError(
                f"study.{key}",
                getattr(study.section, key),
                f"{section.get(key)!r}, as {earlier.name} has",
            )
    if study.section.sampler.name == "grid":
        raise InputError(
            "study.sampler",
            problem="got grid, which does not know which points were tried before",
            expected="another sampler, such as tpe",
        )
    searched = study.space.by_name
    for name in earlier.definition["space"]:
        if name not in searched:
            raise InputError(
                f"space.{name}",
                problem=f"missing, and {earlier.name} searches it",
                expected=f"every parameter of {earlier.name}",
                hint="to fix it, start another study with study.warm_start",
            )
    given = comparable(study.definition)["fixed"]
    for name, value in comparable(earlier.definition)["fixed"].items():
        if name in searched:
            continue
        new = given.get(name)
        # The earlier study may be from elsewhere, with a value of any type.
        if name == "epochs" and isinstance(new, int) and isinstance(value, int) and new >= value:
            continue
        if name not in given or new != value:
            at_least = "at least " if name == "epochs" else ""
            raise InputError(
                full_names(sections_of(study.settings_class)).get(name, name),
                problem=f"got {new!r}" if name in given else "missing",
                expected=f"{at_least}{value!r}, with which trials of {earlier.name} were trained",
            )


def _copy(study: Study, trial: TrialRecord, parameters: Values) -> TrialRecord:
    """Return a finished trial as one of the new study.

    What the sampler and the pruner noted on it belongs to the earlier study and its numbers.
    """
    return replace(
        trial,
        study=study.name,
        parameters=parameters,
        sampler_attributes=SamplerAttributes({}, {}),
        outcome=replace(
            trial.outcome,
            attributes=None,
            earlier=None,
            origin=f"trial {trial.number} of {trial.study}",
        ),
        recorded_run=None,
        recorded_epoch=0,
        recorded_state=None,
    )


def _cost(again: Sequence[TrialRecord], epochs: int, total: int, name: str, ledger: Ledger) -> str:
    """Return what it costs to train trials for more epochs, in words."""
    seconds = 0.0
    for trial in again:
        known = ledger.epochs(name, trial.number)
        each = sum(epoch.seconds for epoch in known) / max(1, len(known))
        seconds += each * (total - epochs if trial.outcome.stages else total)
    continued = sum(trial.outcome.stages is not None for trial in again)
    return (
        f"{len(again)} of them were trained for {epochs} epochs: {continued} continue to {total}, "
        f"{len(again) - continued} without a kept state are trained again; about "
        f"{shown_seconds(seconds)} of training"
    )


def _again(study: Study, trial: TrialRecord, parameters: Values, *, has_state: bool) -> TrialRecord:
    """Return a trial with the parameters of a finished one, to be trained or to be continued."""
    stages = (*(trial.outcome.stages or ()), trial.settings["epochs"]) if has_state else None
    values = study.values(trial.number, parameters) | {"seed": trial.settings["seed"]}
    return TrialRecord(
        study=study.name,
        number=trial.number,
        state="running",
        settings=to_plain(study.settings_class(**values)),
        parameters=parameters,
        sampler_attributes=SamplerAttributes({}, {}),
        asked=time.time(),
        outcome=TrialOutcome(stages=stages),
    )
