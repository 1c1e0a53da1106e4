"""The verdict on real trials when one thing has really changed, each in other processes."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from programs import run_to_end

from tracking.provenance.environment import capture
from tracking.store import names
from tracking.store.store import open_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload``"),  # SQLAlchemy's to MLflow
]

ROOT = Path(__file__).parents[3]
OTHER_NUMPY = "2.3.5"
COMMAND = "from studies.cli.main import main; import sys; sys.exit(main())"
CHANGED_PIXEL = """
from nets.data import digits
from nets.data.dataset import content_sha256

read = digits.read

def changed():
    arrays = read()
    arrays["images"][5, 3, 3] ^= 1
    return arrays

digits.read = changed
digits.SHA256 = content_sha256(changed())
"""


def retrial(*arguments, store, before="", code=ROOT, **environment):
    """Run a command in a fresh process, after the statements `before`; returns code and output."""
    done = run_to_end(
        [sys.executable, "-c", f"{before}\n{COMMAND}", *arguments, "--store", store],
        env={**os.environ, **environment}, cwd=code,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with three recorded trials."""
    store = tmp_path_factory.mktemp("recorded") / "store"
    code, _, errors = retrial("search", "digits", "--trials", "3", "--jobs", "2", store=store)
    assert (code, errors) == (0, "")
    return store


@pytest.fixture
def again(store):
    """Reproduce a few epochs of trial 1; returns exit code and verdict."""

    def reproduce(*more, **options):
        command = ["reproduce", "1", "--study", "digits", "--at", "3", "--json", *more]
        code, output, errors = retrial(*command, store=store, **options)
        assert output, errors
        return code, json.loads(output)

    return reproduce


def test_nothing_has_changed(again):
    code, verdict = again()
    assert (code, verdict["verdict"], verdict["differences"]) == (0, "exact", [])


def test_threads_that_the_user_asks_blas_for_change_nothing(again):
    code, verdict = again(OPENBLAS_NUM_THREADS="2")
    assert (code, verdict["verdict"], verdict["differences"]) == (0, "exact", [])


def test_another_seed(store):
    client = open_store(store).client
    (run,) = client.search_runs(
        [client.get_experiment_by_name("digits").experiment_id], f"tags.`{names.TRIAL_TAG}` = '1'"
    )
    path = Path(run.info.artifact_uri) / names.SETTINGS_FILE
    before = path.read_text("utf-8")
    settings = json.loads(before)
    path.write_text(json.dumps({**settings, "seed": settings["seed"] + 1}), "utf-8")
    code, output, errors = retrial("reproduce", run.info.run_id, store=store)
    path.write_text(before, "utf-8")
    assert (code, output) == (2, "")
    assert errors == (
        f"retrial: trial: run {run.info.run_id} (trial 0001) is damaged: settings.json has seed "
        f"{settings['seed'] + 1}, its run {settings['seed']}; it cannot be judged or used\n"
    )


@pytest.fixture
def code(tmp_path):
    """A copy of the packages, to change something in."""
    for package in ("nets", "studies", "tracking"):
        shutil.copytree(ROOT / package, tmp_path / "code" / package)
    return tmp_path / "code"


def edited(path, before, after):
    text = path.read_text("utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, after), "utf-8")


def with_a_word_more(code):
    path = code / "nets" / "kernels" / "rectifier.py"
    path.write_text(path.read_text("utf-8") + "# a word\n", "utf-8")


def test_code_of_a_layer_that_computes_something_else(code, again):
    rectifier = code / "nets" / "kernels" / "rectifier.py"
    edited(rectifier, "np.multiply(self.dy, self.mask,", "np.multiply(self.dy, 1.01 * self.mask,")
    exit_code, verdict = again(code=code)
    assert (exit_code, verdict["verdict"], verdict["epoch"]) == (1, "diverged", 1)
    (cause,) = verdict["differences"][1:]
    assert cause.startswith("code: nets ")


def test_code_that_computes_the_same_is_exact_and_named(code, again):
    with_a_word_more(code)
    exit_code, verdict = again(code=code)
    assert (exit_code, verdict["verdict"]) == (0, "exact")
    (cause,) = verdict["differences"]
    assert cause.startswith("code: nets ")


def test_changed_code_reproduces_a_trial_with_the_recorded_code(code, again):
    rectifier = code / "nets" / "kernels" / "rectifier.py"
    edited(rectifier, "np.multiply(self.dy, self.mask,", "np.multiply(self.dy, 1.01 * self.mask,")
    exit_code, verdict = again("--recorded-code", code=code)
    assert (exit_code, verdict["verdict"], verdict["differences"]) == (0, "exact", [])


def test_where_code_differs_the_command_with_the_recorded_code_is_shown(code, store):
    with_a_word_more(code)
    command = ["reproduce", "1", "--study", "digits"]
    exit_code, output, errors = retrial(*command, "--at", "1", store=store, code=code)
    assert (exit_code, errors) == (0, "")
    said, _, suggested = output.splitlines()[-1].partition(": ")
    assert said == "with the recorded code"
    assert suggested == f"retrial {' '.join(command)} --recorded-code --store {store}"


def test_a_record_without_its_code_says_so(code, store, tmp_path):
    with_a_word_more(code)
    other = tmp_path / "store"
    search = retrial("search", "digits", "--trials", "1", store=other, code=code)
    assert search[0] == 0, search[2]
    for archive in other.rglob("code/*.zip"):
        archive.unlink()
    command = ["reproduce", "0", "--study", "digits"]
    exit_code, output, errors = retrial(*command, "--at", "1", store=other)
    assert (exit_code, errors) == (0, "")
    assert output.splitlines()[-1].startswith("  code: nets was ")  # no command that is refused
    exit_code, _, errors = retrial(*command, "--recorded-code", store=other)
    assert exit_code == 2
    assert "does not have the code of trial 0 (nets " in errors
    assert "expected a trial whose driver had the code it was trained with" in errors


def test_one_pixel_of_the_data(tmp_path, again):
    code, verdict = again(before=CHANGED_PIXEL, XDG_CACHE_HOME=str(tmp_path))
    assert (code, verdict["verdict"], verdict["epoch"]) == (1, "diverged", 1)
    (cause,) = verdict["differences"][1:]
    assert cause.startswith("data: digits ")


def test_one_pixel_of_the_cached_data_is_noticed_and_mended(tmp_path, again):
    assert again(XDG_CACHE_HOME=str(tmp_path))[1]["verdict"] == "exact"
    (path,) = tmp_path.rglob("images.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    code, verdict = again(XDG_CACHE_HOME=str(tmp_path))
    assert (code, verdict["verdict"], verdict["differences"]) == (0, "exact", [])


def test_another_kernel_of_the_blas(again):
    here = capture().blas.kernel
    kernel = "Haswell" if here != "Haswell" else "Sandybridge"
    code, verdict = again(OPENBLAS_CORETYPE=kernel)
    assert (code, verdict["verdict"] in ("exact", "close")) == (0, True)
    assert f"kernel: BLAS kernel was {here}, is {kernel}" in verdict["differences"]


def test_another_numpy(tmp_path, again):
    here = capture().versions["numpy"]
    installed = run_to_end(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:",
            "--disable-pip-version-check", "--target", str(tmp_path), f"numpy=={OTHER_NUMPY}",
        ]
    )  # fmt: skip
    if installed.returncode:
        pytest.skip(f"numpy {OTHER_NUMPY} cannot be installed: {installed.stderr.strip()[-200:]}")
    code, verdict = again(PYTHONPATH=str(tmp_path))
    assert (code, verdict["verdict"] in ("exact", "close")) == (0, True)
    assert f"versions: NumPy was {here}, is {OTHER_NUMPY}" in verdict["differences"]


def test_a_run_that_was_made_by_hand_is_refused(store):
    client = open_store(store).client
    experiment = client.get_experiment_by_name("digits").experiment_id
    run = client.create_run(experiment, run_name="by hand")
    client.log_metric(run.info.run_id, "val_accuracy", 0.99)
    client.set_terminated(run.info.run_id)
    code, output, errors = retrial("reproduce", run.info.run_id, store=store)
    assert (code, output) == (2, "")
    assert errors == (
        f"retrial: trial: retrial did not record run {run.info.run_id} (by hand), which lacks the "
        "settings and the exact values of its epochs, expected the run of a trial\n"
    )
