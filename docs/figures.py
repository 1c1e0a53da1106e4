"""The figures of `concepts.md`, which are kept in `figures/` as SVG files.

    python docs/figures.py [NAME ...]

draws all of them, or those named. What they show is computed by `nets`, and all that is random
comes from seeds: equal versions of the libraries on equal processors give equal bytes. The filters
and the distorted digits are MNIST's (`retrial data fetch mnist`, or RETRIAL_DATA).
"""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from nets import (
    GELU,
    SGD,
    AdaGrad,
    Adam,
    Affine,
    Augmenter,
    LeakyReLU,
    Momentum,
    Network,
    ReLU,
    RMSProp,
    Settings,
    Sigmoid,
    Step,
    Tanh,
    build,
    constant_std,
    data,
    he_normal,
    objective,
    restore,
    xavier_normal,
)
from nets.randomness import stream
from tracking.figures.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    key,
    legend,
    margins,
    page,
    tidy,
    to_svg,
)

FOLDER = Path(__file__).parent / "figures"
GREEN = "#228833"
CURVES = {
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
}
"""The metrics of a training that are drawn, and their titles."""
DATA = Path(os.environ.get("RETRIAL_DATA") or data.default_folder())


def activations() -> Figure:
    """Draw each activation and its derivative."""
    figure = page("Activations", "what a unit outputs for the sum of its inputs", height=4.6)
    grid = figure.subplots(
        2, 3, sharex=True, sharey="row",
        gridspec_kw=margins(4.6, left=0.45, bottom=0.35, top=0.95, hspace=0.25, wspace=0.08),
    )  # fmt: skip
    layers = Step(), Sigmoid(), Tanh(), ReLU(), LeakyReLU(), GELU()
    x = np.linspace(-4, 4, 80)[np.newaxis]
    for axes, layer in zip(grid.flat, layers, strict=True):
        y, backward = layer.forward(x, {}, training=False)
        slope, _ = backward(np.ones_like(y))
        tidy(axes, grid="both")
        axes.plot(x[0], y[0], color=BLUE, linewidth=2)
        axes.plot(x[0], slope[0], color=ORANGE, linewidth=1.4, linestyle="--")
        title(axes, type(layer).__name__)
    output = key("output", color=BLUE, linestyle="-", linewidth=2)
    legend(figure, [output, key("derivative", color=ORANGE, linestyle="--")])
    return figure


def optimizers() -> Figure:
    """Draw the gradient of a long valley, and the path of each optimizer down to its minimum."""
    start, steps = (-7, 2), 30
    chosen = {
        "SGD": (SGD(2), 0.95), "momentum": (Momentum(2), 0.1), "AdaGrad": (AdaGrad(2), 1.5),
        "RMSProp": (RMSProp(2, decay=0.9), 0.3), "Adam": (Adam(2), 0.3),
    }  # fmt: skip
    figure = page(
        "Down a long valley",
        f"x²/20 + y²: the gradient, and {steps} steps from {start} with the learning rate r",
        height=4.6,
    )
    grid = figure.subplots(
        2, 3, sharex=True, sharey=True,
        gridspec_kw=margins(4.6, left=0.45, bottom=0.35, top=0.95, hspace=0.25, wspace=0.08),
    )  # fmt: skip
    for axes in grid.flat:
        tidy(axes, grid="")
        axes.set(xlim=(-8, 8), ylim=(-3, 3))
        for level in (0.5, 2, 4.5):
            size = 2 * np.sqrt(20 * level), 2 * np.sqrt(level)
            axes.add_patch(Ellipse((0, 0), *size, fill=False, edgecolor=GREY, linewidth=0.7))
        axes.plot(0, 0, marker="+", color=INK, markersize=8)
    field, *others = grid.flat
    x, y = np.meshgrid(np.linspace(-6.5, 6.5, 9), np.linspace(-2.5, 2.5, 6))
    downhill = -valley_slope(np.stack([x, y]))
    field.quiver(x, y, *downhill, color=BLUE, angles="xy", scale_units="xy", scale=5, width=0.006)
    title(field, "minus the gradient")
    for axes, (name, (optimizer, rate)) in zip(others, chosen.items(), strict=True):
        point, path = np.array(start, np.float64), [start]
        for _ in range(steps):
            optimizer.update(point, valley_slope(point), rate)
            path.append(tuple(point))
        axes.plot(*np.transpose(path), color=ORANGE, marker="o", markersize=2.5, linewidth=1.2)
        title(axes, f"{name}, r = {rate}")
    return figure


def valley_slope(point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the gradient of ``x^2 / 20 + y^2``."""
    x, y = point
    return np.stack([x / 10, 2 * y])


def initialization() -> Figure:
    """Draw what the units of five layers output, for several initial weights."""
    depth, width = 5, 100
    chosen = [
        ("tanh, std 1", Tanh(), partial(constant_std, std=1)),
        ("tanh, std 0.01", Tanh(), constant_std),
        ("tanh, Xavier", Tanh(), xavier_normal),
        ("ReLU, std 0.01", ReLU(), constant_std),
        ("ReLU, Xavier", ReLU(), xavier_normal),
        ("ReLU, He", ReLU(), he_normal),
    ]
    figure = page(
        "Initial weights",
        f"outputs of {depth} layers of {width} units for 1,000 random inputs, before training; of "
        "ReLU those above 0",
        height=5.6,
    )
    grid = figure.subplots(
        len(chosen), depth,
        gridspec_kw=margins(5.6, left=1.2, bottom=0.35, top=0.95, hspace=0.5, wspace=0.2),
    )  # fmt: skip
    inputs = np.random.default_rng(0).normal(size=(1000, width))
    for column, axes in enumerate(grid[0], start=1):
        title(axes, f"layer {column}")
    for row, (name, activation, initializer) in zip(grid, chosen, strict=True):
        network = Network([Affine(width), activation] * depth, (width,), np.float64)
        network.initialize(initializer, np.random.default_rng(1))
        limits = (-1, 1) if activation == Tanh() else (0, 2)
        is_last = name in ("tanh, Xavier", "ReLU, He")
        for axes, y in zip(row, outputs_of(network, inputs)[1::2], strict=True):
            counts, edges = np.histogram(y[y != 0], 21, limits)
            axes.stairs(counts / max(1, counts.max()), edges, fill=True, color=BLUE)
            tidy(axes, grid="")
            axes.spines["left"].set_visible(False)
            axes.set(xlim=limits, ylim=(0, 1), yticks=[], xticks=limits if is_last else [])
        label(row[0], name)
    return figure


def overfitting() -> Figure:
    """Draw the training on 300 images of a network that overfits, and of two that do so less."""
    digits = data.load("digits", data.default_folder())
    base = Settings(
        validation=len(digits.images) - 300, batch_size=50, epochs=200,
        hidden=(100,) * 5, optimizer="sgd", learning_rate=0.1,
    )  # fmt: skip
    chosen = {
        "without a cure": (base, BLUE),
        "weight decay 0.003": (replace(base, weight_decay=0.003), ORANGE),
        "dropout 0.1": (replace(base, dropout=0.1), GREEN),
    }
    seeds = range(5)
    figure = page(
        "Overfitting",
        f"5 layers of 100 units, trained on 300 digits; means of {len(seeds)} seeds",
        height=4,
    )
    panels = figure.subplots(1, 3, gridspec_kw=margins(4, left=0.55, top=0.95, wspace=0.3))
    keys = []
    for name, (settings, color) in chosen.items():
        curves = np.mean(
            [curves_of(replace(settings, seed=seed), digits) for seed in seeds], axis=0
        )
        for axes, curve in zip(panels, curves.T, strict=True):
            axes.plot(range(1, settings.epochs + 1), curve, color=color, linewidth=1.4)
        keys.append(key(name, color=color, linestyle="-"))
    for axes, name in zip(panels, CURVES.values(), strict=True):
        tidy(axes)
        title(axes, name)
        axes.set_xlabel("epoch", fontsize=10)
    panels[0].set_yscale("log")
    panels[1].set_ylim(0.1, 0.25)
    panels[2].set_ylim(0.93, 0.97)
    legend(figure, keys)
    return figure


def curves_of(settings: Settings, dataset: data.Dataset) -> NDArray[np.float64]:
    """Train; return the values of each of `CURVES`, ``(epochs, 3)``."""
    values = []
    objective(settings, dataset, lambda epoch: values.append([epoch.metrics[m] for m in CURVES]))
    return np.array(values)


def features() -> Figure:
    """Draw the filters of a network before and after its training, and what they find."""
    settings, network = trained_on_mnist()
    before = build(settings, network.input_shape, 10, stream(settings.seed, "initialization"))
    digit = unseen_digits()[0][0]
    names = [layer.name for layer in network.layers]
    maps = outputs_of(network, digit[np.newaxis])[names.index("relu1")][0]
    kinds = {
        "filters before\ntraining": before.named["convolution1.weight"][:, :, 0],
        "filters after\ntraining": network.named["convolution1.weight"][:, :, 0],
        "feature maps\nof the digit": maps,
    }
    figure = page(
        "Filters and feature maps",
        "first convolution of a network trained on 6,000 digits; red: positive weights, blue: "
        "negative ones",
        height=3.2,
    )
    grid = figure.subplots(3, 9, gridspec_kw=margins(3.2, left=1.15, bottom=0.1, top=0.65))
    for row, (name, images) in zip(grid, kinds.items(), strict=True):
        label(row[0] if images is maps else row[1], name)
        row[0].set_axis_off()
        for axes, image in zip(row[1:], np.moveaxis(images, -1, 0), strict=True):
            if images is maps:
                show(axes, image)
            else:
                limit = np.abs(image).max()
                show(axes, image, cmap="RdBu_r", vmin=-limit, vmax=limit)
    show(grid[2, 0], digit[..., 0])
    return figure


def augmentation() -> Figure:
    """Draw a digit under mild and strong distortions, and how many digits are still recognized."""
    _, network = trained_on_mnist()
    images, labels = unseen_digits()
    mild = {"shift": 2, "rotation": 15, "scale": 0.2, "shear": 0.3, "elastic": 1}
    strong = {"shift": 6, "rotation": 45, "scale": 0.5, "shear": 0.8, "elastic": 3}
    figure = page(
        "Augmentation: mild (left) and strong (right)",
        "a digit and five random versions; percent: recognized by a network trained without "
        "augmentation",
        height=5.6,
    )
    grid = figure.subplots(
        len(mild), 2,
        gridspec_kw=margins(5.6, left=0.1, right=0.1, bottom=0.1, top=0.9, hspace=0.4, wspace=0.05),
    )  # fmt: skip
    for column, strengths in zip(grid.T, (mild, strong), strict=True):
        for axes, (name, strength) in zip(column, strengths.items(), strict=True):
            augmenter = Augmenter(Settings(**{name: strength}), network.input_shape)
            distorted = augmenter(images, np.random.default_rng(0))
            right = (network.predict(distorted).argmax(axis=1) == labels).mean()
            versions = augmenter(images[[0] * 5], np.random.default_rng(0))
            show(axes, np.hstack([*images[:1, ..., 0], *versions[..., 0]]))
            title(axes, f"{name} {strength}: {right:.0%}")
    return figure


@cache
def trained_on_mnist() -> tuple[Settings, Network]:
    """Return a small network for images, trained without augmentation, and its settings."""
    settings = Settings(
        data="mnist", validation=0, architecture="lenet", filters=(8, 16),
        batch_normalization=True, initialization="constant_std",
        epochs=5, schedule="cosine", weight_decay=0.001,
    )  # fmt: skip
    mnist = data.load("mnist", DATA)
    few = replace(mnist, images=mnist.images[:6000], labels=mnist.labels[:6000], path=None)
    outcome = objective(settings, few, lambda epoch: None)
    network, *_ = restore(outcome.model.arrays)
    return settings, network


def unseen_digits() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return images that the network has not been trained on, and their labels."""
    mnist = data.load("mnist", DATA)
    return (mnist.images[-2000:] / mnist.full_scale).astype(np.float32), mnist.labels[-2000:]


def outputs_of(network: Network, x: NDArray[Any]) -> list[NDArray[Any]]:
    """Return what each layer of a network outputs."""
    outputs = []
    for layer, parameters, statistics in zip(
        network.layers, network.parameter_views, network.statistic_views, strict=True
    ):
        x, _ = layer.forward(x, parameters, training=False, statistics=statistics)
        outputs.append(x)
    return outputs


def show(axes: Axes, image: NDArray[Any], **how: Any) -> None:
    """Show an image without a frame, grey unless said otherwise."""
    axes.set_axis_off()
    axes.imshow(image, **{"cmap": "gray", "interpolation": "none", **how})


def title(axes: Axes, text: str) -> None:
    """Write a title above a panel."""
    axes.set_title(text, fontsize=10, color=INK)


def label(axes: Axes, text: str) -> None:
    """Write a label to the left of a row of panels."""
    axes.text(-0.1, 0.5, text, fontsize=10, color=INK, ha="right", va="center",
              transform=axes.transAxes)  # fmt: skip


FIGURES: dict[str, Callable[[], Figure]] = {
    "activations": activations,
    "optimizers": optimizers,
    "initialization": initialization,
    "overfitting": overfitting,
    "features": features,
    "augmentation": augmentation,
}
"""Each figure by the name of its file."""


def svg_of(name: str) -> bytes:
    """Return a figure as a small SVG file: text as text, coordinates of at most two decimals."""
    with rc_context({"svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans", "Verdana"]}):
        drawn = to_svg(FIGURES[name]())
    return re.sub(rb"([1-9]\d*\.\d\d)\d+", rb"\1", drawn)


def main() -> None:
    """Draw the figures that the arguments name, or all."""
    for name in sys.argv[1:] or FIGURES:
        drawn = svg_of(name)
        (FOLDER / f"{name}.svg").write_bytes(drawn)
        print(f"{name}: {len(drawn):,} bytes")


if __name__ == "__main__":
    main()
