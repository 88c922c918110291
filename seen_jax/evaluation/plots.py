"""Numbers -> matplotlib figures for the page.

Note: attention and rates are of the observed clips in the first pass; confusions, bars
by lighting and calibration are of all clips and passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from seen_jax.evaluation import analysis
from seen_jax.evaluation.activity import NEURONS
from seen_jax.evaluation.summaries import Summary
from seen_jax.metrics import Column

SCALES = ("3 x 3", "5 x 5", "7 x 7")
LONGEST = 24  # characters of a name
LEAST_RATE = 1e-4  # smaller rates have the same colour

Means = Mapping[str, np.ndarray]  # by label


def columns(summaries: Sequence[Summary], names: Sequence[Column]) -> Figure:
    """Draws bars of some columns of the table, with their spread."""
    figure, axes = _axes(_size(6, len(names)), 2.8)
    for s, x, width in zip(
        summaries, *_places(len(summaries), len(names)), strict=True
    ):
        heights = [np.nan_to_num(100 * s.mean.get(c, np.nan)) for c in names]
        spread = [np.nan_to_num(100 * s.spread.get(c, np.nan)) for c in names]
        axes.bar(x, heights, width, yerr=spread, label=_plain(s.name))
    _name_groups(axes, [name for _, name in names])
    axes.set(ylabel="right, percent", ylim=(0, 100))
    _legend_above(axes, len(summaries))
    return figure


def confusion(matrix: np.ndarray, labels: Sequence[str]) -> Figure:
    """Draws counts (K, K) by true and predicted class, as percent of the true."""
    number = matrix.sum(axis=1, keepdims=True)
    share = np.divide(
        100 * matrix, number, np.full_like(matrix, np.nan), where=number > 0
    )
    labels = [*map(_plain, labels)]
    figure, axes = _axes(_size(5.5, len(labels)), _size(5, len(labels)))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(share):
        text = "-" if np.isnan(value) else f"{value:.0f}"
        _write(axes, column, row, text, value > 60)
    axes.set_xticks(range(len(share)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(share)), labels)
    axes.set(xlabel="predicted", ylabel="true")
    return figure


def reliability(calibration: analysis.Calibration) -> Figure:
    """Draws how often scores are right; each point gets its number of predictions."""
    figure, axes = _axes(5.5, 4.5)
    axes.plot([0, 1], [0, 1], color="grey", lw=0.8, ls=":")
    some = calibration.counts > 0
    points = calibration.confidence[some], calibration.accuracy[some]
    axes.plot(*points, "o-")
    style = {"textcoords": "offset points", "ha": "right", "fontsize": "small"}
    for *point, count in zip(*points, calibration.counts[some], strict=True):
        axes.annotate(f"{count:,}", point, xytext=(-5, 5), **style)
    axes.set(xlabel="best score", ylabel="share right")
    axes.set(xlim=(0, 1.03), ylim=(-0.03, 1.08))
    return figure


def attention(means: Means) -> Figure:
    """Draws the weights (3,) of the scales by label."""
    figure, axes = _axes(_size(6.5, len(means)), 3)
    places = _places(len(SCALES), len(means))
    for i, (name, x, width) in enumerate(zip(SCALES, *places, strict=True)):
        axes.bar(x, [row[i] for row in means.values()], width, label=name)
    _name_groups(axes, [*means])
    axes.set(ylabel="weight")
    _legend_above(axes, len(SCALES))
    return figure


def rates(means: Means) -> Figure:
    """Draws the share (6,) of `NEURONS` that fires in a time step by label.

    The rates differ a hundredfold from layer to layer: colours are logarithmic.
    """
    table = np.stack([*means.values()], axis=1)  # (6, K)
    figure, axes = _axes(_size(6.5, len(means)), 3.2)
    colour = np.log10(np.maximum(table, LEAST_RATE))
    axes.imshow(colour, cmap="Blues", vmin=np.log10(LEAST_RATE), vmax=0, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        _write(axes, column, row, f"{100 * value:.2g}", colour[row, column] > -1.2)
    axes.set_xticks(range(len(means)), [*map(_plain, means)], rotation=30, ha="right")
    axes.set_yticks(range(len(NEURONS)), NEURONS)
    return figure


def scores(values: np.ndarray, true_class: int, labels: Sequence[str]) -> Figure:
    """Draws a window's scores (K,): the true class green, another prediction red."""
    figure, axes = _axes(2.4, _size(1.9, len(values), 0.27))
    colours = ["tab:grey"] * len(values)
    colours[int(values.argmax())] = "tab:red"
    colours[true_class] = "tab:green"
    axes.barh(range(len(values)), np.nan_to_num(values), color=colours)
    axes.set_yticks(range(len(values)), [*map(_plain, labels)], fontsize=9)
    axes.set(xlim=(0, 1), xticks=[])
    axes.invert_yaxis()
    return figure


def _plain(text: str) -> str:
    """Returns text that matplotlib draws as it is, and that fits.

    Note: it reads `$` as the begin of a formula, and hides a legend's `_name`.
    """
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"
    return text.replace("$", r"\$").replace("_", " _", text.startswith("_"))


def _size(least: float, count: int, each: float = 0.5) -> float:
    """Returns the inches that `count` names need, within what can be drawn."""
    return min(max(least, each * count), 60)


def _axes(width: float, height: float):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _places(num_bars: int, num_groups: int):
    """Returns each bar's places in the groups (num_groups,), and its width."""
    width = 0.8 / num_bars
    shift = width * (np.arange(num_bars) - (num_bars - 1) / 2)
    return np.arange(num_groups) + shift[:, None], [0.9 * width] * num_bars


def _name_groups(axes, names: Sequence[str]) -> None:
    slant = {"rotation": 30, "ha": "right"} if max(map(len, names)) > 11 else {}
    axes.set_xticks(range(len(names)), [*map(_plain, names)], **slant)


def _write(axes, x: int, y: int, text: str, on_dark: bool) -> None:
    colour = "white" if on_dark else "black"
    axes.text(x, y, text, ha="center", va="center", color=colour)


def _legend_above(axes, num_columns: int) -> None:
    axes.legend(
        fontsize="small",
        ncols=min(num_columns, 4),
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        frameon=False,
    )
