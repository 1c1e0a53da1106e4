"""A trial reproduced with its recorded code: in another process, which ends with the command."""

import contextlib
import os
import signal

import psutil
import pytest
from drivers import OBJECTIVES_PATH, Driver, write_study
from programs import Program
from waiting import has_ended, until, wait_until_ended

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload``"),  # SQLAlchemy's to MLflow
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with a trial that takes seconds."""
    folder = tmp_path_factory.mktemp("slow")
    study = write_study(folder, trials=1, epochs=30, delay=0.1)
    code, _, errors = Driver(study, folder / "store", "--jobs", "1").finish()
    assert (code, errors) == (0, "")
    return folder / "store"


@pytest.fixture
def again(store):
    """`retrial reproduce --recorded-code`, running in another process group."""
    return Program(
        "-m", "studies.cli.main", "reproduce", "0", "--study", "curves", "--recorded-code",
        "--store", store, PYTHONPATH=OBJECTIVES_PATH,
    )  # fmt: skip


def program_of_the_record(process):
    """Wait until it has been started."""

    def look():
        assert not has_ended(process.pid), process.lines
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.Error):  # others come and go
                if "recorded_program_main" in " ".join(child.cmdline()):
                    return child
        return None

    return until(look, "the program of the record")


def test_control_c_at_its_start_ends_both_with_one_sentence(again):
    program = program_of_the_record(again)
    os.killpg(again.pid, signal.SIGINT)
    code, _, errors = again.finish()
    assert (code, errors) == (130, "interrupted: no verdict was recorded\n")
    assert has_ended(program)


def test_an_interrupt_of_the_driver_alone_ends_both_while_a_worker_trains(again):
    program = program_of_the_record(again)
    assert again.line().startswith("curves: trial 0 (complete)")
    until(program.children)
    again.signal(signal.SIGINT)
    code, _, errors = again.finish()
    assert (code, errors) == (130, "interrupted: no verdict was recorded\n")
    assert has_ended(program)


def test_a_program_that_was_killed_is_a_reported_failure(again):
    program_of_the_record(again).kill()
    code, _, errors = again.finish()
    assert code == 1
    assert errors == "retrial: the recorded program was ended by SIGKILL\n"


def test_a_driver_that_was_killed_takes_the_program_with_it(again):
    program = program_of_the_record(again)
    again.line()
    again.signal(signal.SIGKILL)
    wait_until_ended([program])
