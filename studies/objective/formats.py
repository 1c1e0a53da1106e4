"""How each library stores its models in files of its own, without pickle, and loads them."""

import io
import json
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from nets.errors import InputError
from studies.objective import estimators
from studies.objective.estimators import ModelRefused, archived, missing
from tracking.models.library_folder import (
    CATBOOST_CLASS,
    FOLDER,
    class_of_catboost,
    class_of_xgboost,
)

Files = dict[str, bytes]

_FOLDER_BYTES = 900_000_000

_PICKLES = (".pkl", ".pickle", ".p", ".joblib", ".dill", ".pt", ".pth")
"""Extensions of files that are, or contain, pickles."""


@dataclass(frozen=True)
class Form:
    """The form of a library's models: its name, and a function (model, example) -> files."""

    name: str
    save: Callable[[Any, Any], Files]


def on_cpu(batch: Any) -> Any:
    """Return a batch that NumPy can read: a tensor without gradient, on the CPU."""
    return batch.detach().cpu() if hasattr(batch, "detach") else batch


# scikit-learn


def _save_sklearn(model: Any, example: Any) -> Files:
    return {"model.skops": estimators.dumped(model)}


def _load_sklearn(files: Files) -> Any:
    return estimators.loaded(files["model.skops"])


# LightGBM: a Booster as text; a classifier has more than that


def _save_lightgbm(model: Any, example: Any) -> Files:
    if hasattr(model, "model_to_string"):
        return {"model.txt": model.model_to_string().encode()}
    return _save_sklearn(model, example)


def _load_lightgbm(files: Files) -> Any:
    if "model.txt" not in files:
        return _load_sklearn(files)
    return _library("lightgbm").Booster(model_str=files["model.txt"].decode())


# XGBoost


def _save_xgboost(model: Any, example: Any) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.json")
        model.save_model(path)
        return {"model.json": path.read_bytes()}


def _load_xgboost(files: Files) -> Any:
    content = files["model.json"]
    kind = class_of_xgboost(content).rpartition(".")[2]
    model = getattr(_library("xgboost"), kind)()
    model.load_model(bytearray(content))
    return model


# CatBoost


def _save_catboost(model: Any, example: Any) -> Files:
    model = model.copy()
    about = model.get_metadata()
    for changing in ("model_guid", "train_finish_time"):
        if changing in about:
            del about[changing]
    about[CATBOOST_CLASS] = type(model).__name__
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.cbm")
        model.save_model(str(path), format="cbm")
        return {"model.cbm": path.read_bytes()}


def _load_catboost(files: Files) -> Any:
    content = files["model.cbm"]
    model = getattr(_library("catboost"), class_of_catboost(content))()
    return model.load_model(blob=content, format="cbm")


# PyTorch: the exported program, for batches of any size


def _save_torch(module: Any, example: Any) -> Files:
    torch = _library("torch")
    kind = type(module).__name__
    if example is None:
        raise ModelRefused(f"got a {kind} without example=, expected a batch of its inputs")
    given = example if isinstance(example, tuple) else (example,)
    batches = tuple(torch.as_tensor(on_cpu(batch)) for batch in given)
    if any(len(batch) == 1 for batch in batches):  # torch.export takes 1 for a constant
        batches = tuple(torch.cat([batch, batch]) for batch in batches)
    if any(tensor.device.type != "cpu" for tensor in module.state_dict().values()):
        module = deepcopy(module).cpu()
    modes = [(part, part.training) for part in module.modules()]
    try:
        program = torch.export.export(
            module.eval(),
            batches,
            dynamic_shapes=tuple({0: torch.export.Dim.AUTO} for _ in batches),
        )
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # paths of this machine
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        content = buffer.getvalue()
        _check_torch(content)
    except Exception as error:  # whatever the module's own code makes torch.export raise
        reason = f"{error!s:.200}".strip().partition("\n")[0].rstrip(".")
        raise ModelRefused(f"got a {kind}, which torch.export cannot store: {reason}") from error
    finally:
        for part, training in modes:
            part.training = training
    return {"data/model.pt2": content}


def _load_torch(files: Files) -> Any:
    torch = _library("torch")
    content = files["data/model.pt2"]
    _check_torch(content)
    module = torch.export.load(io.BytesIO(content)).module()
    # It has only the evaluation mode, and its own eval() is an error.
    module.eval = lambda: module
    return module


_OPERATOR = re.compile(
    r"torch\.ops\.(?!load_library|import_module)\w+(\.\w+)+|_operator\.\w+|math\.\w+"
    r"|torch\.(sym_\w+|_sym_\w+)"
)


_RECORDS = re.compile(
    r"[^/]+/(.+\.json|data/weights/weight_\d+|data/constants/tensor_\d+|data/sample_inputs/.+\.pt"
    r"|archive_format|archive_version|byteorder|version|\.data/\w+)"
)
"""What an archive may contain: no compiled code, and no object of another library."""


def _check_torch(content: bytes) -> None:
    """Raise ModelRefused for a program that could do anything but compute when it is loaded.

    torch.export unpickles what the archive says is pickled, calls any function of torch that the
    graph names, and evaluates the expressions of its sizes.
    """
    refused = "the model is no program that torch.export stores without pickle"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            records = archive.namelist()
            texts = [json.loads(archive.read(name)) for name in records if name.endswith(".json")]
            examples = [archive.read(name) for name in records if name.endswith(".pt")]
    except (zipfile.BadZipFile, ValueError) as error:
        raise InputError("model", problem=f"a damaged file of PyTorch ({error})") from error
    if other := [name for name in records if not _RECORDS.fullmatch(name)]:
        raise ModelRefused(f"{refused}: it contains {other[0]!r:.100}")
    if len(set(records)) < len(records):
        raise ModelRefused(f"{refused}: it contains a name twice")
    for node in _objects(texts):
        target, expression = node.get("target"), node.get("expr_str")
        if node.get("use_pickle"):
            raise ModelRefused(f"{refused}: {node.get('path_name')!r:.100} is pickled")
        if isinstance(target, str) and (not _OPERATOR.fullmatch(target) or "__" in target):
            raise ModelRefused(f"{refused}: it calls {target!r:.100}")
        if isinstance(expression, str) and not _is_arithmetic(expression):
            raise ModelRefused(f"{refused}: it evaluates {expression!r:.100}")
    for example in examples:  # torch's own restricted reader
        try:
            _library("torch").load(io.BytesIO(example), map_location="cpu", weights_only=True)
        except Exception as error:
            raise ModelRefused(f"{refused}: its sample inputs are no tensors") from error


def _is_arithmetic(expression: str) -> bool:
    """Return whether an expression only computes sizes: it calls only classes of SymPy.

    >>> _is_arithmetic("2*Symbol('s77', positive=True, integer=True) + 1")
    True
    >>> _is_arithmetic("exec(chr(105))"), _is_arithmetic("(exec)(x)"), _is_arithmetic("a.b")
    (False, False, False)
    """
    pattern = r"'\w+'|\d+\.\d+|[A-Z]\w*\s*\(|\w+(?!\w*\s*\()|[\s+\-*/(),=<>]"
    return not re.search(r"\)\s*\(|__", expression) and not re.sub(pattern, "", expression)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    open_values = [value]
    while open_values:
        match open_values.pop():
            case list() as items:
                open_values += items
            case dict() as item:
                yield item
                open_values += item.values()


# Keras: only its own layers, whose configuration is data


def _save_keras(model: Any, example: Any) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    _check_keras(config)
    numbers: dict[int, int] = {}
    for node in _objects(config):  # numbers, instead of addresses
        if "shared_object_id" in node:
            node["shared_object_id"] = numbers.setdefault(node["shared_object_id"], len(numbers))
    about = {**json.loads(members["metadata.json"]), "date_saved": ""}
    changed = {"config.json": json.dumps(config), "metadata.json": json.dumps(about)}
    members |= {name: text.encode() for name, text in changed.items()}
    return {"data/model.keras": archived(members)}


def _load_keras(files: Files) -> Any:
    keras = _library("keras")
    content = files["data/model.keras"]
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_keras(json.loads(archive.read("config.json")))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError("model", problem=f"a damaged file of Keras ({error})") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        path.write_bytes(content)
        return keras.saving.load_model(path, safe_mode=True)


def _check_keras(config: Any) -> None:
    """Raise ModelRefused for a layer that is not of Keras, whose module loading would import."""
    for node in _objects(config):
        module = node.get("module")
        if isinstance(module, str) and module.partition(".")[0] not in ("keras", "builtins"):
            raise ModelRefused(
                f"got a model with {module}.{node.get('class_name')}, expected only layers of Keras"
            )
        if node.get("class_name") in ("__lambda__", "Lambda"):
            raise ModelRefused("got a model with a Lambda layer, expected only layers of Keras")


# ONNX


def _save_onnx(model: Any, example: Any) -> Files:
    return {"model.onnx": model.SerializeToString(deterministic=True)}


def _load_onnx(files: Files) -> Any:
    return _library("onnx").load_model_from_string(files["model.onnx"])


# A folder that MLflow has written


def folder_files(folder: Path) -> Files:
    """Return the files of a folder with an MLmodel; raises ModelRefused if one is a pickle."""
    if not (folder / "MLmodel").is_file():
        raise ModelRefused(f"got {str(folder)!r}, expected a folder with an MLmodel file")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    size = sum(path.stat().st_size for path in paths)
    if size > _FOLDER_BYTES:
        raise ModelRefused(
            f"got a folder of {size:,} bytes, expected at most {_FOLDER_BYTES:,} bytes"
        )
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    _check_folder(files)
    return files


def _load_folder(files: Files) -> Any:
    """Return what a folder contains: by our own rules if it is of a format above."""
    _check_folder(files)
    if "model.skops" in files:
        return _load_sklearn(files)
    if "data/model.pt2" in files:
        return _load_torch(files)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return pyfunc(folder)


def _check_folder(files: Files) -> None:
    for name, content in files.items():
        is_pickle = name.endswith(_PICKLES) or re.match(rb"\x80[\x02-\x05]", content)
        if is_pickle or (content.startswith(b"PK") and b"data.pkl" in content):
            raise ModelRefused(f"got a folder with {name}, expected one without pickles")


def pyfunc(location: str) -> Any:
    """Return the model at a path as MLflow loads it, where that needs no pickle."""
    import mlflow.pyfunc

    variable = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"
    before = os.environ.get(variable)
    os.environ[variable] = "false"
    try:
        return mlflow.pyfunc.load_model(location)
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def _library(name: str) -> Any:
    try:
        return sys.modules.get(name) or import_module(name)
    except ImportError as error:
        raise missing(name) from error


BY_LIBRARY = {
    "lightgbm": Form("lightgbm", _save_lightgbm),
    "xgboost": Form("xgboost", _save_xgboost),
    "catboost": Form("catboost", _save_catboost),
    "keras": Form("keras", _save_keras),
    "torch": Form("pytorch", _save_torch),
    "onnx": Form("onnx", _save_onnx),
    "sklearn": Form("sklearn", _save_sklearn),
}
"""By the package that the first of a model's classes comes from, in this order.

The classes of LightGBM and XGBoost are also scikit-learn's, those of Keras may be PyTorch's.
"""

LOADERS: dict[str, Callable[[Files], Any]] = {
    "sklearn": _load_sklearn,
    "lightgbm": _load_lightgbm,
    "xgboost": _load_xgboost,
    "catboost": _load_catboost,
    "pytorch": _load_torch,
    "keras": _load_keras,
    "onnx": _load_onnx,
    FOLDER: _load_folder,
}
