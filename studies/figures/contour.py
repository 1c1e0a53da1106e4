"""Contours: a smoothed map of the value over each pair of parameters."""

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution

from studies.analysis.stored_study import StoredStudy
from studies.definition.space import Parameter
from studies.figures.marks import MANY, label_axis, mark_best
from studies.figures.parameters import by_importance
from studies.figures.scale import ValueScale, parameter_ticks, values_of
from tracking.figures.style import INK, QUIET, SHADES, WIDTH, fitted, margins, page, tidy
from tracking.records import Direction, TrialRecord

MOST_PARAMETERS = 4
FEWEST_TRIALS = 4
_CELLS = 80
"""Cells along each side of the map."""
_UNIT = (0, 1, 0, 1)
"""The map's left, right, lower and upper end."""


def contour(stored: StoredStudy) -> Figure | None:
    """Draw a map of the value over each pair of the most important parameters."""
    section, best = stored.study.section, stored.best
    parameters = [
        p
        for p in by_importance(stored)
        if p.when is None and not isinstance(p.distribution, CategoricalDistribution)
    ][:MOST_PARAMETERS]
    trials = stored.ranked()
    scale = ValueScale.of(values_of(trials), section.metric, section.direction)
    if scale is None or best is None or len(parameters) < 2 or len(trials) < FEWEST_TRIALS:
        return None
    side = len(parameters) - 1
    height = 4.6 if side == 1 else 1.5 + 2.9 * side if side == 2 else 1.5 + 2.15 * side
    figure = page(
        f"{stored.study.name}: value over pairs of parameters",
        f"smoothed over {len(trials)} complete trials; white: no trial nearby",
        height=height,
    )
    panels = figure.subplots(
        side, side, squeeze=False, gridspec_kw=margins(height, top=0.92, wspace=0.08, hspace=0.08)
    )
    shades = SHADES if section.direction == Direction.MAXIMIZE else SHADES.reversed()
    for row, column in itertools.product(range(side), repeat=2):
        axes = panels[row, column]
        if column > row:
            axes.set_visible(False)
            continue
        # The most important parameter is the x axis of the first column.
        pair = parameters[column], parameters[row + 1]
        _map(axes, pair, trials, scale, shades)
        x, y = (p.place(best.parameters[p.name]) for p in pair)
        mark_best(axes, x, y, size=20)
        axes.label_outer()
    _color_bar(figure, scale, section.metric, shades)
    return figure


def smoothed(
    x: NDArray[np.float64], y: NDArray[np.float64], values: NDArray[np.float64], cells: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the values, smoothed over the unit square, and the number of trials near each cell.

    The Nadaraya-Watson estimate Σ kᵢ vᵢ / Σ kᵢ with Gaussian kernels kᵢ. Their width is Scott's
    rule for evenly spread points: n^(-1/6) times their standard deviation 1/√12.

    Parameters
    ----------
    x, y, values
        Of the shape (trials,); x and y are from 0 to 1.
    cells
        Cells along each side of the map.

    Returns
    -------
    The map, and Σ kᵢ, which is about 1 where one trial is near. Both have the shape (cells, cells);
    y is along the rows.
    """
    width = len(values) ** (-1 / 6) / np.sqrt(12)
    centers = (np.arange(cells) + 0.5) / cells
    # A Gaussian of the plane is a product of two: sums over trials are matrix products.
    along_x, along_y = (
        np.exp(-0.5 * ((centers[:, None] - places[None, :]) / width) ** 2) for places in (x, y)
    )
    total = along_y @ along_x.T
    return (along_y * values) @ along_x.T / np.maximum(total, 1e-12), total


def _map(
    axes: Axes,
    pair: tuple[Parameter, Parameter],
    trials: list[TrialRecord],
    scale: ValueScale,
    shades: Colormap,
) -> None:
    """Draw one panel: the map, and the trials it was computed from."""
    x, y = (np.array([p.place(t.parameters[p.name]) for t in trials]) for p in pair)
    places = scale.place(values_of(trials))
    mean, weight = smoothed(x, y, places, _CELLS)
    image = shades(mean)
    image[..., 3] = np.clip((weight - 0.05) / 0.5, 0, 1)
    axes.imshow(image, origin="lower", extent=_UNIT, aspect="auto", interpolation="bilinear")
    if levels := [place for place, _ in scale.ticks() if mean.min() < place < mean.max()]:
        hidden = np.ma.masked_where(weight < 0.3, mean)
        axes.contour(hidden, levels, origin="lower", extent=_UNIT, colors="white", linewidths=0.8)
    many = len(trials) > MANY
    axes.scatter(
        x, y, s=7 if many else 26, c=places, cmap=shades, vmin=0, vmax=1, edgecolor="white",
        linewidth=0.4 if many else 1.0, clip_on=False, zorder=3,
    )  # fmt: skip
    tidy(axes, grid="")
    for axis, parameter in zip((axes.xaxis, axes.yaxis), pair, strict=True):
        label_axis(axis, parameter_ticks(parameter, 5), parameter.name)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)


def _color_bar(figure: Figure, scale: ValueScale, metric: str, shades: Colormap) -> None:
    """Draw the colour bar at the upper right, below the title and beside the subtitle."""
    height = figure.get_figheight()
    axes = figure.add_axes((5.2 / WIDTH, 1 - 0.5 / height, 2.6 / WIDTH, 0.13 / height))
    bar = figure.colorbar(ScalarMappable(cmap=shades), cax=axes, orientation="horizontal")
    ticks = scale.ticks()
    bar.set_ticks([place for place, _ in ticks], labels=[text for _, text in ticks])
    bar.outline.set_visible(False)
    axes.tick_params(labelsize=8, length=2, color=QUIET, labelcolor=INK)
    axes.set_ylabel(
        fitted(metric, 1.2, 9), rotation=0, ha="right", va="center", fontsize=9, labelpad=6
    )
