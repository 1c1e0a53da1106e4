"""The view: the private in-memory study in which the driver asks for the next trial.

The rule of the search: trial k is asked in a study that holds exactly trials 0..k-W with their
results and k-W+1..k-1 as running, whatever has finished meanwhile. So trial k is a function of the
study file and of trials 0..k-W, and of nothing that depends on workers, time or restarts.

Two requests of users are part of a study's record, and follow the same rule:

- A trial that a user has added is asked with the user's values, at the next ask. Its record says
  so, and from then on it is a trial like any other.
- A failed trial that is trained again is an open trial once more. A trial that is asked after that
  waits for the new result of one among 0..k-W, and sees a later one as running. Trials that had
  been asked before keep their parameters, and their pruner sees the failure, whatever the new
  result is and whenever they are trained.

The driver keeps one view and each `ask` advances it by one trial; after a restart the view is
rebuilt from the ledger. Both must give the same study, including the attributes that samplers set
on trials and on the study, and the trial ids (NSGA-II stores its parents by id).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nets.randomness import derived_seed
from studies.definition import samplers
from studies.definition.optuna_internals import TRIAL_STATES, storage_of, trial_id
from studies.definition.study_file import Study
from studies.workers.messages import Result
from tracking.records import Extended, SamplerAttributes, TrialRecord, Values


@dataclass(frozen=True)
class Asked:
    """A trial as asked: its parameters, and the attributes that `ask` set on trial and study."""

    number: int
    parameters: dict[str, Any]
    attributes: SamplerAttributes


class View:
    """The private study of one driver.

    `earlier` are warm-start trials: they inform the sampler, but are never numbered or counted. A
    study that `extends` another one knows its copies of that study's trials from the beginning.
    """

    def __init__(
        self,
        study: Study,
        earlier: Sequence[FrozenTrial] = (),
        extends: Extended | None = None,
    ) -> None:
        self._definition = study
        self._study = optuna.create_study(
            storage=InMemoryStorage(),
            study_name=study.name,
            direction=StudyDirection[study.section.direction.name],
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=optuna.pruners.NopPruner(),
        )
        self._offset = len(earlier)
        self._extends = extends or Extended("", (), 0)
        self.asked = 0
        """Number of trials asked so far; the number of the next one."""
        self.known = 0
        """Number of trials, from 0 on, whose results the view knows."""
        for trial in earlier:
            self._study.add_trial(trial)

    @property
    def needs(self) -> int:
        """Number of trials, from 0 on, whose results the next `ask` must know: k-W+1."""
        return self.needed(self.asked)

    def needed(self, number: int) -> int:
        """Return the number of trials, from 0 on, whose results a trial may depend on."""
        return max(self._extends.copies, number - self._definition.section.window + 1)

    def first(self, number: int) -> Values | None:
        """Return the values that the study file sets for a trial, or None."""
        first = self._definition.section.first
        place = number - len(self._extends.numbers)
        return first[place] if place < len(first) else None

    def ask(self, added: Values | None = None) -> Asked:
        """Ask for the next trial; `tell` must have been called for `needs` trials.

        `added` are values that a user has chosen; the sampler chooses the others.
        """
        if self.known != self.needs:
            raise RuntimeError(
                f"trial {self.asked} needs the results of {self.needs} trials, knows {self.known}"
            )
        number, section = self.asked, self._definition.section
        storage, study_id = storage_of(self._study)
        seeds = samplers.Seeds(
            study=section.seed % 2**32, trial=derived_seed(section.seed, number, 1) % 2**32
        )
        self._study.sampler = samplers.build(section.sampler, seeds, self._definition.space)
        before = dict(storage.get_study_system_attrs(study_id))
        if (given := self.first(number)) is None:
            given = added
        if given is not None:
            self._study.enqueue_trial(dict(given))
        trial = self._study.ask()
        parameters = self._definition.space.ask(trial)
        after = storage.get_study_system_attrs(study_id)
        changed = {k: v for k, v in after.items() if k not in before or before[k] != v}
        of_trial = dict(storage.get_trial_system_attrs(trial_id(trial)))
        self.asked += 1
        return Asked(number, parameters, SamplerAttributes(of_trial, changed))

    def tell(self, result: Result) -> None:
        """Add the result of the next trial in order.

        It goes to the storage directly: Optuna's `tell` would call the sampler's `after_trial`,
        where grid and brute force stop the study.
        """
        storage, study_id = storage_of(self._study)
        trial = storage.get_trial_id_from_study_id_trial_number(study_id, self.known + self._offset)
        for epoch, value in result.intermediate.items():
            storage.set_trial_intermediate_value(trial, epoch, value)
        for key, value in result.attributes.items():
            storage.set_trial_system_attr(trial, key, value)
        values = None if result.value is None else [result.value]
        storage.set_trial_state_values(trial, TRIAL_STATES[result.state], values)
        self.known += 1

    def rebuild(self, records: Sequence[TrialRecord], results: Sequence[Result]) -> None:
        """Bring a new view to where the ledger stands.

        `records` are all asked trials in order; `results` the results of trials 0, 1, ... up to the
        first unfinished one. Only those that the next `ask` needs are added.
        """
        storage, study_id = storage_of(self._study)
        for record in records:
            attributes = record.sampler_attributes
            self._study.add_trial(
                self._definition.space.trial(
                    record.parameters, TrialState.RUNNING, system_attrs=attributes.trial or {}
                )
            )
            for key, value in (attributes.study or {}).items():
                storage.set_study_system_attr(study_id, key, value)
            self.asked += 1
        for result in results[: self.needed(self.asked - 1)]:
            self.tell(result)
