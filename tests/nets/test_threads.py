"""Threads: how many, and BLAS at one."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from nets import threads
from nets.data import Dataset
from nets.errors import InputError
from nets.objective import objective
from nets.settings import Settings


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_without_a_word_there_is_one():
    assert threads.count() == 1


def test_inside_use_there_are_as_many_as_asked_for():
    with threads.use(3):
        assert threads.count() == 3
        with threads.use(2):
            assert threads.count() == 2
        assert threads.count() == 3
    assert threads.count() == 1


def test_inside_use_blas_has_one():
    with threads.use(2), threads.pinned():
        assert blas_threads() == {1}


def test_fewer_than_one_is_refused():
    with pytest.raises(InputError, match=r"^threads must be at least 1, got 0$"), threads.use(0):
        pass


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_team_does_every_share_and_keeps_their_order(size):
    assert threads.Team(size).run(lambda thread: thread * thread) == [i * i for i in range(size)]


def test_a_team_computes_under_the_callers_error_state():
    with np.errstate(divide="ignore"):
        states = threads.Team(3).run(lambda thread: np.geterr()["divide"])
    assert states == ["ignore"] * 3


@pytest.mark.parametrize("guilty", [0, 2])
def test_an_error_in_a_share_reaches_the_caller_once_all_have_finished(guilty):
    finished = []

    def work(thread):
        if thread == guilty:
            raise ValueError(f"share {thread}")
        finished.append(thread)

    with pytest.raises(ValueError, match=f"^share {guilty}$"):
        threads.Team(3).run(work)
    assert sorted(finished) == [thread for thread in range(3) if thread != guilty]


def test_a_training_is_the_same_to_the_bit_with_any_number_of_threads(generator):
    images = generator.integers(256, size=(70, 28, 28, 1), dtype=np.uint8)
    labels = generator.integers(10, size=70, dtype=np.uint8)
    data = Dataset(
        name="noise", images=images, labels=labels, test_images=images[:1],
        test_labels=labels[:1], classes=10, full_scale=255,
    )  # fmt: skip
    settings = Settings(
        architecture="deep_convnet", dropout=0.5, epochs=2, batch_size=48, validation=10
    )
    epochs = []
    for count in (1, 2):
        with threads.use(count):
            objective(settings, data, epochs.append)
    digests = [epoch.digests for epoch in epochs]
    metrics = [epoch.metrics for epoch in epochs]
    assert digests[:2] == digests[2:]
    assert metrics[:2] == metrics[2:]
