"""A trained model as the folder that MLflow loads: source, weights and requirements.

The folder includes the code that the source imports, so that a server needs only public libraries.

The files are written here one by one, because MLflow's own `save_model` executes the model's source
in the writing process, which a search does not need, and takes seconds to infer the requirements.
"""

import functools
import hashlib
import importlib.metadata
import json
import platform
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nets import model_source
from nets.array_files import read_arrays
from nets.errors import InputError
from nets.network import sha256_of
from nets.outcome import Model
from tracking.models import library_folder
from tracking.models.library_folder import LIBRARIES
from tracking.store import names
from tracking.store.client import files_at
from tracking.store.errors import StoreUnavailable
from tracking.store.store import Store, one_line

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

REQUIREMENTS = ("mlflow", "numpy", "threadpoolctl")
"""What loading a model requires in addition to its code; the installed versions are pinned."""

_EXAMPLE_FILE = "input_example.json"

LARGEST_CODE = 1 << 20
"""Maximum bytes of a model's code archive; a larger one is kept only with the study's run."""


def write_model_folder(
    folder: Path,
    model: Model,
    *,
    model_id: str,
    run_id: str,
    location: str,
    code: bytes | None = None,
) -> None:
    """Write a model into `folder`; nothing is pickled.

    A library's model is written for MLflow's flavor of that library, any other one in the format of
    models-from-code.

    The model's source finds its weights as the artifact ``weights``, one ``.npz`` file. A model
    with the arrays ``image_shape`` and ``classes`` gets a signature: uint8 images in, one number
    per class out. The array ``input_example`` (a few images) becomes MLflow's input example and is
    not stored with the weights.

    `location` is the URI where MLflow keeps the folder. `code` is an archive of our modules and
    the user's that the source imports (see `source_code`); MLflow puts it first on the path.
    Without it, or if it is larger than `LARGEST_CODE`, these modules have to be importable already.
    (They are not a requirement, because another project may own their name on a package index.)
    """
    from mlflow.models import Model as Metadata
    from mlflow.pyfunc import add_to_model

    if model.files:
        _write_library_model(folder, model, model_id, run_id, location)
        return
    arrays = dict(model.arrays)
    example = arrays.pop(names.INPUT_EXAMPLE, None)
    weights = folder / "artifacts" / names.WEIGHTS_FILE
    weights.parent.mkdir(parents=True, exist_ok=True)  # an interrupted delivery may have begun
    np.savez(weights, **arrays)  # type: ignore[arg-type]
    (folder / names.MODEL_SOURCE_FILE).write_text(names.plain(model.source), encoding="utf-8")
    if code is not None and len(code) > LARGEST_CODE:
        code = None
    if code is not None:
        (folder / names.MODEL_CODE_FILE).write_bytes(code)
    _write_environment(folder, REQUIREMENTS)
    metadata = Metadata(
        artifact_path=location,
        model_uuid=model_id,
        model_id=model_id,
        run_id=run_id,
        signature=_signature(arrays),
        saved_input_example_info=None if example is None else _write_example(folder, example),
        model_size_bytes=weights.stat().st_size,
    )
    add_to_model(  # type: ignore[no-untyped-call]
        metadata,
        loader_module="mlflow.pyfunc.loaders.code_model",
        code=None if code is None else names.MODEL_CODE_FILE,
        model_code_path=names.MODEL_SOURCE_FILE,
        conda_env="conda.yaml",
        python_env="python_env.yaml",
        artifacts={
            names.WEIGHTS: {"path": f"artifacts/{names.WEIGHTS_FILE}", "uri": names.WEIGHTS_FILE}
        },
        streamable=False,
    )
    metadata.save(folder / "MLmodel")


def content_sha256(source: bytes, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of a model: of its source, and of its arrays with the input example."""
    digest = hashlib.sha256(source)
    for name, values in sorted(arrays.items()):
        array = np.ascontiguousarray(values)
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)  # without a copy
    return digest.hexdigest()


def _write_library_model(
    folder: Path, model: Model, model_id: str, run_id: str, location: str
) -> None:
    """Write the files of a library's model, and beside them what MLflow reads."""
    from mlflow.models import Model as Metadata

    folder.mkdir(parents=True, exist_ok=True)
    library_folder.write_files(folder, model)
    if model.format == library_folder.FOLDER:
        return  # it has everything
    packages = [_distribution(package) for package in LIBRARIES[model.format].packages]
    _write_environment(folder, ("mlflow", *packages))
    example = model.arrays.get(names.INPUT_EXAMPLE)
    metadata = Metadata(
        artifact_path=location,
        model_uuid=model_id,
        model_id=model_id,
        run_id=run_id,
        signature=None if example is None else _signature_of_example(example),
        saved_input_example_info=None if example is None else _write_example(folder, example),
        model_size_bytes=sum(map(len, model.files.values())),
    )
    library_folder.add_flavors(metadata, model, _version(packages[0]))
    metadata.save(folder / "MLmodel")


def _signature_of_example(example: NDArray[Any]) -> "ModelSignature":
    """Return batches of any size in, whose answers an example does not tell."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    return ModelSignature(inputs=Schema([TensorSpec(example.dtype, (-1, *example.shape[1:]))]))


def read_model_arrays(
    store: Store, location: str, key: str, owner: str, *, content: str | None, weights: str | None
) -> dict[str, NDArray[Any]]:
    """Return the arrays of the model folder at a URI, without the input example.

    Nothing is unpickled, and no file of the model is executed. For a network of nets, `content` is
    the recorded digest of the model (see `content_sha256`), `weights` that of its weights (see
    `nets.network.sha256_of`); older records lack them.

    Raises InputError about `key`, which names the model's owner, for files that cannot be read, or
    that are not the recorded ones.
    """
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = files_at(store, location).fetch(Path(temporary))
            with (folder / "artifacts" / names.WEIGHTS_FILE).open("rb") as file:
                arrays = read_arrays(file)
            if not set(model_source.ARRAYS) <= arrays.keys():
                return arrays
            compared = {
                names.CONTENT_TAG: (content, content and _content_of(folder, arrays)),
                names.WEIGHTS_TAG: (weights, sha256_of(arrays["parameters"], arrays["statistics"])),
            }
    except StoreUnavailable:
        raise
    except Exception as error:
        problem = f"cannot read the model of {owner} ({one_line(error)})"
        raise InputError(key, owner, "a model that retrial recorded", problem=problem) from error
    for tag, (recorded, found) in compared.items():
        if recorded and recorded != found:
            problem = f"the files of the model of {owner} have been changed"
            expected = f"those with the SHA-256 {recorded:.100} (tag {tag})"
            raise InputError(key, owner, expected, problem=f"{problem}: got {found}")
    return arrays


def _content_of(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the digest of the model in a folder, whose weights have been read."""
    example = folder / _EXAMPLE_FILE
    if example.exists():
        images = np.array(json.loads(example.read_bytes()), _input_type(arrays))
        arrays = {**arrays, names.INPUT_EXAMPLE: images}
    return content_sha256((folder / names.MODEL_SOURCE_FILE).read_bytes(), arrays)


def _signature(arrays: dict[str, Any]) -> "ModelSignature | None":
    """Return images in, one number per class out, for a model whose arrays contain its shapes."""
    if not {"image_shape", "classes"} <= arrays.keys():
        return None
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    shape = (-1, *map(int, arrays["image_shape"].flat))
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(_input_type(arrays)), shape)]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, int(arrays["classes"])))]),
    )


def _input_type(arrays: Mapping[str, Any]) -> type[Any]:
    """Return the type of a model's inputs: networks of nets take 8-bit images, or rows of a table.

    The shape of a table's row is one number.
    """
    is_table = "image_shape" in arrays and np.size(arrays["image_shape"]) == 1
    return np.float32 if is_table else np.uint8


def _write_example(folder: Path, example: Any) -> dict[str, str]:
    """Write an input example, and the body of a model server's request with it."""
    for name, content in {
        _EXAMPLE_FILE: example.tolist(),
        "serving_input_example.json": {"inputs": example.tolist()},
    }.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return {
        "artifact_path": _EXAMPLE_FILE,
        "serving_input_path": "serving_input_example.json",
        "type": "ndarray",
    }


@functools.cache  # a lookup takes 5 ms
def _version(name: str) -> str:
    """Return the installed version of a package; "unknown" where only workers have it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _pinned(name: str) -> str:
    """Return the requirement of a package, without the local part of its version (``+cpu``)."""
    version = _version(name).partition("+")[0]
    return name if version == "unknown" else f"{name}=={version}"


def _distribution(package: str) -> str:
    """Return the name under which a package is installed: XGBoost has one without GPU support."""
    small = f"{package}-cpu"
    return small if _version(package) == "unknown" and _version(small) != "unknown" else package


def _write_environment(folder: Path, packages: Iterable[str]) -> None:
    """Write the requirements in the three formats that MLflow's environment managers read."""
    pinned = [_pinned(name) for name in packages]
    python = platform.python_version()
    (folder / "requirements.txt").write_text("\n".join(pinned) + "\n", encoding="utf-8")
    (folder / "python_env.yaml").write_text(
        f"python: {python}\nbuild_dependencies: []\ndependencies:\n- -r requirements.txt\n",
        encoding="utf-8",
    )
    conda = [f"- python={python}", "- pip", "- pip:", *(f"  - {line}" for line in pinned)]
    (folder / "conda.yaml").write_text(
        "name: mlflow-env\nchannels:\n- conda-forge\ndependencies:\n" + "\n".join(conda) + "\n",
        encoding="utf-8",
    )
