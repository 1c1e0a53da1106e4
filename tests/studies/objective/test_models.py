"""A library's model as files and back: equal answers, equal bytes, no pickle, clear refusals."""

import builtins
import json
import pickle
import sys
import zipfile
from io import BytesIO

import numpy as np
import pytest
from library_models import MODELS, X, made, needs
from programs import run_to_end

from nets.errors import InputError, ModuleMissing
from nets.outcome import Model
from studies.objective.models import ModelRefused, loaded, saved
from tracking.models.library_folder import content_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of libraries among themselves
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_model_gives_equal_answers(name):
    model, answers = made(name)
    _, form, paths, kind = MODELS[name]
    expected = np.asarray(answers(model))
    files = saved(model, X[:4])
    again = loaded(files)
    np.testing.assert_array_equal(np.asarray(answers(again)), expected)
    assert (files.format, set(files.files), type(again).__name__.removesuffix("Impl")) == (
        form, paths, kind,
    )  # fmt: skip
    assert files.source == ""
    np.testing.assert_array_equal(files.arrays["input_example"], X[:4])


@pytest.mark.parametrize("name", MODELS)
def test_saving_changes_nothing_and_gives_equal_bytes_each_time(name):
    model, answers = made(name)
    before = np.asarray(answers(model))
    assert saved(model, X[:4]).files == saved(model, X[:4]).files
    np.testing.assert_array_equal(np.asarray(answers(model)), before)


@pytest.mark.slow
def test_two_processes_save_equal_bytes(tmp_path, monkeypatch):
    code = (
        "import sys, library_models as m, pathlib, pickle, warnings, pytest\n"
        "warnings.simplefilter('ignore')\n"
        "from studies.objective.models import saved\n"
        "from tracking.models.library_folder import content_of\n"
        "for name in m.MODELS:\n"
        "    try:\n"
        "        print(name, content_of(saved(m.made(name)[0], m.X[:4])))\n"
        "    except pytest.skip.Exception:\n"
        "        pass\n"
    )
    outputs = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
        done = run_to_end([sys.executable, "-c", code], check=True)
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert outputs[0].count("\n") >= 1


UNPICKLED = """
import json, pathlib, sys, warnings
warnings.simplefilter("ignore")
folder = pathlib.Path(sys.argv[1])
from nets.outcome import Model
from studies.objective.models import loaded
events, watched = [], []
def note(name, given):
    if watched and name == "pickle.find_class":
        events.append(given)
sys.addaudithook(note)
for case in json.loads((folder / "cases.json").read_text()):
    files = {path: (folder / case["name"] / path).read_bytes() for path in case["files"]}
    for module in case["imports"]:
        __import__(module)
    watched.append(1)
    loaded(Model("", {}, files, case["format"]))
    watched.clear()
print(len(events), events[:3])
"""


@pytest.mark.slow
def test_loading_unpickles_nothing(tmp_path, monkeypatch):
    cases = []
    for name, (_, form, _, _) in MODELS.items():
        try:
            model, _ = made(name)
        except pytest.skip.Exception:
            continue
        files = saved(model, X[:4]).files
        for path, content in files.items():
            target = tmp_path / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        imports = [{"pytorch": "torch.export", "sklearn": "skops.io"}.get(form, form)]
        cases.append({"name": name, "format": form, "files": list(files), "imports": imports})
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    done = run_to_end([sys.executable, "-c", UNPICKLED, str(tmp_path)])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "0 []"


def test_a_worker_that_saves_a_model_does_not_import_mlflow():
    code = (
        "import sys\n"
        "from sklearn.svm import SVC\n"
        "from studies.objective.models import saved\n"
        "saved(SVC().fit([[0.0], [1.0]], [0, 1]))\n"
        "print('mlflow' in sys.modules)\n"
    )
    done = run_to_end([sys.executable, "-c", code], check=True)
    assert done.stdout.strip() == "False"


def test_our_own_model_stays_as_it_is():
    model = Model("# source\n", {"w": np.ones(1)})
    assert saved(model) is model


def test_only_the_first_rows_of_an_example_are_kept():
    model, _ = made("svc")
    np.testing.assert_array_equal(saved(model, X).arrays["input_example"], X[:10])
    assert saved(model).arrays == {}


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (object(), "save_model: got a builtins.object, expected one of: estimators of "
         "scikit-learn, LightGBM, XGBoost and CatBoost, modules of PyTorch, models of Keras and "
         "ONNX, nets.outcome.Model, and a folder with an MLmodel file"),
        ({"weights": [1]}, "save_model: got a builtins.dict, expected one of: "),
        ("no folder", "save_model: got 'no folder', expected a folder with an MLmodel file"),
    ],
)  # fmt: skip
def test_what_no_library_made_is_refused(thing, expected):
    with pytest.raises(ModelRefused) as caught:
        saved(thing)
    assert str(caught.value).startswith(expected)
    assert isinstance(caught.value, TypeError)


def test_an_example_that_is_no_batch_of_numbers_is_refused():
    model, _ = made("svc")
    with pytest.raises(ModelRefused, match="got an example of the type list with values object"):
        saved(model, [None])
    with pytest.raises(ModelRefused, match="expected a batch of numbers"):
        saved(model, 3)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    imported = builtins.__import__

    def without(name, *rest, **options):
        if name.partition(".")[0] in ("skops", "lightgbm"):
            raise ImportError(f"No module named {name!r}", name=name)
        return imported(name, *rest, **options)

    model, _ = made("svc")
    files = Model("", {}, {"model.txt": b""}, "lightgbm")
    for module in [m for m in sys.modules if m.partition(".")[0] in ("skops", "lightgbm")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("studies.objective.formats.import_module", without)
    with pytest.raises(ModuleMissing) as caught:
        saved(model)
    assert str(caught.value) == (
        'model: package skops not found; install it with: pip install "retrial-studies[sklearn]"'
    )
    with pytest.raises(ModuleMissing, match=r'pip install "retrial-studies\[lightgbm\]"'):
        loaded(files)


# PyTorch


def test_a_module_keeps_the_mode_of_each_of_its_parts():
    network, _ = made("network")
    network[2].eval()
    saved(network, X[:4])
    assert [part.training for part in network] == [True, True, False, True]


def test_a_module_takes_batches_of_any_size_even_if_its_example_has_one_row():
    network, _ = made("network")
    import torch

    again = loaded(saved(network, X[:1]))
    for count in (1, 7, 60):
        batch = torch.tensor(X[:count])
        np.testing.assert_array_equal(again(batch).detach(), network.eval()(batch).detach())


def test_a_module_without_an_example_is_refused():
    network, _ = made("network")
    with pytest.raises(ModelRefused) as caught:
        saved(network)
    assert str(caught.value) == (
        "save_model: got a Sequential without example=, expected a batch of its inputs"
    )


def test_a_module_that_cannot_be_exported_is_refused_and_keeps_its_mode():
    needs("torch")
    import torch

    class Branching(torch.nn.Module):
        def forward(self, x):
            return x if float(x.sum()) > 0 else -x

    module = Branching()
    with pytest.raises(ModelRefused, match=r"got a Branching, which torch\.export can"):
        saved(module, X[:4])
    assert module.training


def changed(content, change):
    """Return a zip file whose members went through a function of name and content."""
    buffer = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            for written, member in change(name, old.read(name)):
                new.writestr(written, member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("torch.ops.aten.linear.default", "torch.serialization.os.system", "it calls 'torch.ser"),
        ("torch.ops.aten.relu.default", "torch.ops.load_library", "it calls 'torch.ops.load_lib"),
        ("Symbol('", "exec('", "it evaluates"),
        ('"use_pickle": false', '"use_pickle": true', "is pickled"),
    ],
)
def test_a_program_that_does_more_than_compute_is_not_loaded(old, new, expected):
    network, _ = made("network")
    content = saved(network, X[:4]).files["data/model.pt2"]

    def change(name, member):
        if name.endswith(".json"):
            text = member.decode()
            nonlocal found
            found += text.count(old)
            member = text.replace(old, new).encode()
        yield name, member

    found = 0
    crafted = changed(content, change)
    assert found
    with pytest.raises(ModelRefused, match=f"stores without pickle: .*{expected}"):
        loaded(Model("", {}, {"data/model.pt2": crafted}, "pytorch"))


def test_a_program_with_a_pickle_is_not_loaded():
    network, _ = made("network")
    content = saved(network, X[:4]).files["data/model.pt2"]
    import torch

    buffer = BytesIO()
    torch.save(print, buffer)

    def replaced(name, member):
        yield name, buffer.getvalue() if name.endswith(".pt") else member

    def added(name, member):
        yield name, member
        if name.endswith("version"):
            yield "archive/data/constants/custom_obj_0", pickle.dumps(print)

    for change, expected in [(replaced, "its sample inputs"), (added, "it contains 'archive/da")]:
        with pytest.raises(ModelRefused, match=expected):
            loaded(Model("", {}, {"data/model.pt2": changed(content, change)}, "pytorch"))


# Keras


def test_layers_that_are_not_of_keras_are_refused():
    needs("keras")
    import keras

    class Own(keras.layers.Layer):
        def call(self, x):
            return x * 2

    with pytest.raises(ModelRefused, match=r"got a model with .*Own, expected only layers of Ker"):
        saved(keras.Sequential([keras.Input((8,)), Own()]))
    with pytest.raises(ModelRefused, match="got a model with a Lambda layer, expected only lay"):
        saved(keras.Sequential([keras.Input((8,)), keras.layers.Lambda(lambda x: x * 2)]))


# Folders of MLflow


def test_a_folder_is_copied_unless_it_contains_a_pickle(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    (tmp_path / "data" / "a.bin").write_bytes(b"1")
    model = saved(tmp_path)
    assert dict(model.files) == {"MLmodel": b"flavors: {}\n", "data/a.bin": b"1"}
    assert (model.format, model.arrays) == ("mlflow", {})
    (tmp_path / "data" / "b").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelRefused) as caught:
        saved(str(tmp_path))
    assert str(caught.value) == (
        "save_model: got a folder with data/b, expected one without pickles"
    )


# Damage


@pytest.mark.parametrize("name", ["svc", "xgboost_booster", "keras_network", "network"])
def test_a_damaged_file_is_named(name):
    model, _ = made(name)
    files = saved(model, X[:4])
    ((path, content),) = files.files.items()
    for damaged in (b"", content[: len(content) // 2]):
        with pytest.raises(InputError, match=r"^model: a damaged file of "):
            loaded(Model("", {}, {path: damaged}, files.format))


def test_what_a_library_cannot_read_is_named():
    needs("lightgbm")
    with pytest.raises(InputError, match=r"^model: LightGBM cannot load its files"):
        loaded(Model("", {}, {"model.txt": b"no tree"}, "lightgbm"))


def test_an_unknown_format_and_a_path_outside_of_the_folder_are_refused():
    with pytest.raises(ModelRefused, match="the model has the unknown format 'other'"):
        loaded(Model("", {}, {"a": b""}, "other"))
    with pytest.raises(ValueError, match=r"Model.files: got '../a', expected a relative path"):
        loaded(Model("", {}, {"../a": b""}, "sklearn"))


def test_the_digest_of_a_model_covers_its_format_and_every_byte_of_its_files():
    digests = {
        content_of(Model("", {}, files, form))
        for files, form in [
            ({"a": b"12"}, "sklearn"), ({"a": b"12"}, "onnx"), ({"a": b"1"}, "sklearn"),
            ({"b": b"12"}, "sklearn"), ({"a": b"12", "c": b""}, "sklearn"),
        ]
    }  # fmt: skip
    assert len(digests) == 5
