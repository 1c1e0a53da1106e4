"""Failed trials that are trained again: the same study for any number of workers and after kills.

What they failed with is fixed in between: the variable CURVES_FIXED is set.
"""

import shutil

import numpy as np
import pytest
from searches import (
    MIXED,
    POINTS,
    SAMPLERS,
    Killed,
    ShuffledEngine,
    a_study,
    search,
    space_for,
    trials,
    trials_shuffled,
    trials_with,
)

from nets.errors import InputError
from studies.analysis.stored_study import check
from tracking.ledger import Ledger
from tracking.ledger.retries import retry_failed

# Trials with the fault fail in their second epoch: no pruner may end them before.
PRUNERS = {
    "median": {"name": "median", "startup_trials": 2},
    "halving": {"name": "successive_halving", "min_resource": 2, "reduction_factor": 2},
    "hyperband": {"name": "hyperband", "min_resource": 2},
}


class Ending(ShuffledEngine):
    """Workers whose driver is killed once trial 15 has begun."""

    def events(self, timeout):
        if self.running and max(self.running) >= 15:
            raise Killed
        yield from super().events(timeout)


def begun(study, path, generator):
    """Search a study until its driver is killed, and open its failed trials again."""
    ledger = Ledger(path)
    with pytest.raises(Killed):
        search(study, ledger, Ending(3, generator), checkpoint_seconds=0.0)
    before = ledger.trials(study.name)
    retried = retry_failed(ledger, study.name, study.section.trials)
    ledger.close()
    assert {trial.state for trial in before} >= {"running", "failed", "complete"}
    assert len(before) < study.section.trials
    return before, retried


OTHERS = [pytest.param(s, marks=pytest.mark.slow) for s in ("cmaes", "sobol", "grid", "nsga2")]


@pytest.mark.parametrize("sampler", ["tpe", *OTHERS])
@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_retry_does_not_depend_on_workers_crashes_or_kills(
    sampler, pruner, tmp_path, generator, monkeypatch
):
    study = a_study(
        space_for(SAMPLERS[sampler]), {"fault": "raise"}, trials=30,
        sampler=SAMPLERS[sampler], pruner=PRUNERS[pruner],
    )  # fmt: skip
    before, retried = begun(study, tmp_path / "begun.db", generator)
    monkeypatch.setenv("CURVES_FIXED", "1")

    def continued(name, workers, **chances):
        shutil.copyfile(tmp_path / "begun.db", tmp_path / name)
        return trials_shuffled(study, tmp_path / name, generator, workers=workers, **chances)

    expected = continued("reference.db", 1)
    assert len(expected) == 30
    assert "failed" not in {trial["state"] for trial in expected}
    for trial, earlier in zip(expected, before, strict=False):
        assert trial["settings"] == {k: v for k, v in earlier.settings.items() if k != "delay"}
        failures = trial["outcome"].earlier
        assert bool(failures) == (trial["number"] in retried)
        for failure in failures:
            assert (failure.error, failure.asked) == (earlier.outcome.error, len(before))
    for round_ in range(4):
        found = continued(f"{round_}.db", 1 + round_, death=0.04, kill=0.08)
        assert found == expected


def test_worker_processes_give_the_same_retry(tmp_path, generator, monkeypatch):
    """One worker trains trials that see the failures and trials that see the new results."""
    study = a_study(
        MIXED, {"fault": "raise"}, trials=24, sampler=SAMPLERS["tpe"], pruner=PRUNERS["median"]
    )
    begun(study, tmp_path / "begun.db", generator)
    monkeypatch.setenv("CURVES_FIXED", "1")
    found = []
    for jobs in (1, 2):
        shutil.copyfile(tmp_path / "begun.db", tmp_path / f"{jobs}.db")
        found.append(trials_with(study, tmp_path / f"{jobs}.db", jobs))
    shutil.copyfile(tmp_path / "begun.db", tmp_path / "reference.db")
    expected = trials_shuffled(
        study, tmp_path / "reference.db", np.random.default_rng(0), workers=1
    )
    assert found == [expected, expected]


def test_trials_asked_before_a_retry_see_the_failure_and_those_after_it_the_result(
    tmp_path, generator, monkeypatch
):
    study = a_study(
        MIXED, {"fault": "raise"}, trials=30, sampler=SAMPLERS["tpe"], pruner=PRUNERS["median"]
    )
    before, retried = begun(study, tmp_path / "begun.db", generator)
    monkeypatch.setenv("CURVES_FIXED", "1")
    ledger = Ledger(tmp_path / "begun.db")
    contexts = {}

    class Watching(ShuffledEngine):
        def start(self, job):
            contexts[job.trial] = job.pruning
            return super().start(job)

    assert search(study, ledger, Watching(2, generator)) == "finished"
    ledger.close()
    seen = {
        number: {n for n in range(context.known) if context.history[n].state == "failed"}
        for number, context in contexts.items()
    }
    assert any(seen[number] for number in seen if number < len(before))
    for number, failed in seen.items():
        known = {n for n in retried if n < contexts[number].known}
        assert failed == (known if number < len(before) else set())


def test_a_trial_that_fails_again_keeps_all_its_failures(tmp_path, ledger, generator, monkeypatch):
    study = a_study(POINTS, {"fault": "raise"}, trials=8, sampler=SAMPLERS["random"])
    search(study, ledger, ShuffledEngine(2, generator))
    failed = retry_failed(ledger, study.name, 8)
    assert failed
    assert retry_failed(ledger, study.name, 8) == []
    search(study, ledger, ShuffledEngine(2, generator))
    again = ledger.trials(study.name)
    assert [trial.number for trial in again if trial.state == "failed"] == failed
    assert {len(trial.earlier) for trial in again} == {0, 1}
    assert retry_failed(ledger, study.name, failed[-1]) == failed[:-1]
    monkeypatch.setenv("CURVES_FIXED", "1")
    search(study, ledger, ShuffledEngine(2, generator))
    for trial in trials(ledger, study):
        times = (trial["number"] in failed) + (trial["number"] in failed[:-1])
        assert len(trial["outcome"].earlier) == times
        assert (trial["state"] == "failed") == (trial["number"] == failed[-1])


def test_trials_whose_worker_crashed_are_retried_with_their_crashes_forgotten(ledger, generator):
    study = a_study(trials=3)
    engine = ShuffledEngine(1, generator, death=1.0)
    engine.deaths = dict.fromkeys(range(3), -1)  # one more crash than a trial survives
    search(study, ledger, engine)
    assert {t.outcome.error.type for t in ledger.trials(study.name)} == {"WorkerDied"}
    assert retry_failed(ledger, study.name, 3) == [0, 1, 2]
    assert {t.crashes for t in ledger.trials(study.name)} == {0}
    search(study, ledger, ShuffledEngine(1, generator))
    assert [t.state for t in ledger.trials(study.name)] == ["complete"] * 3


def test_a_retry_from_elsewhere_is_checked(ledger, generator):
    study = a_study(POINTS, {"fault": "raise"}, trials=8, sampler=SAMPLERS["random"])
    search(study, ledger, ShuffledEngine(2, generator))
    retry_failed(ledger, study.name, 8)
    search(study, ledger, ShuffledEngine(2, generator))
    check(ledger, study.name)
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET outcome = replace(outcome, ?, ?)", ASKED)
    with pytest.raises(InputError, match="is damaged in the ledger: earlier: a retry began"):
        check(ledger, study.name)


ASKED = ('"asked": 8', '"asked": 9')
