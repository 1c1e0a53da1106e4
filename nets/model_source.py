"""A trained network as a source file and arrays, and back.

`to_model` creates what is stored with a trial: arrays that define the network completely, and a
short Python file that MLflow runs to load them. That file calls `restore` and `probabilities`, and
so can anyone who has the arrays; they do not need MLflow.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.architectures import build
from nets.arrays import FLOATS, Array, scaled
from nets.data.catalogue import DATASETS
from nets.data.dataset import Dataset
from nets.errors import InputError
from nets.framing import fill_of
from nets.functions import softmax
from nets.kernels.plan import executor
from nets.network import Network
from nets.outcome import Model
from nets.settings import Settings, from_json, to_json

TEMPLATE = "model_template.py.txt"
ARRAYS = ("settings", "image_shape", "classes", "full_scale", "parameters", "statistics")

FRAMED = 500
"""Training images from which `fill` is computed; this takes 10 ms."""


def to_model(settings: Settings, data: Dataset, parameters: Array, statistics: Array) -> Model:
    """Return a model: the file's text, and copies of the arrays that `restore` takes.

    ``settings`` is JSON as bytes (uint8); ``image_shape``, ``classes`` and ``full_scale`` are
    integers; ``parameters`` and ``statistics`` are a network's flat vectors. The other arrays
    describe the training images to users of the model: two of them as ``input_example``; for
    digits, the fraction of the frame that they span as ``fill``; and ``label_names``, if there are
    any.
    """
    names = {"label_names": np.array(data.label_names)} if data.label_names else {}
    framing = {"fill": np.array(fill_of(data.images[:FRAMED]))} if data.name in DATASETS else {}
    return Model(
        source=files("nets").joinpath(TEMPLATE).read_text(encoding="utf-8"),
        arrays={
            "settings": np.frombuffer(to_json(settings).encode(), np.uint8),
            "image_shape": np.array(data.image_shape),
            "classes": np.array(data.classes),
            "full_scale": np.array(data.full_scale),
            "parameters": parameters.copy(),
            "statistics": statistics.copy(),
            "input_example": np.array(data.images[:2]),
            **framing,
            **names,
        },
    )


def restore(arrays: Mapping[str, NDArray[Any]]) -> tuple[Network, int, int]:
    """Rebuild a network from the arrays that `to_model` returned.

    Returns
    -------
    network, full_scale, classes
        ``full_scale`` is the pixel value that stands for 1.

    Raises
    ------
    InputError
        If an array is missing or damaged, or does not fit the network that the settings describe.
    """
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise InputError(
            "model", problem=f"no {', '.join(missing)}", expected=f"arrays {', '.join(ARRAYS)}"
        )
    settings = _settings(arrays["settings"])
    image_shape = _integers(arrays, "image_shape", 1 if arrays["image_shape"].size == 1 else 3)
    (classes,), (full_scale,) = (_integers(arrays, name, 1) for name in ("classes", "full_scale"))
    vectors = {name: arrays[name] for name in ("parameters", "statistics")}
    for name, received in vectors.items():
        if received.dtype not in FLOATS:
            raise InputError(f"model.{name}", str(received.dtype), "float32 or float64")
    parameters = arrays["parameters"]
    units = classes + sum(settings.hidden or ()) + sum(settings.filters or ())
    if units > parameters.size:  # before the network is allocated
        raise InputError("model.parameters", parameters.shape, f"more for {units} units")
    try:
        network = build(settings, tuple(image_shape), classes, None, parameters.dtype)
    except (MemoryError, ValueError) as error:
        raise InputError("model", problem=f"no network of its settings: {error!s:.200}") from error
    for name, received in vectors.items():
        own = getattr(network, name)
        if received.shape != own.shape:
            raise InputError(f"model.{name}", received.shape, f"{own.shape} for its settings")
        own[:] = received
    _check_description(arrays, classes)
    return network, full_scale, classes


def _settings(array: NDArray[Any]) -> Settings:
    try:
        settings: Settings = from_json(array.tobytes().decode())
    except InputError as error:
        raise error.with_key(f"model.{error.key}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError("model.settings", problem=f"no settings: {error!s:.200}") from error
    return settings


def _integers(arrays: Mapping[str, NDArray[Any]], name: str, count: int) -> list[int]:
    """Return the numbers in one of a model's arrays."""
    array = arrays[name]
    if array.dtype.kind not in "ui" or array.size != count or array.min() < 1:
        received = f"{array.dtype} {array.shape}"
        expected = f"positive integers, {count} in number"
        raise InputError(f"model.{name}", received, expected, problem=f"got {received}")
    return [int(number) for number in array.flat]


def _check_description(arrays: Mapping[str, NDArray[Any]], classes: int) -> None:
    """Check the arrays that a model may have in addition."""
    fill, label_names = arrays.get("fill"), arrays.get("label_names")
    if fill is not None and not (fill.dtype.kind == "f" and fill.size == 1 and 0 < fill <= 1):
        raise InputError("model.fill", fill.tolist(), "a number in (0, 1]")
    if label_names is not None and (label_names.dtype.kind != "U" or label_names.size < classes):
        received = f"{label_names.dtype} {label_names.shape}"
        expected = f"{classes} strings"
        raise InputError("model.label_names", received, expected, problem=f"got {received}")


def probabilities(network: Network, full_scale: int, images: NDArray[Any]) -> Array:
    """Return each class's probability for images in their original scale.

    Parameters
    ----------
    images
        ``(n, height, width, channels)``, without the last axis if there is one channel, or one
        flattened image per row; pixels 0..full_scale. Of a table, ``(n, features)``.

    Returns
    -------
    array (n, classes)
        In the network's dtype; every row sums to one.

    Raises
    ------
    InputError
        For another shape, no image, NaN, or a pixel outside of 0..full_scale.
    """
    shape = network.input_shape
    rows = images.shape[1:] if images.ndim > 1 else ()
    if rows not in {shape, shape[:-1] if shape[-1] == 1 else shape, (int(np.prod(shape)),)}:
        expected = f"(n, {', '.join(map(str, shape))}) or (n, {int(np.prod(shape))})"
        raise InputError("images", images.shape, expected)
    is_table = len(shape) == 1
    low, high = (images.min(), images.max()) if images.size else (0, 0)
    if is_table and not (np.isfinite(low) and np.isfinite(high)):
        raise InputError("features", problem="got NaN or infinity", expected="finite numbers")
    if not is_table and not (low >= 0 and high <= full_scale):  # NaN fails both
        raise InputError(
            "pixels", (low, high), f"0 to {full_scale}", problem=f"got {low} to {high}"
        )
    pixels = scaled(images.reshape(-1, *shape), full_scale).astype(network.dtype, copy=False)
    return softmax(executor(network).predict(pixels))
