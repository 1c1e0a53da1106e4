"""What Ctrl-C and SIGTERM mean, before, while and after a search runs."""

import os
import signal

import pytest

from studies.search.interrupts import Interrupts


class Search:
    """Counts the requests to stop."""

    def __init__(self):
        self.is_over = False
        self.stops = 0

    def stop(self):
        self.stops += 1


@pytest.fixture
def interrupts():
    with Interrupts() as interrupts:
        yield interrupts


def interrupt(number=signal.SIGINT):
    os.kill(os.getpid(), number)


def test_before_there_is_a_search_the_first_one_ends_the_command(interrupts):
    with pytest.raises(KeyboardInterrupt):
        interrupt()


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_first_stops_the_search_and_the_second_breaks_it_off(interrupts, second):
    interrupts.search = Search()
    interrupt()
    assert interrupts.search.stops == 1
    with pytest.raises(KeyboardInterrupt):
        interrupt(second)


@pytest.mark.parametrize("broken_off", [False, True])
def test_a_record_that_is_being_finished_is_stopped_by_the_next_and_broken_off_by_one_more(
    interrupts, broken_off
):
    interrupts.search = Search()
    interrupt()
    if broken_off:
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    interrupts.search.is_over = True
    assert not interrupts.stops_recording
    interrupt()
    assert interrupts.stops_recording
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_handlers_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
