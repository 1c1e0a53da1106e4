"""Up to which epoch a trial is trained when it is reproduced."""

import pytest

from studies.reproduction.rerun import train
from studies.workers.messages import Job


def a_job(epochs):
    return Job(
        trial=0, attempt=1, objective="curves:climb", settings_class="curves:Curve",
        settings={"epochs": epochs, "seed": 1}, data=None, pruning=None, metric="value",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("epochs", "to_the_end", "trained", "has_ended"),
    [
        (5, False, [1, 2, 3], False),  # a pruned trial: as far as it is recorded
        (3, True, [1, 2, 3], True),
        (5, True, [1, 2, 3, 4], False),  # it goes on, which is a difference
        (2, True, [1, 2], True),
    ],
)
def test_training_ends_where_the_record_does_or_one_epoch_later(
    epochs, to_the_end, trained, has_ended
):
    found, outcome, imported, _ = train(a_job(epochs), 3, {}, to_the_end=to_the_end)
    assert [epoch.number for epoch in found] == trained
    assert (outcome is not None) == has_ended
    assert outcome is None or outcome.error is None
    assert imported is None
