"""When a study ends before its last trial."""

import pytest
from searches import ShuffledEngine, a_study, search, trials, trials_shuffled

from studies.definition.study_section import Stop
from studies.search.stopping import met, same_failure
from studies.workers.messages import Result
from tracking.records import Failure, SamplerAttributes, TrialOutcome, TrialRecord


def up(one, other):
    return one > other


def down(one, other):
    return one < other


@pytest.mark.parametrize(
    ("values", "patience", "min_delta", "better", "expected"),
    [
        ([], 1, 0.0, up, False),
        ([0.5], 1, 0.0, up, False),
        ([0.5, 0.4], 1, 0.0, up, True),
        ([0.5, 0.4, 0.6], 2, 0.0, up, False),
        ([0.5, 0.4, 0.5], 2, 0.0, up, True),  # equal is no improvement
        ([0.5, 0.55, 0.58], 2, 0.1, up, True),  # small steps are none either
        ([0.5, 0.55, 0.61], 2, 0.1, up, False),
        ([0.5, 0.6, 0.4], 1, 0.0, down, False),
        ([0.5, 0.6, 0.7], 2, 0.0, down, True),
        ([None, None], 2, 0.0, up, True),  # nothing but pruned trials
    ],
)
def test_stop_rule_is_met_after_trials_without_improvement(
    values, patience, min_delta, better, expected
):
    results = [Result("pruned" if v is None else "complete", v, {}, {}) for v in values]
    rule = Stop(patience=patience, min_delta=min_delta)
    assert met(rule, results, better) is expected


def failed(kind, place):
    outcome = TrialOutcome(error=Failure(kind, "", place))
    return TrialRecord("s", 0, "failed", {}, {}, SamplerAttributes(), 0.0, outcome=outcome)


DONE = TrialRecord("s", 0, "complete", {}, {}, SamplerAttributes(), 0.0)


@pytest.mark.parametrize(
    ("first", "same"),
    [
        ([], False),
        ([failed("A", "x:1"), None], False),
        ([failed("A", "x:1"), DONE], False),
        ([failed("A", "x:1"), failed("A", "x:2")], False),
        ([failed("A", "x:1"), failed("B", "x:1")], False),
        ([failed("A", "x:1"), failed("A", "x:1")], True),
    ],
)
def test_failures_are_the_same_with_one_type_at_one_place(first, same):
    assert (same_failure(first) is not None) is same


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_study_that_does_not_improve_ends_with_the_same_trials(workers, tmp_path, generator):
    study = a_study(trials=60, stop={"patience": 6, "min_delta": 0.02})
    found = trials_shuffled(study, tmp_path / "one.db", generator, workers=workers)
    reference = trials_shuffled(study, tmp_path / "two.db", generator, workers=1)
    assert found == reference
    assert 6 + 4 <= len(found) < 60


@pytest.mark.parametrize("workers", [1, 2, 4, 7])
def test_study_whose_first_trials_fail_alike_has_exactly_these(workers, ledger, generator):
    """However many workers are free: beyond the window nothing is asked while all have failed."""
    study = a_study(settings={"fault": "always"}, trials=30, window=4)
    assert search(study, ledger, ShuffledEngine(workers, generator)) == "failed"
    assert [t["state"] for t in trials(ledger, study)] == ["failed"] * 4


def test_study_shorter_than_its_window_stops_when_all_its_trials_fail(ledger, generator):
    study = a_study(settings={"fault": "always"}, trials=2, window=4)
    assert search(study, ledger, ShuffledEngine(2, generator)) == "failed"


def test_study_goes_on_when_some_of_its_first_trials_come_out(ledger, generator):
    study = a_study(settings={"fault": "raise"}, trials=20, window=4)
    assert search(study, ledger, ShuffledEngine(3, generator)) == "finished"
    states = [t["state"] for t in trials(ledger, study)]
    assert len(states) == 20
    assert 0 < states.count("failed") < 20
