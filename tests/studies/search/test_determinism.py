"""The same study, whatever finishes first, dies or is killed: complete lists of trials are equal.

Here workers are functions of this process that take turns by chance, so that thousands of orders
of events are tried in seconds. test_processes.py has the same with real processes.
"""

import math

import numpy as np
import pytest
from searches import (
    MIXED,
    POINTS,
    SAMPLERS,
    SPACE,
    Killed,
    ShuffledEngine,
    a_study,
    search,
    space_for,
    trials,
    trials_shuffled,
)

from studies.definition.space import Parameter
from studies.search.warm_start import snapshot
from tracking.ledger import Ledger

PRUNERS = {
    "none": {"name": "none"},
    "median": {"name": "median", "startup_trials": 2},
    "percentile": {"name": "percentile", "percentile": 40.0, "startup_trials": 2, "interval": 2},
    "halving": {"name": "successive_halving", "reduction_factor": 2},
    "hyperband": {"name": "hyperband"},
    "threshold": {"name": "threshold", "lower": 0.15},
    "patient": {
        "name": "patient", "patience": 1, "wrapped": {"name": "median", "startup_trials": 2},
    },
}  # fmt: skip


QUICK = [pytest.param(s, marks=pytest.mark.slow) if s == "gp" else s for s in SAMPLERS]
"""A Gaussian process takes 0.2 s an ask."""


def reference(study, tmp_path):
    """The trials of one worker that nothing happens to."""
    return trials_shuffled(study, tmp_path / "reference.db", np.random.default_rng(0), workers=1)


@pytest.mark.parametrize("sampler", QUICK)
@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_trials_do_not_depend_on_workers_crashes_or_kills(sampler, pruner, tmp_path, generator):
    study = a_study(
        space_for(SAMPLERS[sampler]), sampler=SAMPLERS[sampler], pruner=PRUNERS[pruner],
        trials=10 if sampler == "gp" else 20,
    )  # fmt: skip
    expected = reference(study, tmp_path)
    assert len(expected) == study.section.trials
    for workers in (2, 4):
        path = tmp_path / f"{workers}.db"
        assert expected == trials_shuffled(
            study, path, generator, workers=workers, death=0.04, kill=0.04
        )


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_no_combination_depends_on_workers_crashes_or_kills(
    sampler, pruner, direction, tmp_path, generator
):
    study = a_study(
        space_for(SAMPLERS[sampler]), sampler=SAMPLERS[sampler], pruner=PRUNERS[pruner],
        trials=10 if sampler == "gp" else 30,
        direction=direction, metric="value" if direction == "maximize" else "loss",
        settings={"fault": "nan" if pruner == "median" else "raise"},
    )  # fmt: skip
    expected = reference(study, tmp_path)
    for workers in (2, 9):
        path = tmp_path / f"{workers}.db"
        assert expected == trials_shuffled(
            study, path, generator, workers=workers, death=0.04, kill=0.04
        )


@pytest.mark.parametrize("window", [1, 2, 16])
def test_window_decides_the_trials_and_workers_do_not(window, tmp_path, generator):
    study = a_study(window=window, trials=20, sampler=SAMPLERS["tpe"], pruner=PRUNERS["median"])
    expected = reference(study, tmp_path)
    found = trials_shuffled(study, tmp_path / "other.db", generator, workers=6, kill=0.05)
    assert found == expected


def test_another_window_gives_other_trials(tmp_path):
    one = a_study(window=1, trials=20, sampler=SAMPLERS["tpe"])
    other = a_study(window=8, trials=20, sampler=SAMPLERS["tpe"])
    (tmp_path / "a").mkdir()
    assert reference(one, tmp_path) != reference(other, tmp_path / "a")


@pytest.mark.parametrize("fault", ["nan", "raise", "exit"])
def test_trials_that_go_wrong_change_nothing_about_it(fault, tmp_path, generator):
    study = a_study(
        MIXED, {"fault": fault}, trials=20, sampler=SAMPLERS["tpe"], pruner=PRUNERS["median"]
    )
    expected = reference(study, tmp_path)
    outcomes = {(t["state"], t["outcome"].reason) for t in expected}
    assert ("pruned", "diverged") in outcomes if fault == "nan" else ("failed", None) in outcomes
    found = trials_shuffled(study, tmp_path / "other.db", generator, workers=3, kill=0.05)
    assert repr(found) == repr(expected)  # an outcome with NaN is not equal to itself


def test_values_that_their_class_refuses_together_fail_their_trial_only(tmp_path, generator):
    study = a_study(
        MIXED, kind="curves:Picky", trials=20, sampler=SAMPLERS["tpe"], pruner=PRUNERS["median"]
    )
    expected = reference(study, tmp_path)
    for trial in expected:
        refused = trial["settings"]["rate"] + trial["settings"]["height"] > 1.2
        assert (trial["state"] == "failed") == refused
        if refused:
            assert trial["outcome"].error.message.startswith("rate + height: got 1.")
    assert {"failed", "complete"} <= {trial["state"] for trial in expected}
    found = trials_shuffled(study, tmp_path / "other.db", generator, workers=3, kill=0.05)
    assert found == expected


def test_first_trials_that_are_all_refused_end_the_study(ledger, generator):
    first = [{"rate": 0.9, "height": 0.5}, {"rate": 0.5, "height": 0.9}]
    study = a_study(kind="curves:Picky", window=2, trials=8, first=first)
    assert search(study, ledger, ShuffledEngine(2, generator)) == "failed"
    assert [trial.state for trial in ledger.trials(study.name)] == ["failed", "failed"]


def test_machine_that_lacks_memory_now_and_then_changes_nothing(tmp_path, generator, monkeypatch):
    import curves

    def poor(settings, data, report, resume=None):
        def report_if_there_is_memory(epoch):
            report(epoch)
            if settings.seed not in spared and generator.random() < 0.2:
                spared.add(settings.seed)
                raise MemoryError

        return curves.climb(settings, data, report_if_there_is_memory, resume)

    spared = set()
    monkeypatch.setattr(curves, "poor", poor, raising=False)
    study = a_study(trials=20, sampler=SAMPLERS["tpe"], objective="curves:poor")
    rich = a_study(trials=20, sampler=SAMPLERS["tpe"])
    found = trials_shuffled(study, tmp_path / "poor.db", generator, workers=3, kill=0.05)
    assert spared
    assert found == reference(rich, tmp_path)


def test_study_extended_later_has_the_trials_of_one_asked_at_once(tmp_path, generator):
    def extended(**section):
        return a_study(sampler=SAMPLERS["tpe"], pruner=PRUNERS["hyperband"], **section)

    at_once = reference(extended(trials=40), tmp_path)
    path = tmp_path / "later.db"
    first = trials_shuffled(extended(trials=20), path, generator, workers=3)
    assert first == at_once[:20]
    assert trials_shuffled(extended(trials=40), path, generator, workers=4) == at_once


def test_warm_start_is_history_and_no_trial(tmp_path, generator):
    paths = [tmp_path / "one.db", tmp_path / "other.db"]
    # Some of its epochs are NaN, which the snapshot must keep.
    earlier = a_study(name="earlier", trials=12, settings={"fault": "nan"})
    study = a_study(warm_start="earlier", trials=16, sampler=SAMPLERS["tpe"])
    found = []
    for path, workers in zip(paths, (1, 4), strict=True):
        trials_shuffled(earlier, path, generator, workers=1)
        found.append(trials_shuffled(study, path, generator, workers=workers, kill=0.05))
    assert found[0] == found[1]
    assert [trial["number"] for trial in found[0]] == list(range(16))
    cold = reference(a_study(trials=16, sampler=SAMPLERS["tpe"]), tmp_path)
    assert cold[0]["settings"] != found[0][0]["settings"]


def test_warm_start_does_not_follow_the_other_study_as_it_grows(tmp_path, generator):
    path = tmp_path / "one.db"
    study = a_study(warm_start="earlier", trials=10, sampler=SAMPLERS["tpe"])
    trials_shuffled(a_study(name="earlier", trials=12), path, generator, workers=1)
    first = trials_shuffled(study, path, generator, workers=2)
    trials_shuffled(a_study(name="earlier", trials=30), path, generator, workers=2)
    grown = a_study(warm_start="earlier", trials=20, sampler=SAMPLERS["tpe"])
    assert trials_shuffled(grown, path, generator, workers=3)[:10] == first


def test_a_warm_start_takes_values_in_steps_as_decimals(ledger, generator, monkeypatch):
    earlier = a_study(POINTS, name="earlier", first=[{"rate": 0.1 * 3}])
    with monkeypatch.context() as patch:  # of a version that recorded what Optuna computes
        patch.setattr(Parameter, "rounded", lambda self, value: value)
        search(earlier, ledger, ShuffledEngine(2, generator))
    recorded = [trial.parameters["rate"] for trial in ledger.trials("earlier")]
    assert recorded[0] == 0.1 * 3
    known = snapshot(a_study(POINTS, warm_start="earlier"), ledger)[0]
    assert [trial.parameters["rate"] for trial in known] == [round(rate, 1) for rate in recorded]


@pytest.mark.parametrize("sampler", QUICK)
def test_every_sampler_takes_a_warm_start(sampler, tmp_path, generator):
    space = space_for(SAMPLERS[sampler])
    earlier = a_study(space, name="earlier", trials=12)
    study = a_study(space, warm_start="earlier", trials=16, sampler=SAMPLERS[sampler])
    found = []
    for workers in (1, 3):
        path = tmp_path / f"{workers}.db"
        trials_shuffled(earlier, path, generator, workers=1)
        found.append(trials_shuffled(study, path, generator, workers=workers, kill=0.05))
    assert found[0] == found[1]


def test_grid_of_fewer_points_than_trials_ends_with_its_points(tmp_path, generator):
    study = a_study(POINTS, sampler=SAMPLERS["grid"], trials=100)
    found = trials_shuffled(study, tmp_path / "one.db", generator, workers=3, kill=0.02)
    points = {tuple(t["settings"][name] for name in POINTS) for t in found}
    assert len(found) == len(points) == 5 * 4 * 2


def test_first_trials_stand_at_the_beginning(tmp_path, generator):
    first = [{"rate": 0.5, "height": 0.9}, {"height": 0.2}]
    study = a_study(SPACE, first=first, sampler=SAMPLERS["tpe"])
    expected = reference(study, tmp_path)
    assert [expected[0]["settings"][name] for name in ("rate", "height")] == [0.5, 0.9]
    assert expected[1]["settings"]["height"] == 0.2
    found = trials_shuffled(study, tmp_path / "other.db", generator, workers=3, kill=0.1)
    assert found == expected


def test_trials_continue_from_their_last_checkpoint(tmp_path, generator):
    """Not from the beginning, which would come out the same but later."""
    study = a_study(trials=30, pruner=PRUNERS["median"])
    ledger = Ledger(tmp_path / "one.db")
    with pytest.raises(Killed):
        search(study, ledger, ShuffledEngine(4, generator, kill=0.05), checkpoint_seconds=0.0)
    open_trials = [t.number for t in ledger.trials(study.name) if t.state == "running"]
    known = {number: len(ledger.epochs(study.name, number)) for number in open_trials}
    assert any(known.values())
    engine = Continuing(4, generator)
    search(study, ledger, engine)
    assert {number: engine.first_epochs[number] for number in open_trials} == {
        number: epochs + 1 for number, epochs in known.items()
    }
    ledger.close()


class Continuing(ShuffledEngine):
    """Notes the first epoch that each trial trains."""

    def __init__(self, count, generator):
        super().__init__(count, generator)
        self.first_epochs = {}

    def start(self, job):
        super().start(job)
        _, events = self.running[job.trial]
        self.first_epochs[job.trial] = events[0].number
        return "here"


def test_searching_a_finished_study_again_changes_nothing(tmp_path, generator):
    study = a_study(trials=8)
    path = tmp_path / "one.db"
    first = trials_shuffled(study, path, generator, workers=2)
    assert trials_shuffled(study, path, generator, workers=2) == first


def test_fewer_trials_than_there_are_leave_the_rest_as_it_is(tmp_path, generator):
    path = tmp_path / "one.db"
    ledger = Ledger(path)
    with pytest.raises(Killed):  # while trials are open
        search(a_study(trials=100), ledger, ShuffledEngine(4, generator, kill=0.1))
    before = trials(ledger, a_study())
    assert search(a_study(trials=1), ledger, ShuffledEngine(2, generator)) == "finished"
    after = trials(ledger, a_study())
    assert after[1:] == before[1:]
    assert after[0]["state"] == "complete"
    ledger.close()


def test_timeout_leaves_trials_open_that_continue_later(tmp_path, generator):
    study = a_study(trials=12, pruner=PRUNERS["median"])
    expected = reference(study, tmp_path)
    ledger = Ledger(tmp_path / "one.db")
    ends = [search(study, ledger, ShuffledEngine(3, generator), deadline=-math.inf)]
    assert trials(ledger, study) == []
    while ends[-1] != "finished":
        engine = StoppingEngine(3, generator, after=int(generator.integers(5, 30)))
        ends.append(search(study, ledger, engine, checkpoint_seconds=0.0, deadline=engine.deadline))
    assert ends[0] == "timeout"
    assert trials(ledger, study) == expected
    ledger.close()


class StoppingEngine(ShuffledEngine):
    """Lets the deadline pass after some events, by moving what the clock is compared with."""

    class Deadline(float):
        """A deadline that passes when the test says so."""

        passed = False

        def __le__(self, other):
            return self.passed

    def __init__(self, count, generator, after):
        super().__init__(count, generator)
        self.after = after
        self.deadline = self.Deadline(0.0)

    def events(self, timeout):
        self.after -= 1
        self.deadline.passed = self.after < 0
        return super().events(timeout)
