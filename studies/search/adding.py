"""Trials that users add to a study: queued in the ledger, whoever searches the study asks them.

A queued trial is taken at the next ask, and its record says that it was added: the order in which
trials were asked is in the ledger, so a restart and any number of workers give the same study.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from nets.errors import InputError
from studies.analysis.stored_study import open_study
from studies.definition.samplers import Grid
from studies.definition.space_section import check_first
from studies.search.single_training import check_trainable
from tracking.ledger import lock
from tracking.records import QueuedTrial, Values


@dataclass(frozen=True)
class Added:
    """A trial that has been queued: the place in the queue, from 1, and who will train it.

    `needed` is the number of trials with which it has been asked, `total` the study's number now.
    """

    place: int
    needed: int
    total: int
    is_searched: bool


def add(store: Path, name: str, parameters: Values) -> Added:
    """Queue a trial of a study of a store; the sampler chooses the parameters that are missing.

    Another process may be searching the study. Raises InputError for values outside the space, for
    a study of trainings and for a grid, which has no other trials than its points.
    """
    with open_study(store, name) as stored:
        section = stored.study.section
        check_trainable(stored.record)
        if isinstance(section.sampler, Grid):
            raise InputError(
                "study.sampler",
                problem=f"{name} searches a grid, which has each combination of values once",
                expected="a study with another sampler",
            )
        if not parameters:
            raise InputError("add", problem="got no values", expected="a value of [space] or more")
        chosen = check_first(parameters, stored.study.space, "space")
        place = stored.ledger.queue_trial(name, QueuedTrial(chosen, time.time()))
        return Added(
            place=place,
            needed=len(stored.ledger.trials(name)) + len(stored.ledger.queued(name)),
            total=section.trials,
            is_searched=name in lock.held(stored.ledger),
        )
