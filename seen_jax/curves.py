"""Rows of a training's journal -> a figure: loss, accuracy, WAR and UAR by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter


def draw(
    rows: Sequence[dict[str, Any]],
    *,
    num_classes: int,
    chosen_epoch: int | None = None,
    choice: str = "",
) -> Figure:
    """Draws the training loss beside shares of right answers.

    Args:
      rows: one epoch or more, in order, each with epoch, loss and accuracy; an
        evaluated one has split, war and uar too. Shares are 0 to 1.
      num_classes: K; guessing is right once in K times.
      chosen_epoch: marked by a line; None draws none.
      choice: how the epoch is chosen, if by these evaluations: the title.
    """
    epochs = [row["epoch"] for row in rows]
    losses = [row["loss"] for row in rows]
    evaluated = [row for row in rows if "war" in row]
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, losses, ".-")
    left.set(ylabel="training loss", ylim=(0, 1.05 * max(losses)))
    lines = [("training accuracy", "accuracy", rows)]
    for name in ("war", "uar") if evaluated else ():
        lines.append((f"{evaluated[0]['split']} {name.upper()}", name, evaluated))
    for label, name, measured in lines:
        x, y = zip(*((row["epoch"], row[name]) for row in measured), strict=True)
        right.plot(x, y, ".-", label=label)
    right.axhline(1 / num_classes, color="grey", lw=0.8, ls=":", label="chance")
    if chosen_epoch is not None:
        label = f"epoch {chosen_epoch}"
        right.axvline(chosen_epoch, color="grey", lw=0.8, label=label)
    right.set(ylim=(0, 1.02))  # leaves a dot at 1 whole
    right.yaxis.set_major_formatter(PercentFormatter(1))
    if choice:
        right.set_title(f"epoch {choice}", fontsize="small")
    right.legend(fontsize="small")
    for axes in (left, right):
        axes.set(xlabel="epoch", xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
        axes.xaxis.set_major_locator(
            MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
        )
    return figure
