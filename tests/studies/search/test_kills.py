"""Killed anywhere: at least 60 times, at moments nobody chose, and nothing is different.

`chaos` describes what happens to the searches; ``python -m benchmarks.chaos`` does it for longer.
"""

import signal

import pytest
from chaos import FAULTS, Chaos, client_of, contents, runs_of
from drivers import Driver, write_study
from waiting import wait_until_ended

from studies.definition import study_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload``"),  # SQLAlchemy's to MLflow
]


def test_studies_killed_everywhere_are_the_undisturbed_ones(tmp_path, generator):
    chaos = Chaos(tmp_path, generator)
    chaos.until(kills=60)
    print(chaos.counts)
    assert (chaos.problems, {chaos.counts[fault] for fault in FAULTS}) == ([], {0})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The file of a study whose epochs take their time, and the store of a search of it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = write_study(folder, trials=16, delay=0.1)
    assert Driver(path, folder / "store", "--jobs", "2").finish()[0] == 0
    return path, folder / "store"


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT] * 2])
def test_interrupted_search_leaves_no_run_running_and_continues(signals, undisturbed, tmp_path):
    path, another_store = undisturbed
    store = tmp_path / "store"
    driver = Driver(path, store, "--jobs", "2", checkpoints=0)
    driver.wait_for_trial()
    for number in signals:
        driver.signal(number)
        driver.error_line()  # it has received the signal
    children = driver.children()
    code, _, _ = driver.finish()
    assert code == 130
    wait_until_ended(children)
    study = study_file.read(path)
    statuses = [run.info.status for run in runs_of(client_of(store), study)]
    assert "RUNNING" not in statuses
    assert "KILLED" in statuses
    code, _, errors = Driver(path, store, "--jobs", "2").finish()
    assert (code, errors) == (0, "")
    assert contents(store, study) == contents(another_store, study)


def test_driver_killed_while_it_writes_its_last_lines_leaves_no_run_running(tmp_path, generator):
    """The last trial is recorded, the study's own run is not ended yet: it must be continued."""
    path = write_study(tmp_path, trials=3, epochs=2)
    store = tmp_path / "store"
    for _ in range(12):
        driver = Driver(path, store, "--jobs", "2")
        for _ in range(3):
            driver.line()
        if driver.ends_within(generator.uniform(0.0, 6.0)):
            break
        driver.kill_alone()
    code, _, errors = Driver(path, store, "--jobs", "2").finish()
    assert (code, errors) == (0, "")
    runs = runs_of(client_of(store), study_file.read(path))
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
