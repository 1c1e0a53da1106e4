"""Figures of a final model: its errors, its calibration, and its first layer's filters."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from nets.arrays import Array
from nets.calibration import reliability
from nets.layers import Affine, Convolution
from nets.network import Network
from tracking.figures import style

MOST_IMAGES = 40
"""Misclassified images that are shown: those with the highest score."""

MOST_NUMBERED = 24
"""Classes up to which a confusion matrix shows counts and names; of more, only colours."""

MOST_FILTERS = 64
"""First-layer filters that are shown: those with the largest weights."""

_MANY_ANSWERS = 20
"""Answers in a bin of a calibration that are worth a large point."""

_COLUMNS = 8
"""Images in a row."""


def confusion_matrix(
    subject: str, labels: NDArray[Any], answers: Array, names: Sequence[str] = ()
) -> Figure:
    """Draw how often each class was predicted for each: true classes in rows, answers in columns.

    A cell's colour is its share of its row, so that an error that is frequent for its class is
    visible whatever the size of the class; correct answers are on a grey diagonal.

    Parameters
    ----------
    subject
        What the model is called.
    labels
        True classes, of the shape (images,).
    answers
        Scores, of the shape (images, classes).
    names
        Names of the classes; without them, their numbers.
    """
    classes = answers.shape[1]
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, answers.argmax(axis=1)), 1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    share = wrong / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    hits = int(np.trace(counts))
    names, family, notice = _drawable(names if classes <= MOST_NUMBERED else ())
    shown = [style.fitted(name, 1.5, 9, family=family) for name in names]
    margin = 0.75 + max((style.text_width(name, 9, family=family) for name in shown), default=0.0)
    height = style.WIDTH - 0.2 - 2 * 0.1 + 0.95  # square cells
    figure = style.page(
        f"{subject}: confusion matrix",
        f"{hits} of {len(labels)} test images correct ({hits / len(labels):.2%}), "
        f"{len(labels) - hits} wrong; darker: a larger share of the label's images{notice}",
        height=height,
    )
    axes = figure.subplots(gridspec_kw=style.margins(height, left=margin, bottom=margin, top=0.75))
    axes.imshow(share, cmap="Oranges", vmin=0, vmax=max(share.max(), 1e-9))
    for row, column in np.ndindex(classes, classes):
        count = counts[row, column]
        if row == column:
            corner = (column - 0.5, row - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, facecolor=style.GRID, edgecolor="white"))
        if count and classes <= MOST_NUMBERED:
            dark = share[row, column] > 0.6 * share.max() > 0
            color = "white" if dark and row != column else style.INK
            axes.text(column, row, str(count), ha="center", va="center", fontsize=10, color=color)
    style.tidy(axes, grid="")
    axes.set_xlabel("answer", fontsize=10)
    axes.set_ylabel("label", fontsize=10)
    if classes <= MOST_NUMBERED:
        ticks = shown or [str(number) for number in range(classes)]
        axes.set_xticks(range(classes), ticks, fontfamily=family)
        axes.set_yticks(range(classes), ticks, fontfamily=family)
        axes.tick_params("x", labelrotation=90 if shown else 0)
    axes.tick_params(length=0)
    return figure


def misclassified(
    subject: str,
    images: NDArray[Any],
    labels: NDArray[Any],
    answers: Array,
    names: Sequence[str] = (),
) -> Figure:
    """Draw misclassified images, the highest score first.

    Above each is the answer with its score, below it the label with its score.

    Parameters
    ----------
    subject
        What the model is called.
    images
        Of the shape (images, height, width, channels).
    labels
        True classes, of the shape (images,).
    answers
        Scores, of the shape (images, classes).
    names
        Names of the classes; without them, their numbers.
    """
    predicted = answers.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    order = wrong[np.argsort(-answers[wrong].max(axis=1), kind="stable")][:MOST_IMAGES]
    rows = max(1, math.ceil(len(order) / _COLUMNS))
    shown = f"all {len(wrong)}" if len(order) == len(wrong) else f"{len(order)} of {len(wrong)}"
    note = f"{shown}, highest score first; above: answer and its score; below: label and its score"
    names, family, notice = _drawable(names)
    note = f"{note}{notice}" if len(wrong) else "none"
    title = f"{subject}: misclassified test images"
    figure, grid = _grid(title, note, rows, space=0.8 if names else 0.5)
    written = [f"{style.fitted(name, 0.85, 9, family=family)}\n" for name in names]
    written = written or [f"{label}: " for label in range(answers.shape[1])]
    for axes, index in zip(grid, order, strict=False):
        _show(axes, images[index], cmap="gray")
        pair = predicted[index], labels[index]
        above, below = (f"{written[one]}{answers[index, one]:.3f}" for one in pair)
        axes.set_title(above, fontsize=9, color=style.RED, pad=2, weight="bold", fontfamily=family)
        axes.text(
            0.5, -0.05, below, transform=axes.transAxes, ha="center", va="top", fontsize=9,
            color=style.INK, fontfamily=family,
        )  # fmt: skip
    return figure


def calibration(subject: str, labels: NDArray[Any], answers: Array) -> Figure:
    """Draw a reliability diagram: the share of correct answers by score.

    A point is a bin of scores, at their mean; its area grows with the answers in the bin, so that a
    single answer draws no attention. A point below the diagonal means that the network's scores are
    too high. The lower panel has the number of answers in each bin.

    Parameters
    ----------
    subject
        What the model is called.
    labels
        True classes, of the shape (images,).
    answers
        Scores, of the shape (images, classes).
    """
    found = reliability(answers, labels)
    height = 6.4
    figure = style.page(
        f"{subject}: calibration",
        f"expected calibration error {found.error:.4f}; larger points: more answers",
        height=height,
    )
    upper, lower = figure.subplots(
        2, 1, sharex=True, height_ratios=(3, 1), gridspec_kw=style.margins(height, hspace=0.08)
    )
    style.tidy(upper, grid="both")
    style.tidy(lower, grid="x")
    width = 0.94 * float(found.edges[1])
    middles = (found.edges[:-1] + found.edges[1:]) / 2
    filled = found.counts > 0
    perfect = {"color": style.ORANGE, "linestyle": "--", "linewidth": 1.4}
    upper.plot([0, 1], [0, 1], **perfect)
    counts = found.counts[filled]
    areas = 12 + 240 * counts / max(_MANY_ANSWERS, *counts)
    upper.scatter(
        found.confidence[filled], found.accuracy[filled], s=areas,
        color=style.BLUE, edgecolor="white", linewidth=1.0, zorder=3, clip_on=False,
    )  # fmt: skip
    upper.set_ylabel("share of correct answers", fontsize=10)
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1.02)
    bars = lower.bar(middles[filled], counts, width, color=style.GREY)
    lower.bar_label(bars, padding=2, fontsize=9, color=style.INK)
    # A single answer must be visible beside a thousand; the labels have the numbers.
    lower.set_yscale("log")
    lower.set_ylim(0.7, 6 * max(1, *counts))
    lower.yaxis.set_minor_locator(NullLocator())
    lower.set_yticks([])
    lower.spines["left"].set_visible(False)
    lower.set_ylabel("answers", fontsize=10)
    lower.set_xlabel("score of the answer", fontsize=10)
    figure.align_ylabels()
    style.legend(
        figure,
        [
            style.key("a bin of scores", color=style.BLUE, marker="o"),
            style.key("perfect calibration", **perfect),
        ],
    )
    return figure


def first_layer_filters(subject: str, network: Network) -> Figure | None:
    """Draw the first layer's filters: convolution kernels, or an MLP's weights as images.

    All have one scale, symmetric about zero: red weights respond to bright pixels, blue ones to
    dark pixels. Of several input channels the mean is shown. `subject` is what the model is called.
    Returns None for a network that begins with neither kind of layer.
    """
    filters = first_filters(network)
    if filters is None:
        return None
    norms = np.linalg.norm(filters.reshape(len(filters), -1), axis=1)
    shown = np.sort(np.argsort(-norms, kind="stable")[:MOST_FILTERS])
    is_convolution = any(isinstance(layer, Convolution) for layer in network.layers)
    count = f"{len(filters)} {'kernels' if is_convolution else 'units'}"
    if len(shown) < len(filters):
        count = f"the {len(shown)} strongest of {count}"
    mean = ", mean of the channels" if network.input_shape[-1] > 1 else ""
    figure, grid = _grid(
        f"{subject}: weights of the first layer",
        f"{count}, {filters.shape[1]}x{filters.shape[2]} weights each{mean}; "
        "red responds to bright pixels, blue to dark ones",
        math.ceil(len(shown) / _COLUMNS),
        right=1.0,
        space=0.1,
    )
    # A few large weights would leave all others pale.
    limit = float(np.quantile(np.abs(filters[shown]), 0.997)) or 1.0
    pictures = [
        _show(axes, filters[index], cmap="RdBu_r", vmin=-limit, vmax=limit)
        for axes, index in zip(grid, shown, strict=False)
    ]
    height = figure.get_figheight()
    bar = figure.add_axes(
        (1 - 0.85 / style.WIDTH, 0.15 / height, 0.15 / style.WIDTH, 1 - (0.72 + 0.15) / height)
    )
    figure.colorbar(pictures[0], cax=bar, extend="both").outline.set_visible(False)
    bar.tick_params(labelsize=8, length=2, color=style.QUIET, labelcolor=style.INK)
    return figure


def first_filters(network: Network) -> NDArray[Any] | None:
    """Return the first layer's weights as images, ``(filters, height, width)``, or None.

    A network for a table has none.
    """
    if len(network.input_shape) == 1:
        return None
    for layer, views in zip(network.layers, network.parameter_views, strict=True):
        if isinstance(layer, Convolution):
            return np.moveaxis(views["weight"], -1, 0).mean(axis=-1)  # type: ignore[no-any-return]
        if isinstance(layer, Affine):
            images = views["weight"].T.reshape(-1, *network.input_shape)
            return images.mean(axis=-1)  # type: ignore[no-any-return]
        if views:
            break
    return None


def _drawable(names: Sequence[str]) -> tuple[list[str], list[str] | None, str]:
    """Return the names of the classes, font families that have them, and a notice.

    A class whose name has characters that no installed font has is shown by its number.
    """
    family, missing = style.families("".join(names))
    shown = [str(n) if missing & set(name) else name for n, name in enumerate(names)]
    notice = "; a number is a class whose name no installed font has" if missing else ""
    return shown, family, notice


def _grid(
    title: str, subtitle: str, rows: int, *, right: float = 0.15, space: float
) -> tuple[Figure, list[Axes]]:
    """Return a page with rows of square axes without ticks, and these axes.

    `right` is the margin in inches, `space` that between rows as a share of a row's height.
    """
    between = 0.1
    side = (style.WIDTH - 0.15 - right) / (_COLUMNS + between * (_COLUMNS - 1))
    edge = 0.15 + side * space * 0.5
    height = 0.72 + rows * side * (1 + space) - side * space + 2 * edge
    figure = style.page(title, subtitle, height=height)
    grid = figure.subplots(
        rows, _COLUMNS, squeeze=False,
        gridspec_kw=style.margins(
            height, left=0.15, right=right, bottom=edge, top=0.72 + edge,
            wspace=between, hspace=space,
        ),
    ).ravel()  # fmt: skip
    for axes in grid:
        axes.set_axis_off()
    return figure, list(grid)


def _show(axes: Axes, image: NDArray[Any], **how: Any) -> AxesImage:
    """Show an image: grey, ``(height, width)`` or with an axis of one channel, or in colours."""
    pixels = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    return axes.imshow(pixels, interpolation="nearest", **how)
