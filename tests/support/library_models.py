"""Small models of libraries, always the same, for batches of eight numbers."""

import importlib.util
import os

import numpy as np
import pytest

X = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(int)

INSTALL = {
    "lightgbm": 'pip install "retrial-studies[lightgbm]"',
    "xgboost": 'pip install "retrial-studies[xgboost]"',
    "torch": 'pip install "retrial-studies[torch]"',
    "catboost": "pip install catboost",
    "keras": "pip install keras",
    "onnx": 'pip install "retrial-studies[onnx]"',
}


def needs(library):
    """Skip the test where a library is missing; the reason is the command that installs it."""
    if library == "keras":
        os.environ.setdefault("KERAS_BACKEND", "torch")
        needs("torch")
    if library in INSTALL and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is missing: {INSTALL[library]}")


def svc():
    from sklearn.svm import SVC

    return SVC().fit(X, Y), lambda model: model.predict(X)


def booster():
    import lightgbm

    options = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    model = lightgbm.train(options, lightgbm.Dataset(X, Y), 5)
    return model, lambda model: model.predict(X)


def lightgbm_classifier():
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=5, min_child_samples=5, verbose=-1, n_jobs=1)
    return model.fit(X, Y), lambda model: model.predict(X)


def xgboost_booster():
    import xgboost

    data = xgboost.DMatrix(X, Y)
    return xgboost.train({"nthread": 1}, data, 5), lambda model: model.predict(data)


def xgboost_classifier():
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(X, Y)
    return model, lambda model: model.predict(X)


def catboost_classifier():
    import catboost

    model = catboost.CatBoostClassifier(
        iterations=3, verbose=False, thread_count=1, allow_writing_files=False, random_seed=0
    )
    return model.fit(X, Y), lambda model: model.predict(X)


def network():
    import torch

    torch.manual_seed(0)
    layers = torch.nn.Linear(8, 6), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(6, 2)
    return torch.nn.Sequential(*layers), lambda model: model.eval()(torch.tensor(X)).detach()


def keras_network():
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.Input((8,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)]
    return keras.Sequential(layers), lambda model: model.predict(X, verbose=0)


def onnx_graph():
    import onnxruntime
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 8]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def answers(model):
        session = onnxruntime.InferenceSession(model.SerializeToString())
        return session.run(None, {"x": X})[0]

    return model, answers


MODELS = {
    "svc": (svc, "sklearn", {"model.skops"}, "SVC"),
    "booster": (booster, "lightgbm", {"model.txt"}, "Booster"),
    "lightgbm_classifier": (lightgbm_classifier, "lightgbm", {"model.skops"}, "LGBMClassifier"),
    "xgboost_booster": (xgboost_booster, "xgboost", {"model.json"}, "Booster"),
    "xgboost_classifier": (xgboost_classifier, "xgboost", {"model.json"}, "XGBClassifier"),
    "catboost_classifier": (catboost_classifier, "catboost", {"model.cbm"}, "CatBoostClassifier"),
    "network": (network, "pytorch", {"data/model.pt2"}, "GraphModule"),
    "keras_network": (keras_network, "keras", {"data/model.keras"}, "Sequential"),
    "onnx_graph": (onnx_graph, "onnx", {"model.onnx"}, "ModelProto"),
}
"""Each with its format, its files and the class that is loaded."""


def made(name):
    """Return a model and a function of it that computes its answers; skip without its library."""
    make, form, _, _ = MODELS[name]
    needs({"pytorch": "torch"}.get(form, form))
    return make()
