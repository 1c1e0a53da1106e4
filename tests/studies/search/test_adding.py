"""Trials that users add: asked at a recorded place, whatever happens to the driver."""

import numpy as np
import pytest
from searches import (
    MIXED,
    SAMPLERS,
    Killed,
    ShuffledEngine,
    a_study,
    admit,
    search,
    space_for,
    trials,
    trials_of,
)

from studies.search.adding import add
from tracking.ledger import Ledger
from tracking.records import QueuedTrial

VALUES = [{"rate": 0.1, "height": 0.3}, {"rate": 0.4}, {"height": 0.9}, {"rate": 0.2}]
"""Of points with steps and of ranges; what is missing is sampled."""
POINTS = [{"rate": 0.1, "waves": 3}, {"rate": 0.4}, {"waves": 7}, {"rate": 0.2}]


class Adding(ShuffledEngine):
    """Adds trials at random moments, as another process does."""

    def __init__(self, *arguments, ledger, study, left, **chances):
        super().__init__(*arguments, **chances)
        self.ledger, self.study, self.left = ledger, study, left

    def events(self, timeout):
        if self.left and self.generator.random() < 0.15:
            self.ledger.queue_trial(self.study.name, QueuedTrial(self.left.pop(0), 1.0))
        yield from super().events(timeout)


class Given(Ledger):
    """A ledger in which trials with some numbers are added just before they are asked."""

    given: dict

    def queued(self, study):
        number = len(self.trials(study))
        return (QueuedTrial(self.given[number], 1.0),) if number in self.given else ()


def added_to(ledger, study):
    return {t.number: t for t in ledger.trials(study.name) if t.sampler_attributes.added}


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "sobol", "nsga2"])
def test_a_study_is_a_function_of_the_places_where_trials_were_added(sampler, tmp_path, generator):
    study = a_study(
        space_for(SAMPLERS[sampler]), trials=24, sampler=SAMPLERS[sampler],
        pruner={"name": "median", "startup_trials": 2},
    )  # fmt: skip
    values = POINTS if sampler == "sobol" else VALUES
    left = list(values)
    path = tmp_path / "disturbed.db"
    other = Ledger(path)
    admit(study, other)
    while True:
        ledger = Ledger(path)
        engine = Adding(3, generator, ledger=other, study=study, left=left, death=0.04, kill=0.04)
        try:
            search(study, ledger, engine, checkpoint_seconds=0.0)
            break
        except Killed:
            ledger.close()
    found = trials(ledger, study)
    places = added_to(ledger, study)
    assert ledger.queued(study.name) == ()
    assert left == []
    assert [
        {name: trial.parameters[name] for name in given}
        for trial, given in zip(places.values(), values, strict=True)
    ] == values  # each once, in their order
    ledger.close()
    other.close()

    Given.given = dict(zip(places, values, strict=True))
    again = Given(tmp_path / "again.db")
    search(study, again, ShuffledEngine(1, np.random.default_rng(0)))
    assert trials(again, study) == found
    again.close()


def test_trials_of_the_study_file_come_first(ledger, generator):
    study = a_study(MIXED, first=[{"rate": 0.5}, {"rate": 0.6}], trials=5)
    admit(study, ledger)
    ledger.queue_trial(study.name, QueuedTrial({"rate": 0.7}, 1.0))
    search(study, ledger, ShuffledEngine(2, generator))
    rates = [trial.parameters["rate"] for trial in ledger.trials(study.name)]
    assert rates[:3] == [0.5, 0.6, 0.7]
    assert list(added_to(ledger, study)) == [2]


def test_a_trial_is_trained_after_the_stop_rule_has_ended_the_study(ledger, generator):
    study = a_study(MIXED, stop={"patience": 3}, window=1, trials=50)
    search(study, ledger, ShuffledEngine(1, generator))
    count = len(ledger.trials(study.name))
    assert count < 50
    ledger.queue_trial(study.name, QueuedTrial({"rate": 0.7}, 1.0))
    search(study, ledger, ShuffledEngine(1, generator))
    assert list(added_to(ledger, study)) == [count]


def test_a_study_that_no_one_adds_to_is_as_before(tmp_path, ledger, generator):
    study = a_study(MIXED, trials=8)
    search(study, ledger, ShuffledEngine(2, generator))
    other = trials_of(study, tmp_path / "other.db", ShuffledEngine(1, generator))
    assert trials(ledger, study) == other
    assert ledger.notes(study.name).queued is None


def test_the_place_in_the_queue_and_the_total_that_is_needed(ledger, generator, tmp_path):
    study = a_study(MIXED, trials=4)
    admit(study, ledger)
    found = [add(tmp_path, study.name, {"rate": 0.5}) for _ in range(5)]
    assert [(one.place, one.needed, one.total) for one in found] == [
        (place, place, 4) for place in range(1, 6)
    ]
    assert not any(one.is_searched for one in found)
    search(study, ledger, ShuffledEngine(2, generator))
    assert len(ledger.queued(study.name)) == 1
    assert add(tmp_path, study.name, {"rate": 0.5}).needed == 6
