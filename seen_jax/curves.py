"""Rows of trainings' journals -> pictures: loss, accuracy, WAR and UAR by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    panels = plots({"": rows}, num_classes=num_classes)
    return svg.alone(panels, title, "loss and accuracy by epoch")


def plots(
    runs: Mapping[str, Rows],
    *,
    num_classes: int,
    chosen: Mapping[str, Sequence[int]] = {},
) -> list[str]:
    """Draws the training loss of runs, and shares that are right.

    Args:
      runs: by name, see `draw`. Of several the legend has the name of each, whose WAR
        is solid and whose training accuracy is dashed.
      num_classes: K.
      chosen: the selected epochs, of some of the runs.
    """
    rows = [row for of_run in runs.values() for row in of_run]
    epochs = [row["epoch"] for row in rows]
    x = svg.axis("epoch", min(epochs) - 0.5, max(epochs) + 0.5, least_step=1)
    y = svg.axis("training loss", 0, 1.05 * max(row["loss"] for row in rows))
    colour = colours(range(max(3, len(runs))))
    losses, shares = [], []
    for i, (name, of_run) in enumerate(runs.items()):
        losses.append(_line(name, of_run, "loss", colour[i]))
        own = colour if len(runs) == 1 else [colour[i]] * 3
        shares += _shares(name, of_run, own, is_one=len(runs) == 1)
        for epoch in chosen.get(name, ()):
            words = f"epoch {epoch}" if len(runs) == 1 else ""
            shares.append(svg.Line(words, [(epoch, 0), (epoch, 1)]))
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
