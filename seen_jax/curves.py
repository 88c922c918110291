"""Rows of trainings' journals -> pictures: loss, accuracy, WAR and UAR by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from seen_jax import svg
from seen_jax.palette import colours

Rows = Sequence[dict[str, Any]]


def draw(rows: Rows, *, num_classes: int, choice: str = "") -> str:
    """Draws a run, as SVG for a file: the training loss beside shares that are right.

    Args:
      rows: one epoch or more, in order, each with epoch, loss and accuracy; an
        evaluated one has split, war and uar too. Shares are 0 to 1.
      num_classes: K; guessing is right once in K times.
      choice: how the epoch is chosen, if by these evaluations: the title.
    """
    title = f"epoch {choice}" if choice else ""
    panels = plots([("", [rows])], num_classes=num_classes)
    return svg.alone(panels, title, "loss and accuracy by epoch")


def plots(
    columns: Sequence[tuple[str, Sequence[Rows]]],
    *,
    num_classes: int,
    chosen: Sequence[int] = (),
) -> list[str]:
    """Draws the training loss of runs, and shares that are right.

    Args:
      columns: a name and its runs, none or more, see `draw`; those of a column have one
        colour and one place in the legend. Of several runs WAR is solid and training
        accuracy dashed.
      num_classes: K.
      chosen: the selected epochs.
    """
    rows = [row for _, runs in columns for of_run in runs for row in of_run]
    is_one = sum(len(runs) for _, runs in columns) == 1
    epochs = [row["epoch"] for row in rows]
    x = svg.axis("epoch", min(epochs) - 0.5, max(epochs) + 0.5, least_step=1)
    y = svg.axis("training loss", 0, 1.05 * max(row["loss"] for row in rows))
    colour = colours(range(max(3, len(columns))))
    losses, shares = [], []
    for i, (name, runs) in enumerate(columns):
        own = colour if is_one else [colour[i]] * 3
        for number, of_run in enumerate(runs):
            words = "" if number else name  # once in the legend
            lines = [_line(words, of_run, "loss", colour[i])]
            of_shares = _shares(words, of_run, own, is_one)
            if len(runs) > 1:
                lines, of_shares = (
                    [replace(x, width=1) for x in y] for y in (lines, of_shares)
                )
            losses += lines
            shares += of_shares
    for epoch in chosen:
        shares.append(svg.Line(f"epoch {epoch}", [(epoch, 0), (epoch, 1)]))
    chance = [(end, 1 / num_classes) for end in (x.low, x.high)]
    shares.append(svg.Line("chance", chance, None, True))
    return [
        svg.plot(losses, x, y, "training loss by epoch"),
        svg.plot(shares, x, svg.percents("right"), "shares that are right by epoch"),
    ]


def _shares(
    name: str, rows: Rows, colour: Sequence[str], is_one: bool
) -> list[svg.Line]:
    """Returns a run's accuracy and, where it was evaluated, WAR; of one, UAR too."""
    evaluated = [row for row in rows if "war" in row]
    if not is_one:
        words = "" if evaluated else name  # once in the legend
        lines = [_line(words, rows, "accuracy", colour[0], is_dashed=True)]
        return lines + [_line(name, evaluated, "war", colour[1])] * bool(evaluated)
    lines = [_line("training accuracy", rows, "accuracy", colour[0])]
    for i, field in enumerate(("war", "uar") if evaluated else (), 1):
        words = f"{evaluated[0]['split']} {field.upper()}"
        lines.append(_line(words, evaluated, field, colour[i]))
    return lines


def _line(
    name: str, rows: Rows, field: str, colour: str, is_dashed: bool = False
) -> svg.Line:
    points = [(row["epoch"], row[field]) for row in rows]
    sizes = [0 if is_dashed else 2.5] * len(points)
    return svg.Line(name, points, colour, is_dashed, sizes)
