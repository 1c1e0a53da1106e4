"""A library's model as the folder that MLflow's flavor of that library loads, and back.

The files are the library's own; what is added here are the descriptions that MLflow reads. A folder
that MLflow has written is stored as it is.
"""

import hashlib
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nets.errors import InputError
from nets.outcome import Model
from tracking.store import names
from tracking.store.client import files_at
from tracking.store.store import Store, one_line

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.models import Model as Metadata

FOLDER = "mlflow"
"""The format of a folder that MLflow has written."""

CATBOOST_CLASS = "retrial.class"
"""The key of the class of a model in the metadata of its file."""

_TRUSTED = re.compile(r"(sklearn|numpy|scipy|lightgbm|xgboost|collections|builtins)\.[\w.]+")


@dataclass(frozen=True)
class Library:
    """The packages that a format needs, the key of the first one's version, and possible files."""

    title: str
    packages: tuple[str, ...]
    version: str
    files: tuple[str, ...]


LIBRARIES = {
    "sklearn": Library(
        "scikit-learn", ("scikit-learn", "skops", "numpy", "scipy"), "sklearn_version",
        ("model.skops",),
    ),
    "lightgbm": Library(
        "LightGBM", ("lightgbm", "numpy", "scipy", "scikit-learn", "skops"), "lgb_version",
        ("model.txt", "model.skops"),
    ),
    "xgboost": Library(
        "XGBoost", ("xgboost", "numpy", "scipy", "scikit-learn"), "xgb_version", ("model.json",)
    ),
    "catboost": Library("CatBoost", ("catboost", "numpy"), "catboost_version", ("model.cbm",)),
    "pytorch": Library("PyTorch", ("torch", "numpy"), "pytorch_version", ("data/model.pt2",)),
    "keras": Library("Keras", ("keras", "numpy"), "keras_version", ("data/model.keras",)),
    "onnx": Library("ONNX", ("onnx", "onnxruntime", "numpy"), "onnx_version", ("model.onnx",)),
}  # fmt: skip
"""The formats of libraries, by the names of MLflow's flavors."""


def title_of(model: Model) -> str:
    """Return the name of the library of a model, for messages."""
    return LIBRARIES[model.format].title if model.format in LIBRARIES else "MLflow"


def content_of(model: Model) -> str:
    """Return the SHA-256 of a library's model: of its format and its files."""
    digest = hashlib.sha256(model.format.encode())
    for path, content in sorted(model.files.items()):
        digest.update(f"\n{path} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def write_files(folder: Path, model: Model) -> None:
    """Write the files of a library's model into a folder."""
    names.check_files(model.files, model.format)
    for path, content in model.files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def add_flavors(metadata: "Metadata", model: Model, version: str) -> None:
    """Add to MLflow's description how a library's model is loaded by that library and by pyfunc."""
    from mlflow.pyfunc import add_to_model

    library = LIBRARIES[model.format]
    (path,) = model.files
    settings, loading = _settings(model.format, path, model.files[path])
    metadata.add_flavor(model.format, code=None, **{library.version: version}, **settings)
    add_to_model(  # type: ignore[no-untyped-call]
        metadata,
        loader_module=f"mlflow.{model.format}",
        conda_env="conda.yaml",
        python_env="python_env.yaml",
        **loading,
    )


def _settings(form: str, path: str, content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of a library's flavor, and those of pyfunc's."""
    skops: dict[str, Any] = {"serialization_format": "skops"}
    if path == "model.skops":
        skops |= {"skops_trusted_types": _types(content)}
    match form:
        case "sklearn":
            return {"pickled_model": path, **skops}, {"model_path": path, "predict_fn": "predict"}
        case "lightgbm":
            return {"data": path, "model_class": _class_of_lightgbm(path, content), **skops}, {
                "data": path
            }
        case "xgboost":
            kind = class_of_xgboost(content)
            return {"data": path, "model_class": kind, "model_format": "json"}, {"data": path}
        case "catboost":
            kind = class_of_catboost(content)
            return {"data": path, "model_type": kind, "save_format": "cbm"}, {"data": path}
        case "pytorch":
            # Only the format may be pickled in, the model is not.
            return {"model_data": "data", "serialization_format": "pt2"}, {
                "data": "data",
                "model_config": {"device": None},
            }
        case "keras":
            return {"data": path.removesuffix(".keras"), "save_exported_model": False}, {}
        case _:
            providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
            return {"data": path, "providers": providers, "onnx_session_options": None}, {
                "data": path
            }


def _types(content: bytes) -> list[str]:
    """Return the types in a file of skops that MLflow has to trust, in order.

    Only MLflow reads this list; `studies.load_model` has a rule of its own.
    """
    found = {
        f"{node['__module__']}.{node['__class__']}"
        for node in _nodes(_schema(content))
        if "__module__" in node and "__class__" in node
    }
    return sorted(name for name in found if _TRUSTED.fullmatch(name))


def _schema(content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema: dict[str, Any] = json.loads(archive.read("schema.json"))
    return schema


def _nodes(tree: Any) -> list[dict[str, Any]]:
    found, open_values = [], [tree]
    while open_values:
        match open_values.pop():
            case list() as items:
                open_values += items
            case dict() as item:
                found.append(item)
                open_values += item.values()
    return found


def _class_of_lightgbm(path: str, content: bytes) -> str:
    if path == "model.txt":
        return "lightgbm.basic.Booster"
    root = _schema(content)
    return f"{root['__module__']}.{root['__class__']}"


def class_of_xgboost(content: bytes) -> str:
    """Return the class of XGBoost that reads a model: a Booster, or one with scikit-learn's API."""
    try:
        attributes: Mapping[str, str] = json.loads(content)["learner"]["attributes"]
        kind = json.loads(attributes.get("scikit_learn", "{}")).get("_estimator_type")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError("model", problem=f"a damaged file of XGBoost ({error})") from error
    known = {"classifier": "XGBClassifier", "regressor": "XGBRegressor", "ranker": "XGBRanker"}
    return f"xgboost.sklearn.{known[kind]}" if kind in known else "xgboost.core.Booster"


def class_of_catboost(content: bytes) -> str:
    """Return the class of CatBoost that reads a model."""
    found = re.search(rb"CatBoost(Classifier|Regressor|Ranker)", content)
    return found.group().decode() if found and CATBOOST_CLASS.encode() in content else "CatBoost"


def read_library_model(store: Store, logged: "LoggedModel", key: str, owner: str) -> Model | None:
    """Return a recorded model if it is a library's; None for a model of source and arrays.

    Raises InputError about `key`, which names the `owner` of the model, where its files cannot be
    read, or differ from those that were recorded.
    """
    form, content = logged.tags.get(names.FORMAT_TAG), logged.tags.get(names.CONTENT_TAG)
    if form is None:
        return None
    expected = "a model that retrial recorded"
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = files_at(store, logged.artifact_location).fetch(Path(temporary))
            model = Model("", {}, _read(folder, form), form)
            names.check_files(model.files, form)
    except Exception as error:
        problem = f"cannot read the model of {owner} ({one_line(error)})"
        raise InputError(key, owner, expected, problem=problem) from error
    if content is not None and content_of(model) != content:
        problem = f"the files of the model of {owner} differ from those that were recorded"
        raise InputError(key, owner, expected, problem=problem)
    return model


def _read(folder: Path, form: str) -> dict[str, bytes]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {path.relative_to(folder).as_posix(): path for path in paths}
    wanted = files if form == FOLDER else LIBRARIES[form].files
    return {name: files[name].read_bytes() for name in wanted if name in files}
