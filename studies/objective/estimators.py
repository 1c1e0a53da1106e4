"""Estimators of scikit-learn as bytes in skops' format, without pickle; equal ones as equal bytes.

skops refuses a file with types that it does not know to be harmless, unless its reader trusts them
by name. `_trusts` is our rule for these names. Nothing that a file says about itself is believed.
"""

import importlib
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from nets.errors import InputError, ModuleMissing
from tracking.store import names

_SCHEMA = "schema.json"

_TRUSTED = {
    "builtins.frozenset", "collections.OrderedDict", "numpy.dtype", "numpy.max", "numpy.mean",
    "numpy.median", "numpy.min", "numpy.sum", "scipy.interpolate._bsplines.BSpline",
    "scipy._lib.array_api_compat.numpy._aliases.asarray", "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier", "lightgbm.sklearn.LGBMModel", "lightgbm.sklearn.LGBMRanker",
    "lightgbm.sklearn.LGBMRegressor", "xgboost.core.Booster", "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBModel", "xgboost.sklearn.XGBRanker", "xgboost.sklearn.XGBRFClassifier",
    "xgboost.sklearn.XGBRFRegressor", "xgboost.sklearn.XGBRegressor",
}  # fmt: skip
"""Types and functions of other packages: creating one, or calling it, only computes.

Not those of ``scipy.stats``, which run source text of their state.
"""
_SPARSE = re.compile(r"scipy\.sparse\._[a-z]+\.[a-z]+_(matrix|array)")
_WITH_SIDE_EFFECTS = re.compile(
    r"sklearn\.(datasets|externals|utils\.(?!_bunch|_metadata_requests)|(.*\.)?tests?)\b"
)
_ONLY_COMPUTING = re.compile(r"sklearn\.(cluster|feature_selection|metrics)\.")
"""Modules of scikit-learn whose functions may be called with anything."""

_BY_VALUE = {"JsonNode", "TypeNode", "FunctionNode", "TupleNode", "ConstructorFromReduceNode"}
"""Nodes of values that cannot change: whether two are one object depends on the interpreter."""


_EXPECTED = (
    "expected only classes of scikit-learn, LightGBM and XGBoost, and functions of NumPy and SciPy"
)


class ModelRefused(TypeError):
    """A model that cannot be stored without pickle, or is of no known library."""


def is_estimator(thing: Any) -> bool:
    """Return whether an object is an estimator of scikit-learn, or a pipeline of some."""
    return any(kind.__module__.startswith("sklearn.") for kind in type(thing).__mro__)


def dumped(estimator: Any) -> bytes:
    """Return an estimator as bytes; raises ModelRefused for one that `loaded` would refuse."""
    what = f"got a {type(estimator).__name__}"
    skops = _skops()
    try:
        content: bytes = skops.dumps(estimator)
        types = skops.get_untrusted_types(data=content)
    except Exception as error:  # whatever the state of an estimator makes it raise
        reason = f"{error!s:.200}".rstrip(".")
        raise ModelRefused(f"{what}, which skops cannot store: {reason}") from error
    if foreign := [name for name in types if not _trusts(name)]:
        raise ModelRefused(
            f"{what} with {', '.join(foreign)}, {_EXPECTED} (of a search, save best_estimator_)"
        )
    return _canonical(content)


def loaded(content: bytes) -> Any:
    """Return the estimator that `dumped` turned into `content`.

    Raises ModelRefused for a type that could do anything when it is loaded, and InputError for
    bytes that are no such file.
    """
    skops = _skops()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ValueError("it is compressed")
        types: list[str] = skops.get_untrusted_types(data=content)
        if foreign := [name for name in types if not _trusts(name)]:
            raise ModelRefused(
                f"the model contains {', '.join(map(names.plain, foreign))}, which could do "
                f"anything when it is loaded, {_EXPECTED}"
            )
        return skops.loads(content, trusted=types)
    except (ModelRefused, ModuleMissing):
        raise
    except ImportError as error:
        raise missing(str(error.name).partition(".")[0]) from error
    except Exception as error:
        problem = f"a damaged file of skops ({error!s:.200})"
        raise InputError("model", problem=problem) from error


def missing(package: str) -> ModuleMissing:
    """Return the error for a package that a model needs and that is not installed."""
    extra = "sklearn" if package == "skops" else package
    has_extra = extra in ("sklearn", "torch", "lightgbm", "xgboost", "onnx")
    wanted = f'"retrial-studies[{extra}]"' if has_extra else package
    return ModuleMissing(
        "model",
        problem=f"package {package} not found",
        hint=f"install it with: pip install {wanted}",
    )


def _trusts(name: str) -> bool:
    """Return whether an object of a type, or a call of a function, can do no harm.

    The name is looked up only in modules of scikit-learn.
    """
    module, _, attribute = name.rpartition(".")
    if name in _TRUSTED or _SPARSE.fullmatch(name):
        return True
    if not module.startswith("sklearn.") or _WITH_SIDE_EFFECTS.match(module):
        return False
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        return False
    home = str(getattr(found, "__module__", ""))  # it may be imported there from elsewhere
    if not home.startswith("sklearn.") or _WITH_SIDE_EFFECTS.match(home):
        return False
    return isinstance(found, type) or _ONLY_COMPUTING.match(module) is not None


def _canonical(content: bytes) -> bytes:
    """Return a file of skops in which nothing depends on addresses, dates or chance.

    skops numbers objects by their addresses, so that what is shared stays shared, names files by
    them or at random, and dates the files, as SciPy does those of a sparse matrix. NumPy writes
    what is in memory between the fields of a record, such as a node of a tree.
    """
    contents = _members(content)
    schema = json.loads(contents.pop(_SCHEMA))
    for name, member in contents.items():
        if name.endswith(".npy"):
            contents[name] = _without_gaps(member)
        elif name.endswith(".npz"):
            contents[name] = archived(_members(member))
    times = Counter(node.get("__id__") for node in _nodes(schema))
    numbers: dict[int, int] = {}
    files: dict[bytes, str] = {}
    for node in _nodes(schema):
        identity = node.pop("__id__", None)
        is_value = node["__loader__"] in _BY_VALUE or (
            node["__loader__"] == "NdArrayNode" and node["__class__"] != "ndarray"
        )
        if not is_value and times[identity] > 1:
            node["__id__"] = numbers.setdefault(identity, len(numbers) + 1)
        if isinstance(node.get("file"), str):
            array, suffix = contents[node["file"]], node["file"].rpartition(".")[2]
            node["file"] = files.setdefault(array, f"{len(files)}.{suffix}")
        if node["__loader__"] == "SetNode":
            node["content"].sort(key=json.dumps)
    members = {name: array for array, name in files.items()}
    return archived({**members, _SCHEMA: json.dumps(schema).encode()})


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _without_gaps(content: bytes) -> bytes:
    """Return a file of an array with zeros between the fields of its records, if it has any."""
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None or not array.flags.c_contiguous:
        return content
    zeros = np.zeros(array.shape, array.dtype)  # zeros_like leaves the gaps as they are
    for field in array.dtype.names:
        zeros[field] = array[field]
    return content[: len(content) - zeros.nbytes] + zeros.tobytes()


def archived(members: dict[str, bytes]) -> bytes:
    """Return a zip file, uncompressed and without dates."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a schema, before those that it contains.

    Keys of a user's dict may be called like those of a node, but their values are nodes.
    """
    if isinstance(tree, list):
        for item in tree:
            yield from _nodes(item)
    elif isinstance(tree, dict):
        if isinstance(tree.get("__loader__"), str):
            yield tree
        for item in list(tree.values()):
            yield from _nodes(item)


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise missing("skops") from error
    return skops.io
