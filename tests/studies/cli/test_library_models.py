"""`retrial predict` and `retrial export` with a model of a library."""

import numpy as np
import pytest
from library_models import X, made
from trial_writer import DEFINITION, ENVIRONMENT, STUDY, Trials

from nets.outcome import Model
from studies.cli.main import main
from studies.objective.models import loaded, saved
from tracking.ledger import Ledger
from tracking.models import registry
from tracking.runs.reader import find_trial, logged_model
from tracking.runs.recorder import Recorder
from tracking.store import names
from tracking.store.store import open_store, prepare_mlflow

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload``"),  # SQLAlchemy's to MLflow
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

FOLDER = Model("", {}, {"MLmodel": b"flavors: {}\n", "data/a.bin": b"1"}, "mlflow")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A store with two trials: a support vector classifier, also registered, and a folder."""
    root = tmp_path_factory.mktemp("recorded") / "mlruns"
    prepare_mlflow()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracking.figures.curves.curves_png", lambda *_: b"png")
        with Ledger(root / names.LEDGER) as ledger:
            ledger.add_study(STUDY, DEFINITION, ENVIRONMENT)
            trials = Trials(ledger)
            for number, model in enumerate([saved(made("svc")[0], X[:4]), FOLDER]):
                trials.model = lambda model=model: model
                trials.whole(number)
        recorder = Recorder(root / names.LEDGER, root, STUDY, ENVIRONMENT)
        recorder.start()
        recorder.finish("finished")
    with open_store(root) as store:
        recorded = find_trial(store, STUDY, 0)
        registry.register(
            store, STUDY, run_id=recorded.run_id, description="", tags={},
            model_id=logged_model(store, recorded).model_id,
        )  # fmt: skip
    return root


def test_predict_refers_to_python(root, tmp_path, capsys):
    (tmp_path / "image.png").touch()
    assert main(["predict", STUDY, str(tmp_path / "image.png"), "--store", str(root)]) == 2
    assert capsys.readouterr().err == (
        "retrial: model: digits/1 is a model of scikit-learn, which retrial cannot apply to "
        "images; load it in Python: studies.load_model('digits')\n"
    )


@pytest.mark.parametrize("which", [["0", "--study", STUDY], [STUDY]])
def test_export_copies_the_file_of_the_model(root, tmp_path, capsys, which):
    file = tmp_path / "best.skops"
    trial, *options = which
    assert main(["export", trial, str(file), "--store", str(root), *options]) == 0
    said = capsys.readouterr().out
    assert said.startswith("digits: trial 0, val_accuracy 0.")
    assert said.endswith(" kB): a model of scikit-learn\n")
    model, answers = made("svc")
    again = loaded(Model("", {}, {"model.skops": file.read_bytes()}, "sklearn"))
    np.testing.assert_array_equal(answers(again), answers(model))


def test_export_refuses_another_extension_and_writes_nothing(root, tmp_path, capsys):
    file = tmp_path / "best.onnx"
    assert main(["export", "0", str(file), "--study", STUDY, "--store", str(root)]) == 2
    assert capsys.readouterr().err == (
        f"retrial: export: got {str(file)!r} for a model of scikit-learn, expected a file named "
        "*.skops\n"
    )
    assert not file.exists()


def test_export_refuses_a_folder_of_several_files(root, tmp_path, capsys):
    file = tmp_path / "best.bin"
    assert main(["export", "1", str(file), "--study", STUDY, "--store", str(root)]) == 2
    assert (
        "export: the model of trial 1 of digits is a folder of 2 files, expected a model of one "
        "file; MLflow's page of run " in capsys.readouterr().err
    )
    assert not file.exists()
