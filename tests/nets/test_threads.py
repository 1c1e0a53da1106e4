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


def test_default_is_one_thread():
    assert threads.count() == 1


def test_use_sets_the_number_of_threads_inside_its_block():
    with threads.use(3):
        assert threads.count() == 3
        with threads.use(2):
            assert threads.count() == 2
        assert threads.count() == 3
    assert threads.count() == 1


def test_blas_has_one_thread_inside_use():
    with threads.use(2), threads.pinned():
        assert blas_threads() == {1}


def test_fewer_than_one_thread_is_refused():
    with pytest.raises(InputError) as error, threads.use(0):
        pass
    assert (error.value.key, error.value.received) == ("threads", 0)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_team_returns_the_results_in_order(size):
    assert threads.Team(size).run(lambda thread: thread * thread) == [i * i for i in range(size)]


def test_a_team_computes_with_the_callers_error_state():
    with np.errstate(divide="ignore"):
        states = threads.Team(3).run(lambda thread: np.geterr()["divide"])
    assert states == ["ignore"] * 3


@pytest.mark.parametrize("failing", [0, 2])
def test_an_error_in_a_thread_propagates_after_all_have_finished(failing):
    finished = []

    def work(thread):
        if thread == failing:
            raise ValueError(f"share {thread}")
        finished.append(thread)

    with pytest.raises(ValueError, match=f"^share {failing}$"):
        threads.Team(3).run(work)
    assert sorted(finished) == [thread for thread in range(3) if thread != failing]


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
