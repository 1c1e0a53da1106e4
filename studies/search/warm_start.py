"""Warm start: trials of another study that the sampler knows from the beginning.

They are history of the sampling view only: never numbered, counted or best. They are copied into
the study's notes when it is created, so the other study may grow without changing this one.
"""

from collections import Counter
from dataclasses import dataclass, field

from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial

from nets.errors import InputError
from studies.definition.choices import decoded, encoded
from studies.definition.optuna_internals import TRIAL_STATES
from studies.definition.study_file import Study
from studies.workers.messages import Result
from tracking.ledger import Ledger
from tracking.records import EarlierTrial, StudyRecord, TrialRecord, Values
from tracking.store.errors import StudyNotFound


@dataclass
class Counted:
    """How many of another study's trials are known here, and why the others are not."""

    known: int = 0
    others: Counter[str] = field(default_factory=Counter)

    def sentence(self, what: str) -> str:
        """Return the counts in words; `what` are the trials.

        >>> Counted(22, Counter({"failed": 1, "with rate other than 1 to 5": 1})).sentence("trials")
        '22 of 24 trials are known; not known: 1 failed, 1 with rate other than 1 to 5'
        """
        total = self.known + self.others.total()
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.others.most_common())
        more = f"; not known: {reasons}" if reasons else ""
        return f"{self.known} of {total} {what} are known{more}"


class DoesNotFit(Exception):
    """A trial whose parameters another study's space does not contain; the message says why."""


def snapshot(study: Study, ledger: Ledger) -> tuple[tuple[EarlierTrial, ...], str | None]:
    """Return the trials that a new study takes from the one that it starts from.

    Only finished trials whose parameters fit this study's space are used. Also returns a sentence
    that says how many, and why the others are not; None for a study without a warm start.
    """
    name = study.section.warm_start
    if name is None:
        return (), None
    check_metric(study, find(name, ledger, "study.warm_start"), "study.warm_start")
    known, counted = [], Counted()
    for record in ledger.trials(name):
        try:
            parameters = fitted(study, record)
        except DoesNotFit as error:
            counted.others[str(error)] += 1
            continue
        counted.known += 1
        result = Result.of(record, ledger.epochs(name, record.number), study.section.metric)
        values = tuple(result.intermediate.items())
        known.append(EarlierTrial(parameters, result.state, result.value, values))
    return tuple(known), f"warm start: {counted.sentence(f'trials of {name}')}"


def find(name: str, ledger: Ledger, key: str) -> StudyRecord:
    """Return another study of the store; raises StudyNotFound, with the key that names it."""
    other = ledger.study(name)
    if other is None:
        raise StudyNotFound.among(name, ledger.study_names(), ledger.path.parent).with_key(key)
    return other


def check_metric(study: Study, other: StudyRecord, key: str) -> None:
    """Raise InputError unless the values of another study's trials compare with this study's."""
    metric, direction = other.definition["study"]["metric"], other.definition["study"]["direction"]
    if (metric, direction) != (study.section.metric, study.section.direction):
        raise InputError(
            key,
            problem=f"{other.name} has direction {direction}, metric {metric}",
            expected=f"{study.section.direction} and {study.section.metric}, as this study has",
        )


def fitted(study: Study, record: TrialRecord) -> Values:
    """Return the parameters of another study's finished trial as this study has them.

    A parameter that was not searched there has the value of the trial's setting. Raises DoesNotFit
    for a trial that failed or is open, and for one with a value outside the space.
    """
    if record.state not in ("complete", "pruned"):
        raise DoesNotFit(record.state)
    parameters: Values = {}
    for parameter in study.space.parameters:
        name = parameter.name
        if not parameter.active(parameters):
            continue
        if name in record.parameters:
            value = record.parameters[name]
        elif name in record.settings:
            value = encoded(record.settings[name])
        else:
            raise DoesNotFit(f"without {name}")
        if isinstance(parameter.distribution, FloatDistribution) and type(value) is int:
            value = float(value)
        value = parameter.rounded(value)
        if not parameter.contains(value):
            raise DoesNotFit(f"with {name} other than {parameter.description}")
        parameters[name] = value
    if more := sorted(record.parameters.keys() - parameters.keys()):
        raise DoesNotFit(f"with {more[0]} = {decoded(record.parameters[more[0]])!r}")
    return parameters


def earlier_trials(study: Study, ledger: Ledger) -> list[FrozenTrial]:
    """Return the trials that `snapshot` stored with the study."""
    stored = ledger.study(study.name)
    return [
        study.space.trial(
            trial.parameters,
            TRIAL_STATES[trial.state],
            value=trial.value,
            intermediate_values={int(epoch): value for epoch, value in trial.intermediate},
        )
        for trial in (stored and stored.notes.warm_start) or ()
    ]
