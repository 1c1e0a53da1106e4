"""`retrial export`: what it writes of a recorded trial, and what it refuses."""

import re
import shutil
import sys
import warnings

import numpy as np
import pytest
from onnx_runtime import answers, session
from programs import run_to_end

from nets import data, objective
from nets.model_source import probabilities, restore
from nets.outcome import Model
from nets.settings import Settings, to_json
from studies.cli.main import main
from tracking.models import registry
from tracking.runs.content import log_model
from tracking.runs.reader import find_trial, read_model
from tracking.store import names
from tracking.store.client import files_at, files_of, models_of
from tracking.store.store import open_store, prepare_mlflow

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload``")  # SQLAlchemy's to MLflow

SETTINGS = Settings(architecture="lenet", batch_normalization=True, epochs=1)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", data.default_folder())


@pytest.fixture(scope="module")
def trained(digits):
    """How a training ended, and the digest of the weights that its last epoch reported."""
    digests = []
    outcome = objective(SETTINGS, digits, lambda epoch: digests.append(epoch.digests["weights"]))
    return outcome, digests[-1]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, trained):
    """A store with four trials of digits, the first one also registered; the trials' runs.

    Trial 1 was pruned, trial 2 failed, trial 3 has a model of another kind.
    """
    root = tmp_path_factory.mktemp("recorded") / "mlruns"
    prepare_mlflow()
    with warnings.catch_warnings(action="ignore"):
        # Some of its modules warn of each other while they are imported.
        import mlflow.pyfunc  # noqa: F401

        store = open_store(root)
    client, (outcome, digest) = store.client, trained
    tags = {names.STUDY_TAG: "digits", names.METRIC_TAG: "val_accuracy"}
    experiment = client.create_experiment(
        "digits", store.artifact_location, tags={names.KIND_TAG: names.STUDY_KIND}
    )
    other = Model("", {"factor": np.ones(1)})
    runs = []
    for number, (state, model) in enumerate(
        [
            ("complete", outcome.model),
            ("pruned", outcome.model),
            ("failed", None),
            ("complete", other),
        ]
    ):
        value = None if state == "failed" else 0.9 - number / 10
        of_trial = {
            names.KIND_TAG: names.TRIAL_KIND, names.TRIAL_TAG: str(number), names.STATE_TAG: state
        }  # fmt: skip
        run = client.create_run(
            experiment, run_name=names.trial_run_name(number), tags=tags | of_trial
        )
        run_id = run.info.run_id
        files = {
            names.SETTINGS_FILE: to_json(SETTINGS),
            names.EPOCHS_FILE: [
                {
                    "epoch": 1,
                    "metrics": {} if value is None else {"val_accuracy": value},
                    "digests": {"weights": digest},
                    "seconds": 0.1,
                }
            ],
            names.ENVIRONMENT_FILE: {},
            names.OUTCOME_FILE: {"state": state, "value": value, "epoch": 1},
        }
        files_of(store, run).write(files)
        if value is not None:
            client.log_metric(run_id, names.VALUE_METRIC, value)
        if model is not None:
            model_id = log_model(
                store, experiment, run_id, model,
                name=names.trial_run_name(number), tags={}, params={}, step=1,
            )  # fmt: skip
            if number == 0:
                registry.register(
                    store, "digits", run_id=run_id, model_id=model_id, description="", tags={}
                )
        runs.append(run_id)
    store.close()
    return root, runs


@pytest.fixture
def file(tmp_path):
    return tmp_path / "digits.onnx"


@pytest.fixture
def export(recorded, file):
    """Run the command; returns its exit code."""

    def export(trial, *options, into=file, store=recorded[0]):
        return main(["export", trial, str(into), "--store", str(store), *options])

    return export


def test_the_file_answers_as_the_trial_does_and_says_which_it_is(
    export, file, recorded, trained, digits, capsys
):
    assert export("best", "--study", "digits") == 0
    said = capsys.readouterr()
    place = re.escape(str(file))
    assert said.err == ""
    assert re.fullmatch(
        rf"digits: trial 0, val_accuracy 0\.9, in {place} \(\d+ kB\): "
        r"images uint8 \(n, 8, 8, 1\) -> probabilities \(n, 10\)\n",
        said.out,
    )
    network, full_scale, _ = restore(trained[0].model.arrays)
    expected = probabilities(network, full_scale, digits.test_images)
    np.testing.assert_allclose(answers(file, digits.test_images), expected, rtol=1e-5, atol=1e-6)
    metadata = session(file).get_modelmeta().custom_metadata_map
    assert metadata.pop("retrial.version")
    assert metadata == {
        "retrial.study": "digits",
        "retrial.trial": "0",
        "retrial.run": recorded[1][0],
        "retrial.weights": trained[1],
    }
    assert [path.name for path in file.parent.iterdir()] == ["digits.onnx"]


@pytest.mark.parametrize("name", ["digits", "digits@champion", "digits/1", "RUN"])
def test_a_model_may_be_named_by_its_run_or_as_predict_takes_it(
    name, export, file, recorded, capsys
):
    assert export(recorded[1][0] if name == "RUN" else name) == 0
    assert capsys.readouterr().out.startswith("digits: trial 0, val_accuracy 0.9, in ")


def test_a_pruned_trial_is_reported_as_pruned(export, capsys):
    assert export("1", "--study", "digits") == 0
    assert capsys.readouterr().out.startswith("digits: trial 1 (pruned), val_accuracy 0.8, in ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["2", "--study", "digits"],
            "trial: trial 0002 of digits (failed) has no model, expected a complete or pruned "
            "trial whose objective returns one",
        ),
        (
            ["3", "--study", "digits"],
            "export: the model of trial 3 of digits is not from nets, expected a network of nets, "
            "or a model of a library",
        ),
        (
            ["4", "--study", "digits"],
            "trial: got 4, expected best or a recorded trial of digits: 0 to 3",
        ),
        (["best"], "study: missing, expected --study NAME, or an MLflow run id as trial"),
        (
            ["bets", "--study", "digits"],
            "trial: got 'bets', expected best, a trial number or an MLflow run id",
        ),
        (
            ["digit"],
            "trial: no registered model 'digit', expected best, a trial number, an MLflow run id "
            "or a registered model; did you mean 'digits'?",
        ),
        (
            ["digits/2"],
            "trial: got 'digits/2', expected best, a trial number, an MLflow run id or a "
            "registered model; registered: digits@champion or digits/1",
        ),
    ],
    ids=["failed", "own objective", "number", "no study", "word", "name", "version"],
)
def test_what_has_no_network_is_refused(arguments, message, export, file, capsys):
    assert export(*arguments) == 2
    assert capsys.readouterr().err == f"retrial: {message}\n"
    assert list(file.parent.iterdir()) == []


def test_a_file_is_never_overwritten(export, file, capsys):
    file.write_text("mine")
    assert export("best", "--study", "digits") == 2
    assert capsys.readouterr().err == (f"retrial: export: {file} exists, expected a new file\n")
    assert file.read_text() == "mine"


def test_a_folder_that_is_not_there_is_named(export, file, capsys):
    there = file.parent / "nothing" / "digits.onnx"
    assert export("best", "--study", "digits", into=there) == 2
    assert capsys.readouterr().err == (
        f"retrial: export: cannot write {there}: No such file or directory, expected a file in "
        "a folder this user may write to\n"
    )


def test_a_folder_that_is_no_store_is_not_made_one(export, tmp_path, capsys):
    assert export("best", "--study", "digits", store=tmp_path / "nothing") == 2
    assert (
        "expected a store (--store or RETRIAL_STORE) with trials from `retrial search`"
        in capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_answered_with_the_install_command(export, file, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "tracking.models.onnx", raising=False)
    assert export("best", "--study", "digits") == 2
    assert capsys.readouterr().err == (
        "retrial: export: package onnx not found; install it with: pip install onnx\n"
    )
    assert not file.exists()


# Changed files of a model


@pytest.fixture
def copied(recorded, tmp_path, digits):
    """A copy of the store, the folder of the model of trial 0 in it, and an image."""
    root = tmp_path / "copy" / "mlruns"
    shutil.copytree(recorded[0], root)
    with open_store(root) as store:
        (model,) = models_of(store.client, store.client.get_run(recorded[1][0]))
        folder = files_at(store, model.artifact_location).local
    np.save(tmp_path / "image.npy", digits.test_images[0])
    return root, folder, tmp_path / "image.npy"


@pytest.fixture
def refused(copied, file, capsys):
    """Run `export` and `predict`, which refuse the model; return their messages."""
    root, _, image = copied

    def refused():
        messages = []
        for command in (
            ["export", "best", file, "--study", "digits"],
            ["predict", "digits", image],
        ):
            assert main([*map(str, command), "--store", str(root)]) == 2
            said = capsys.readouterr()
            assert said.out == ""
            assert said.err.count("\n") == 1
            messages.append(said.err)
        assert not file.exists()
        return messages

    return refused


def rewritten(path, **changes):
    """Write an .npz file again, with changed arrays."""
    with np.load(path) as arrays:
        np.savez(path, **{**arrays, **changes})


def flip(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


CHANGES = {
    "one weight": lambda w: rewritten(w, parameters=np.load(w)["parameters"] + np.float32(1e-7)),
    "a scale": lambda w: rewritten(w, full_scale=np.array(17)),
    "names": lambda w: rewritten(w, label_names=np.array(list("abcdefghij"))),
    "a source": lambda w: (w.parents[1] / "model.py").write_text("raise SystemExit('executed')"),
    "an example": lambda w: (w.parents[1] / "input_example.json").write_text("[[[[1]]]]"),
    "an example's end": lambda w: (w.parents[1] / "input_example.json").write_text("[[[[1]"),
    "no source": lambda w: (w.parents[1] / "model.py").unlink(),
    "a byte": lambda w: w.write_bytes(flip(w.read_bytes(), w.stat().st_size // 2)),
    "cut": lambda w: w.write_bytes(w.read_bytes()[:-1000]),
    "no archive": lambda w: w.write_bytes(b"PK\3\4"),
    "objects": lambda w: rewritten(w, settings=np.array([{}])),
    "another type": lambda w: rewritten(w, parameters=np.load(w)["parameters"].astype(np.float64)),
    "another shape": lambda w: rewritten(w, statistics=np.load(w)["statistics"][:-1]),
    "no file": lambda w: w.unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_model_whose_files_were_changed_is_not_used(change, copied, refused):
    change(copied[1] / "artifacts" / "weights.npz")
    exported, predicted = refused()
    form = (
        r"retrial: {}: (cannot read the model of {} \(.+\), expected a model that retrial recorded"
        r"|the files of the model of {} have been changed: got [0-9a-f]{{64}}, expected those with "
        r"the SHA-256 [0-9a-f]{{64}} \(tag retrial.content\))\n"
    )
    assert re.fullmatch(form.format("trial", *["trial 0000 of digits"] * 2), exported)
    assert re.fullmatch(form.format("model", *["digits/1"] * 2), predicted)


def test_the_model_of_another_trial_is_not_used(copied, recorded, refused, trained):
    root, folder, _ = copied
    other = dict(trained[0].model.arrays)
    other["parameters"] = other["parameters"][::-1].copy()
    with open_store(root) as store:
        experiment = store.client.get_experiment_by_name("digits").experiment_id
        run_id = store.client.create_run(experiment).info.run_id
        model_id = log_model(
            store, experiment, run_id, Model(trained[0].model.source, other),
            name="other", tags={}, params={}, step=1,
        )  # fmt: skip
        there = files_at(store, store.client.get_logged_model(model_id).artifact_location).local
    shutil.rmtree(folder)
    shutil.copytree(there, folder)
    for message in refused():
        assert "have been changed: got " in message


def test_a_description_that_only_mlflow_reads_changes_no_answer(copied, file, capsys):
    root, folder, image = copied
    (folder / "MLmodel").write_text("{")
    for command in (["export", "best", file, "--study", "digits"], ["predict", "digits", image]):
        assert main([*map(str, command), "--store", str(root)]) == 0
    assert capsys.readouterr().err == ""


def test_a_record_without_the_digest_of_the_model_has_that_of_the_weights(
    copied, recorded, refused, trained, capsys
):
    root, folder, image = copied
    with open_store(root) as store:
        (model,) = models_of(store.client, store.client.get_run(recorded[1][0]))
        store.client.delete_logged_model_tag(model.model_id, names.CONTENT_TAG)
        store.client.set_tag(recorded[1][0], names.WEIGHTS_TAG, trained[1])
        store.client.set_model_version_tag("digits", "1", names.WEIGHTS_TAG, trained[1])
    assert main(["predict", "digits", str(image), "--store", str(root)]) == 0
    assert capsys.readouterr().err == ""
    weights = folder / "artifacts" / "weights.npz"
    rewritten(weights, parameters=np.load(weights)["parameters"] + np.float32(1e-3))
    for message in refused():
        assert f"expected those with the SHA-256 {trained[1]} (tag retrial.weights)\n" in message


# From a search to a runtime, as programs

STUDY = """
[study]
name = "small"
trials = 3
window = 3

[data]
name = "digits"
validation = 360

[network]
architecture = "lenet"
batch_normalization = true

[training]
epochs = 2

[space]
learning_rate = { low = 3e-3, high = 3e-2, log = true }
dropout = { low = 0.1, high = 0.5 }
"""

ELSEWHERE = """
import sys
import numpy
import onnxruntime
images, file, answers = sys.argv[1:]
session = onnxruntime.InferenceSession(file)
numpy.save(answers, session.run(None, {"images": numpy.load(images)})[0])
assert not {"nets", "tracking", "studies", "mlflow", "onnx"} & sys.modules.keys()
"""


@pytest.mark.slow
def test_best_trial_of_a_search_and_its_champion_run_elsewhere(digits, tmp_path):
    def command(*arguments):
        done = run_to_end([sys.executable, *arguments])
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def retrial(*arguments):
        there = ("--store", tmp_path / "store", "--data", data.default_folder())
        return command("-m", "studies.cli.main", *arguments, *there)

    (tmp_path / "small.toml").write_text(STUDY)
    np.save(tmp_path / "images.npy", digits.test_images)
    retrial("search", tmp_path / "small.toml", "--jobs", 2)
    retrial("confirm", "small", "--top", 1, "--seeds", 2, "--jobs", 2)
    files = {"best.onnx": ("best", "--study", "small"), "champion.onnx": ("small@champion",)}
    for name, trial in files.items():
        what = "trial" if name == "best.onnx" else "champion with the settings of trial"
        assert retrial("export", trial[0], tmp_path / name, *trial[1:]).startswith(
            f"small: {what} "
        )
        command("-c", ELSEWHERE, *(tmp_path / f for f in ("images.npy", name, f"{name}.npy")))

    store = open_store(tmp_path / "store")
    for name in files:
        metadata = session(tmp_path / name).get_modelmeta().custom_metadata_map
        trial = find_trial(store, "small", metadata["retrial.run"])
        assert metadata["retrial.weights"] == trial.epochs[-1].digests["weights"]
        network, full_scale, _ = restore(read_model(store, trial))
        expected = probabilities(network, full_scale, digits.test_images)
        found = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    store.close()
