"""A network of ours and its twin in PyTorch: the same layers, the same weights.

For timing, both run the same mini-batch through one whole step: forward, loss, backward, update.
For correctness, our gradients in float32 are compared with the twin's in float64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.measure import torch
from nets import threads
from nets.architectures import build
from nets.kernels.plan import executor
from nets.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Layer,
    MaxPooling,
    ReLU,
)
from nets.losses import CrossEntropy
from nets.network import Network
from nets.optimizers import make
from nets.settings import Settings

SHAPE, CLASSES = (28, 28, 1), 10

DEEP = Settings(architecture="deep_convnet", dropout=0.5, optimizer="sgd")
NORMALIZED = Settings(
    architecture="deep_convnet", dropout=0.5, optimizer="sgd", batch_normalization=True
)
DOUBLED = Settings(architecture="deep_convnet", filters=(32, 64, 128), dropout=0.5, optimizer="sgd")
LENET = Settings(architecture="lenet", optimizer="sgd")
MLP = Settings(architecture="mlp", hidden=(100,) * 6, optimizer="sgd")
MLP_ADAM = Settings(architecture="mlp", hidden=(100,) * 6, optimizer="adam")


def network(settings: Settings, dtype: type = np.float32) -> Network:
    """Return the network that the settings describe, for MNIST."""
    return build(settings, SHAPE, CLASSES, np.random.default_rng(0), dtype)


def mini_batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random images and labels; their content does not affect timing."""
    generator = np.random.default_rng(1)
    x = generator.random((size, *SHAPE), dtype=np.float32)
    return x, generator.integers(CLASSES, size=size)


def our_step(settings: Settings, batch: int) -> Callable[[], float]:
    """Return one training step of ours, with the number of threads set by `nets.threads.use`."""
    ours = network(settings)
    fast = executor(ours, threads=threads.count())
    optimizer = make(settings, ours.parameters.size, ours.weights.size, np.float32)
    x, labels = mini_batch(batch)
    loss, generator = CrossEntropy(), np.random.default_rng(2)

    def step() -> float:
        value = fast.loss_and_gradients(x, labels, loss, ours.draw(batch, generator))
        optimizer.update(ours.parameters, ours.gradients, settings.learning_rate)
        return value

    return step


def their_step(
    settings: Settings,
    batch: int,
    *,
    channels_last: bool,
    compiled: bool = False,
    bfloat16: bool = False,
) -> Callable[[], object]:
    """Return one training step of the twin, in PyTorch's default layout or with channels last.

    `compiled` by `torch.compile`, which needs a C++ compiler, or with activations in `bfloat16`.
    """
    twin = Twin(network(settings))
    if channels_last:
        twin.module.to(memory_format=torch.channels_last)
    x, labels = mini_batch(batch)
    tx, ty = twin.inputs(x, channels_last=channels_last), torch.from_numpy(labels)
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[settings.optimizer]
    optimizer = kind(twin.module.parameters(), lr=settings.learning_rate)
    if compiled:
        torch._dynamo.reset()  # it compiles only eight modules otherwise
    module = torch.compile(twin.module) if compiled else twin.module

    def step() -> object:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = torch.nn.functional.cross_entropy(module(tx), ty)
        loss.backward()
        optimizer.step()
        return loss

    return step


def errors(settings: Settings, batch: int) -> dict[str, float]:
    """Return the largest differences of gradients from PyTorch's in float64.

    Relative to the largest gradient, for ours in both precisions and PyTorch's in float32; without
    dropout, whose masks differ.
    """
    from dataclasses import replace

    still = replace(settings, dropout=0.0)
    exact, single = network(still, np.float64), network(still)
    exact.parameters[:] = single.parameters
    x, labels = mini_batch(batch)
    executor(exact).loss_and_gradients(x.astype(np.float64), labels, CrossEntropy())
    executor(single).loss_and_gradients(x, labels, CrossEntropy())
    if torch is None:
        return {"ours, float32": _distance(single.gradients, exact.gradients)}
    reference = Twin(exact).gradients(x.astype(np.float64), labels)
    return {
        "ours, float64": _distance(exact.gradients, reference),
        "ours, float32": _distance(single.gradients, reference),
        "PyTorch, float32": _distance(Twin(single).gradients(x, labels), reference),
    }


def _distance(received: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(received - expected).max() / np.abs(expected).max())


class Twin:
    """A PyTorch module with the layers and weights of a network of ours."""

    def __init__(self, ours: Network) -> None:
        self.ours = ours
        self.pairs: list[tuple[np.ndarray, object, Callable[[np.ndarray], np.ndarray]]] = []
        """(view into our gradients, PyTorch's parameter, conversion from its layout to ours)"""
        self.module = torch.nn.Sequential(
            *(self._layer(index, layer) for index, layer in enumerate(ours.layers))
        ).to(torch.float64 if ours.dtype == np.float64 else torch.float32)

    def inputs(self, x: np.ndarray, *, channels_last: bool = False) -> object:
        """Return our images in PyTorch's layout."""
        tensor = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        return tensor.to(memory_format=torch.channels_last) if channels_last else tensor

    def gradients(self, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the twin's gradients of a mini-batch in the order of our flat vector."""
        self.module.zero_grad()
        outputs = self.module(self.inputs(x))
        torch.nn.functional.cross_entropy(outputs, torch.from_numpy(labels)).backward()
        before = self.ours.gradients.copy()
        for view, parameter, to_ours in self.pairs:
            view[...] = to_ours(parameter.grad.numpy())
        result = self.ours.gradients.copy()
        self.ours.gradients[:] = before
        return result

    def _layer(self, index: int, layer: Layer) -> object:
        nn, shape = torch.nn, self.ours.shapes[index]
        match layer:
            case Convolution():
                module = nn.Conv2d(
                    shape[2], layer.filters, layer.kernel, layer.stride, layer.padding,
                    bias=layer.bias,
                )  # fmt: skip
                self._pair(index, "weight", module.weight, (2, 3, 1, 0))
            case Affine():
                module = nn.Linear(shape[0], layer.outputs, bias=layer.bias)
                self._pair_affine(index, module.weight)
            case BatchNormalization():
                module = (nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d)(shape[-1])
                self._pair(index, "scale", module.weight)
                self._pair(index, "shift", module.bias)
            case MaxPooling():
                module = nn.MaxPool2d(layer.window, layer.stride)
            case ReLU():
                module = nn.ReLU()
            case Dropout():
                module = nn.Dropout(layer.rate)
            case Flatten():
                module = nn.Flatten()
            case _:
                raise ValueError(f"{layer.name} has no twin")
        if getattr(layer, "bias", False):
            self._pair(index, "bias", module.bias)
        return module

    def _pair(self, index: int, name: str, theirs: object, order: tuple[int, ...] = ()) -> None:
        """Copy our parameter to the twin and store the conversion back: a permutation of axes."""
        axes = order or (0,)
        value = self.ours.parameter_views[index][name].transpose(np.argsort(axes))
        theirs.data = torch.from_numpy(np.ascontiguousarray(value))
        self.pairs.append(
            (self.ours.gradient_views[index][name], theirs, lambda array: array.transpose(axes))
        )

    def _pair_affine(self, index: int, theirs: object) -> None:
        """Pair affine weights; inputs that come from an image are in another order."""
        ours = self.ours.parameter_views[index]["weight"]
        rows = np.arange(len(ours))
        if index and isinstance(self.ours.layers[index - 1], Flatten):
            # Position in (channel, row, column) order -> our row, in (row, column, channel) order.
            rows = rows.reshape(self.ours.shapes[index - 1]).transpose(2, 0, 1).ravel()
        back = np.argsort(rows)
        theirs.data = torch.from_numpy(np.ascontiguousarray(ours[rows].T))
        view = self.ours.gradient_views[index]["weight"]
        self.pairs.append((view, theirs, lambda array: array.T[back]))
