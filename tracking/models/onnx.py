"""Export a trained network as an ONNX file: one graph from pixels to probabilities.

The graph is built layer by layer; the table `NODES` maps each layer type to its nodes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import layers
from nets.arrays import Array
from nets.errors import InputError, ModuleMissing, one_of
from nets.functions import GELU_CUBIC, GELU_SCALE
from nets.network import Network
from tracking.store import names

try:
    import onnx
    from onnx import TensorProto, checker, helper, numpy_helper
except ImportError as error:
    raise ModuleMissing(
        "export", problem="package onnx not found", hint="install it with: pip install onnx"
    ) from error

# Opset and IR version of ONNX 1.12 (2022). They have everything needed here, and a runtime reads
# files that are older than itself but not newer ones.
OPERATORS = 17
FORMAT = 8

INPUT, OUTPUT = "images", "probabilities"


def to_onnx(network: Network, full_scale: int, properties: Mapping[str, str]) -> bytes:
    """Return a network, preceded by the scaling and followed by the softmax, as an ONNX file.

    Its input ``images`` are the pixels of the data set, uint8 ``(n, height, width, channels)`` in
    0..full_scale, or the rows of a table, float32 ``(n, features)``; its output ``probabilities``
    are float32 ``(n, classes)``, for any n. The graph computes predictions, in float32. Equal
    networks give equal bytes.

    Parameters
    ----------
    full_scale
        The pixel value that is scaled to 1.
    properties
        Metadata of the file, in addition to the version of retrial.

    Raises
    ------
    InputError
        A layer is not in `NODES`; the message names it.
    """
    graph = Graph(INPUT)
    graph.add("Cast", "pixels", to=TensorProto.FLOAT)
    graph.add("Div", "scaled", graph.constant("full_scale", full_scale))
    for index, layer in enumerate(network.layers):
        graph.rank = 1 + len(network.shapes[index])
        write = NODES.get(type(layer))
        if write is None:
            kind = type(layer).__name__
            problem = f"layer {layer.name!r} is a {kind}, which has no ONNX equivalent"
            expected = one_of(sorted(known.__name__ for known in NODES))
            raise InputError("export", kind, expected, problem=problem)
        write(graph, layer, network.parameter_views[index] | network.statistic_views[index])
    graph.rank = 1 + len(network.output_shape)
    graph.turn(channels_first=False)
    graph.add("Softmax", OUTPUT, axis=-1)
    is_table = isinstance(network.layers[0], layers.Standardization)
    images = helper.make_tensor_value_info(
        INPUT,
        TensorProto.FLOAT if is_table else TensorProto.UINT8,
        ["n", *network.input_shape],
        "features of a table" if is_table else f"pixels of 0..{full_scale}",
    )
    answers = helper.make_tensor_value_info(
        OUTPUT, TensorProto.FLOAT, ["n", *network.output_shape], "one for each class"
    )
    version = names.own_version()
    model = helper.make_model(
        helper.make_graph(graph.nodes, "network", [images], [answers], graph.constants),
        opset_imports=[helper.make_opsetid("", OPERATORS)],
        ir_version=FORMAT,
        producer_name="retrial",
        producer_version=version,
    )
    helper.set_model_props(model, {**properties, names.VERSION_PROPERTY: version})
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@dataclass
class Graph:
    """A chain of nodes, each of which takes the output array of the previous one.

    Our networks have the channels of images on the last axis, ONNX's operators on the second one,
    after the batch. `turn` adds a transposition only where the order has to change.

    Attributes
    ----------
    array
        Name of the input array of the next node.
    rank
        Number of its axes, including the batch.
    channels_first
        Whether the channels are on its second axis instead of the last.
    """

    array: str
    rank: int = 0
    channels_first: bool = False
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, name: str, *others: str, **attributes: Any) -> None:
        """Append a node with the current array and `others` as inputs, and the output `name`."""
        inputs = [self.array, *others]
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        self.array = name

    def constant(self, name: str, values: NDArray[Any] | float) -> str:
        """Add a constant as float32; return its name."""
        self.constants.append(
            numpy_helper.from_array(np.array(values, np.float32, order="C"), name)
        )
        return name

    def constants_of(self, layer: layers.Layer, arrays: "Arrays", *which: str) -> list[str]:
        """Add those of a layer's arrays that it has; return their names."""
        own = [name for name in which if name in arrays]
        return [self.constant(f"{layer.name}.{name}", arrays[name]) for name in own]

    def turn(self, *, channels_first: bool) -> None:
        """Move the channels first, or last, unless they are there already."""
        if self.rank < 3 or self.channels_first == channels_first:
            return
        last = self.rank - 1
        order = [0, last, *range(1, last)] if channels_first else [0, *range(2, self.rank), 1]
        where = "first" if channels_first else "last"
        self.add("Transpose", f"{self.array}.channels_{where}", perm=order)
        self.channels_first = channels_first


Arrays = dict[str, Array]
"""A layer's parameters and running statistics, by name."""


def _affine(graph: Graph, layer: layers.Affine, arrays: Arrays) -> None:
    graph.add("Gemm", layer.name, *graph.constants_of(layer, arrays, "weight", "bias"))


def _convolution(graph: Graph, layer: layers.Convolution, arrays: Arrays) -> None:
    graph.turn(channels_first=True)
    # (height, width, channels, filters) -> (filters, channels, height, width)
    arrays = arrays | {"weight": arrays["weight"].transpose(3, 2, 0, 1)}
    graph.add(
        "Conv",
        layer.name,
        *graph.constants_of(layer, arrays, "weight", "bias"),
        kernel_shape=layer.kernel,
        strides=layer.stride,
        pads=layer.padding * 2,  # at the start of both axes, then at their ends
    )


def _pooling(
    operator: str, graph: Graph, layer: layers.MaxPooling | layers.AveragePooling, arrays: Arrays
) -> None:
    graph.turn(channels_first=True)
    graph.add(operator, layer.name, kernel_shape=layer.window, strides=layer.stride)


def _batch_normalization(graph: Graph, layer: layers.BatchNormalization, arrays: Arrays) -> None:
    graph.turn(channels_first=True)
    others = graph.constants_of(layer, arrays, "scale", "shift", "mean", "variance")
    graph.add("BatchNormalization", layer.name, *others, epsilon=layer.epsilon)


def _standardization(graph: Graph, layer: layers.Standardization, arrays: Arrays) -> None:
    mean, deviation = graph.constants_of(layer, arrays, "mean", "deviation")
    graph.add("Sub", f"{layer.name}.centered", mean)
    graph.add("Div", layer.name, deviation)


def _flatten(graph: Graph, layer: layers.Flatten, arrays: Arrays) -> None:
    graph.turn(channels_first=False)
    graph.add("Flatten", layer.name)


def _activation(operator: str, graph: Graph, layer: layers.Layer, arrays: Arrays) -> None:
    graph.add(operator, layer.name)


def _leaky_relu(graph: Graph, layer: layers.LeakyReLU, arrays: Arrays) -> None:
    graph.add("LeakyRelu", layer.name, alpha=layer.slope)


def _gelu(graph: Graph, layer: layers.GELU, arrays: Arrays) -> None:
    """Write the formula of `nets.functions.gelu`; ONNX has a node for it only from opset 20 on."""
    x, name = graph.array, layer.name
    one = graph.constant(f"{name}.one", 1)
    graph.add("Mul", f"{name}.square", x)
    graph.add("Mul", f"{name}.cubic", graph.constant(f"{name}.cubic_factor", GELU_CUBIC))
    graph.add("Add", f"{name}.factor", one)
    graph.add("Mul", f"{name}.sum", x)
    graph.add("Mul", f"{name}.u", graph.constant(f"{name}.scale", GELU_SCALE))
    graph.add("Tanh", f"{name}.t")
    graph.add("Add", f"{name}.above", one)
    graph.add("Mul", f"{name}.twice", x)
    graph.add("Mul", name, graph.constant(f"{name}.half", 0.5))


def _softmax(graph: Graph, layer: layers.Softmax, arrays: Arrays) -> None:
    graph.turn(channels_first=False)
    graph.add("Softmax", layer.name, axis=-1)


def _step(graph: Graph, layer: layers.Step, arrays: Arrays) -> None:
    graph.add("Greater", f"{layer.name}.above", graph.constant(f"{layer.name}.zero", 0))
    graph.add("Cast", layer.name, to=TensorProto.FLOAT)


def _nothing(graph: Graph, layer: layers.Identity | layers.Dropout, arrays: Arrays) -> None:
    """Add no node: in prediction, these layers return their input."""


Write = Callable[[Graph, Any, Arrays], None]

NODES: dict[type[layers.Layer], Write] = {
    layers.Affine: _affine,
    layers.AveragePooling: partial(_pooling, "AveragePool"),
    layers.BatchNormalization: _batch_normalization,
    layers.Convolution: _convolution,
    layers.Dropout: _nothing,
    layers.Flatten: _flatten,
    layers.GELU: _gelu,
    layers.Identity: _nothing,
    layers.LeakyReLU: _leaky_relu,
    layers.MaxPooling: partial(_pooling, "MaxPool"),
    layers.ReLU: partial(_activation, "Relu"),
    layers.Sigmoid: partial(_activation, "Sigmoid"),
    layers.Softmax: _softmax,
    layers.Standardization: _standardization,
    layers.Step: _step,
    layers.Tanh: partial(_activation, "Tanh"),
}
"""The function that adds the nodes of each type of layer."""
