"""What a command says while it waits for the recorder."""

import pytest
from stored_studies import a_definition, a_search

from studies.recording.remaining import Remaining


class Clock:
    """A clock that only the test advances."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def stored(ledger):
    """A study of six finished trials and a running one, none of which is recorded."""
    return a_search(ledger, a_definition(), ["complete", "failed", "pruned"] * 2 + ["running"])


def test_it_counts_finished_trials_and_estimates_from_the_speed_so_far(ledger, stored):
    clock = Clock()
    remaining = Remaining(ledger.path, stored.study.name, clock)
    assert remaining.line() == "recording: 0 of 6 trials are in MLflow"
    for number in range(2):
        ledger.mark_recorded(stored.study.name, number, state=stored.trials[number].state)
    ledger.mark_recorded(stored.study.name, 6, state="running")
    clock.now = 10.0
    assert remaining.line() == "recording: 2 of 6 trials are in MLflow, about 20.0 s left"
    assert remaining.line("MLflow: no answer") == (
        "recording: 2 of 6 trials are in MLflow; MLflow: no answer"
    )


def test_a_ledger_that_cannot_be_read_costs_only_the_numbers(tmp_path):
    assert Remaining(tmp_path / "ledger.db", "curves").line() == "recording…"
