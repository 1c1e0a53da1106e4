"""Studies of libraries' models: the same with any number of jobs, after any kill, and once more.

Searched are the examples of the documentation, with every epoch and every file of every model.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest
from chaos import EXAMPLES, FAULTS, LIBRARIES, Chaos, contents, named
from drivers import Driver
from programs import run_to_end

ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload``"),  # SQLAlchemy's to MLflow
]


@pytest.fixture(scope="module", params=LIBRARIES)
def example(request, tmp_path_factory):
    """A folder with an example, and with a store in which two processes have searched it."""
    library = LIBRARIES[request.param]
    if importlib.util.find_spec(library) is None:
        extra = "sklearn" if library == "skops" else library
        pytest.skip(f"needs {library}: pip install 'retrial-studies[{extra}]'")
    folder = tmp_path_factory.mktemp(request.param)
    path = Path(shutil.copy(EXAMPLES / f"{request.param}.py", folder))
    searched(path, folder / "store", jobs=2)
    return path


def searched(path, store, *, jobs):
    code, _, errors = Driver(path, store, "--jobs", str(jobs)).finish()
    assert (code, errors) == (0, "")
    return contents(store, named(path.stem))


def reproduced(path, *options, folder):
    store = path.parent / "store"
    command = ["reproduce", "best", "--study", path.stem, "--store", store, *options]
    place = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = run_to_end(
        [sys.executable, "-m", "studies.cli.main", *command],
        cwd=folder, env={**os.environ, "PYTHONPATH": place},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_any_number_of_jobs_gives_the_same_epochs_and_models(example, tmp_path):
    expected = contents(example.parent / "store", named(example.stem))
    assert "model." in str(expected["MLflow"])
    for jobs in (1, 4):
        assert searched(example, tmp_path / str(jobs), jobs=jobs) == expected


def test_any_kill_leaves_the_same_epochs_and_models(example, tmp_path, generator):
    chaos = Chaos(tmp_path, generator, kinds=[example.stem])
    chaos.until(kills=4)  # 20 of each have passed; a restart with a library takes seconds
    print(chaos.counts)
    assert (chaos.problems, {chaos.counts[fault] for fault in FAULTS}) == ([], {0})


def test_the_best_trial_is_reproduced_here_and_elsewhere_from_the_recorded_code(example, tmp_path):
    assert "exact: all metrics and digests of" in reproduced(example, folder=example.parent)
    assert "exact: all metrics and digests of" in reproduced(
        example, "--recorded-code", folder=tmp_path
    )
