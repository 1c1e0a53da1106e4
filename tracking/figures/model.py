"""Figures of a final model: where it errs, how sure it is, and what its first layer looks for.

Drawn without pyplot: no global state, so any thread may draw. Sizes are for the width at which
MLflow's pages show a picture.
"""

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nets.arrays import Array
from nets.calibration import reliability
from nets.layers import Affine, Convolution
from nets.network import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_IMAGES = 40
"""Misclassified images that are shown: the ones the network was surest of."""

MOST_NUMBERED = 24
"""Classes whose counts and names are written into a confusion matrix; of more, colours remain."""

MOST_FILTERS = 64
"""First-layer filters that are shown: those with the largest weights."""

_BLUE, _RED, _GREY = "#4477aa", "#cc5533", "0.6"


def confusion_matrix(labels: NDArray[Any], answers: Array, names: Sequence[str] = ()) -> "Figure":
    """Draw how often each class was taken for each: true classes in rows, answers in columns.

    Coloured by the share of its row, so that a mistake that is frequent for its class shows
    whatever the class's size; right answers stand on a grey diagonal. `names` are what the classes
    are called.
    """
    classes = answers.shape[1]
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, answers.argmax(axis=1)), 1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    share = wrong / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(7.2, 6.6)
    axes = figure.subplots()
    margin = min(0.09 + 0.011 * max([*map(len, names), 0]), 0.3)
    figure.subplots_adjust(left=margin, right=0.98, bottom=margin, top=0.92)
    axes.imshow(share, cmap="Oranges", vmin=0, vmax=max(share.max(), 1e-9))
    for row, column in np.ndindex(classes, classes):
        count = counts[row, column]
        if row == column:
            axes.add_patch(_square(row, column))
        if count and classes <= MOST_NUMBERED:
            dark = share[row, column] > 0.6 * share.max() > 0
            axes.text(
                column, row, str(count), ha="center", va="center", fontsize=10,
                color="white" if dark and row != column else "black",
            )  # fmt: skip
    hits = int(np.trace(counts))
    axes.set_title(
        f"{hits} of {len(labels)} test images right ({hits / len(labels):.2%}), "
        f"{len(labels) - hits} wrong; colour: share of the label's images",
        fontsize=11,
        x=(0.5 - margin) / (0.98 - margin),  # in the middle of the figure
    )
    axes.set_xlabel("answer")
    axes.set_ylabel("label")
    if classes <= MOST_NUMBERED:
        axes.set_xticks(range(classes), [_cut(name) for name in names] or None)
        axes.set_yticks(range(classes), [_cut(name) for name in names] or None)
        axes.tick_params("x", labelrotation=90 if names else 0)
    axes.tick_params(length=0)
    return figure


def misclassified(
    images: NDArray[Any], labels: NDArray[Any], answers: Array, names: Sequence[str] = ()
) -> "Figure":
    """Draw misclassified images, the surest mistake first, with the answer and its score.

    Under each stands the label and what the network gave it. `names` are what labels are called.
    """
    predicted = answers.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    order = wrong[np.argsort(-answers[wrong].max(axis=1), kind="stable")][:MOST_IMAGES]
    columns = 8
    rows = max(1, math.ceil(len(order) / columns))
    height = 1.4 * rows + 0.75
    figure = _figure(1.15 * columns, height)
    shown = f"all {len(wrong)}" if len(order) == len(wrong) else f"{len(order)} of {len(wrong)}"
    text = (
        f"{shown} misclassified images, the surest mistakes first\n"
        "above: the answer and its score; below: the label and its score"
    )
    if not len(wrong):
        text = "no image was misclassified"
    figure.suptitle(text, fontsize=11, y=1 - 0.15 / height)
    figure.subplots_adjust(
        left=0.01, right=0.99, bottom=0.25 / height, top=1 - 0.8 / height, hspace=0.55, wspace=0.1
    )
    for axes, place in _grid(figure, rows, columns, len(order)):
        index = order[place]
        _show(axes, images[index], cmap="gray")
        label, answer = int(labels[index]), int(predicted[index])
        above, below = (_cut(names[one], 12) if names else one for one in (answer, label))
        axes.set_title(
            f"{above}: {answers[index, answer]:.3f}", fontsize=9, color=_RED, pad=2, weight="bold"
        )
        axes.text(
            0.5, -0.05, f"{below}: {answers[index, label]:.3f}", transform=axes.transAxes,
            ha="center", va="top", fontsize=9,
        )  # fmt: skip
    return figure


def calibration(labels: NDArray[Any], answers: Array) -> "Figure":
    """Draw a reliability diagram: of the answers with a score, what share is right.

    Bars on the diagonal can be taken at their word; below it the network is too sure of itself.
    The lower panel shows how many answers each bar stands for, on a logarithmic scale.
    """
    found = reliability(answers, labels)
    figure = _figure(6.4, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    figure.subplots_adjust(left=0.13, right=0.96, bottom=0.09, top=0.93, hspace=0.08)
    width = float(found.edges[1])
    middles = (found.edges[:-1] + found.edges[1:]) / 2
    filled = found.counts > 0
    upper.bar(
        middles[filled], found.accuracy[filled], width * 0.94, color=_BLUE, label="right answers"
    )
    upper.plot(
        found.confidence[filled], found.accuracy[filled], "o", color="black", markersize=4,
        label="at the bin's mean score",
    )  # fmt: skip
    upper.plot([0, 1], [0, 1], "--", color=_RED, linewidth=1.2, label="perfect calibration")
    upper.set_title(f"calibration: expected error {found.error:.4f}", fontsize=11)
    upper.set_ylabel("share of right answers")
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1.02)
    upper.legend(loc="upper left", fontsize=9, frameon=False)
    lower.bar(middles[filled], found.counts[filled], width * 0.94, color=_GREY)
    lower.set_yscale("log")
    lower.set_ylim(0.7, 3 * max(int(found.counts.max()), 1))
    lower.set_ylabel("answers")
    lower.set_xlabel("score of the answer")
    for axes in (upper, lower):
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    return figure


def first_layer_filters(network: Network) -> "Figure | None":
    """Draw what the first layer looks for: convolution kernels, or an mlp's weights as images.

    One scale for all, symmetric about zero: red answers to bright pixels, blue to dark ones. Where
    there are several input channels their mean is shown. Returns None for a network that begins
    with neither kind of layer.
    """
    filters = first_filters(network)
    if filters is None:
        return None
    norms = np.linalg.norm(filters.reshape(len(filters), -1), axis=1)
    shown = np.sort(np.argsort(-norms, kind="stable")[:MOST_FILTERS])
    columns = min(8, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = _figure(1.0 * columns + 1.0, 1.0 * rows + 0.7)
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=0.1 / width, right=1 - 0.9 / width, bottom=0.1 / height, top=1 - 0.6 / height,
        hspace=0.08, wspace=0.08,
    )  # fmt: skip
    kind = f"{filters.shape[1]}x{filters.shape[2]}"
    text = f"first layer: {len(filters)} filters of {kind}"
    if len(shown) < len(filters):
        text = f"first layer: the {len(shown)} strongest of {len(filters)} filters of {kind}"
    figure.suptitle(text, fontsize=11, y=1 - 0.2 / height)
    # Single large weights would leave all others pale.
    limit = float(np.quantile(np.abs(filters[shown]), 0.997)) or 1.0
    images = [
        _show(axes, filters[shown[place]], cmap="RdBu_r", vmin=-limit, vmax=limit)
        for axes, place in _grid(figure, rows, columns, len(shown))
    ]
    bar = figure.add_axes((1 - 0.75 / width, 0.1 / height, 0.15 / width, 1 - 0.7 / height))
    figure.colorbar(images[0], cax=bar, extend="both")
    bar.tick_params(labelsize=8)
    return figure


def first_filters(network: Network) -> NDArray[Any] | None:
    """Return the first layer's weights as images, ``(filters, height, width)``, or None."""
    for layer, views in zip(network.layers, network.parameter_views, strict=True):
        if not views:
            continue
        weight = views.get("weight")
        if weight is not None and isinstance(layer, Convolution):
            return np.moveaxis(weight, -1, 0).mean(axis=-1)  # type: ignore[no-any-return]
        if weight is not None and isinstance(layer, Affine):
            images = weight.T.reshape(-1, *network.input_shape)
            return images.mean(axis=-1)  # type: ignore[no-any-return]
        return None
    return None


def _cut(name: str, longest: int = 20) -> str:
    """Return a name as short as there is room, safe from being read as a formula."""
    text = name if len(name) <= longest else f"{name[: longest - 1]}…"
    return text.replace("$", r"\$")


def _figure(width: float, height: float) -> "Figure":
    # Matplotlib says on stderr that it builds a font cache, once a machine.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def _grid(figure: "Figure", rows: int, columns: int, count: int) -> "list[tuple[Axes, int]]":
    """Return axes without ticks for each of `count` pictures; what is left of the grid is empty."""
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    return [(grid[place], place) for place in range(count)]


def _show(axes: "Axes", image: NDArray[Any], **how: Any) -> Any:
    """Show an image: grey, ``(height, width)`` or with an axis of one channel, or in colours."""
    pixels = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    return axes.imshow(pixels, interpolation="nearest", **how)


def _square(row: int, column: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="0.9", edgecolor="white")
