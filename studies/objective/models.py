"""A model of any of some libraries as files, and back, without pickle.

A worker calls `saved`, which imports neither MLflow nor a library that the objective has not
imported. Equal models give equal files.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nets.errors import InputError
from nets.outcome import Model
from studies.objective import formats
from studies.objective.estimators import ModelRefused
from tracking.models.library_folder import FOLDER, title_of
from tracking.store import names

SUPPORTED = (
    "estimators of scikit-learn, LightGBM, XGBoost and CatBoost, modules of PyTorch, models of "
    "Keras and ONNX, nets.outcome.Model, and a folder with an MLmodel file"
)

_EXAMPLE = 10
"""Rows of an example that are kept with the model."""


def saved(model: Any, example: Any = None) -> Model:
    """Return a library's model as files; the model itself is not changed.

    Parameters
    ----------
    model
        An object of one of the libraries that `SUPPORTED` lists, or the path of a folder that
        MLflow has written.
    example
        A batch of inputs. PyTorch needs one; other models keep it as MLflow's input example.

    Raises
    ------
    ModelRefused
        The model is of no known library, or cannot be stored without pickle.
    ModuleMissing
        The package that stores it is not installed; the message has the command that installs it.
    """
    if isinstance(model, Model):
        return model
    try:
        if isinstance(model, str | os.PathLike):
            return Model("", {}, formats.folder_files(Path(model)), FOLDER)
        libraries = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
        for library, form in formats.BY_LIBRARY.items():
            if library in libraries:
                files = form.save(model, example)
                return Model("", _example(example), files, form.name)
    except ModelRefused as error:
        raise ModelRefused(f"save_model: {error}") from error
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    raise ModelRefused(f"save_model: got a {kind}, expected one of: {SUPPORTED}")


def loaded(model: Model) -> Any:
    """Return the library's object that `saved` turned into files.

    Nothing is unpickled. Of PyTorch, this is the exported module, in evaluation mode. Of a folder,
    it is what ``mlflow.pyfunc`` loads from it, and so of a model that has a source, whose code
    runs.

    Raises ModelRefused where loading would need pickle, and InputError for a damaged file.
    """
    names.check_files(model.files, model.format)
    if not model.files:
        return _with_source(model)
    load: Callable[[dict[str, bytes]], Any] | None = formats.LOADERS.get(model.format)
    if load is None:
        raise ModelRefused(f"the model has the unknown format {model.format!r}")
    try:
        return load(dict(model.files))
    except (ModelRefused, InputError):
        raise
    except Exception as error:  # whatever a library makes of damaged files
        problem = f"{title_of(model)} cannot load its files ({error!s:.200})"
        raise InputError("model", problem=problem) from error


def _with_source(model: Model) -> Any:
    """Return a model of source and arrays as MLflow loads it; this imports MLflow."""
    from tracking.models.model_folder import write_model_folder

    with tempfile.TemporaryDirectory() as folder:
        write_model_folder(Path(folder), model, model_id="m-0", run_id="0", location=folder)
        return formats.pyfunc(folder)


def _example(example: Any) -> dict[str, Any]:
    """Return the first rows of an example as the model's only array, if there are any."""
    if example is None or isinstance(example, tuple):
        return {}
    array = np.asarray(formats.on_cpu(example))
    if array.ndim == 0 or array.dtype.hasobject:
        raise ModelRefused(
            f"got an example of the type {type(example).__name__} with values {array.dtype}, "
            "expected a batch of numbers"
        )
    return {names.INPUT_EXAMPLE: array[:_EXAMPLE].copy()}
