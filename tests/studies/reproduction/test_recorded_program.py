"""A trial that is tried again with the recorded code: another process, which ends with ours."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import drivers
import psutil
import pytest
from drivers import Driver, until, write_study

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
    """`retrial reproduce --recorded-code`, in a process group of its own, when it trains."""
    path = os.pathsep.join(
        [str(Path(drivers.__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    process = subprocess.Popen(
        [
            sys.executable, "-m", "studies.cli.main", "reproduce", "0", "--study", "curves",
            "--recorded-code", "--store", str(store),
        ],
        env={**os.environ, "PYTHONPATH": path}, process_group=0,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    process.kill()
    process.communicate()


def program_of_the_record(process):
    """Wait until it has been started."""

    def look():
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.Error):  # others come and go
                if "contextlib" in " ".join(child.cmdline()):
                    return child
        return None

    return until(look)


def test_control_c_at_its_start_ends_both_with_one_sentence(again):
    program = program_of_the_record(again)
    os.killpg(again.pid, signal.SIGINT)
    _, errors = again.communicate(timeout=60)
    assert (again.returncode, errors) == (130, "interrupted: no verdict was recorded\n")
    assert not program.is_running()


def test_an_interrupt_of_the_driver_alone_ends_both_while_a_worker_trains(again):
    program = program_of_the_record(again)
    assert again.stdout.readline().startswith("curves: trial 0 (complete)")
    until(program.children)
    again.send_signal(signal.SIGINT)
    _, errors = again.communicate(timeout=60)
    assert (again.returncode, errors) == (130, "interrupted: no verdict was recorded\n")
    assert not program.is_running()


def test_a_program_that_was_killed_is_a_failure_and_said(again):
    program_of_the_record(again).kill()
    _, errors = again.communicate(timeout=30)
    assert again.returncode == 1
    assert errors == "retrial: the program of the record was ended by SIGKILL\n"


def test_a_driver_that_was_killed_takes_the_program_with_it(again):
    program = program_of_the_record(again)
    again.stdout.readline()
    again.kill()
    psutil.wait_procs([program], timeout=10)
    assert not program.is_running()
