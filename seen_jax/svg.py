"""Numbers -> pictures as SVG text: lines, dots, and bars for the cells of a table.

Letters and lines take the font and the colour of the page around them, so that they are
dark on light and light on dark; a picture in a file of its own brings both (`alone`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 400, 270  # of a plot; its letters are 12 high
LEFT, RIGHT, BOTTOM = 56, 18, 38  # margins, for ticks and titles
LETTER = 6.5  # mean width
LONGEST = 30  # letters of a name in a legend
STYLE = """svg { font-family: system-ui, sans-serif; color: #222; background: #fff }
@media (prefers-color-scheme: dark) { svg { color: #eee; background: #16181d } }"""


@dataclass(frozen=True)
class Axis:
    """The range of an axis, and the texts of its ticks."""

    title: str
    low: float
    high: float
    ticks: Mapping[float, str]


@dataclass(frozen=True)
class Line:
    """Points with an order, which are joined, or without.

    Attributes:
      name: in the legend; "" is not in it.
      points: x and y of each; one whose y is nan is left out.
      colour: None takes that of the letters, fainter.
      sizes: radius of each point's dot; 0 draws none.
      width: of a line that has a colour.
      is_joined: False for points of kinds, between which nothing lies.
      intervals: low and high of each point, or None.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: str | None = None
    is_dashed: bool = False
    sizes: Sequence[float] = ()
    intervals: Sequence[tuple[float, float] | None] = ()
    width: float = 2
    is_joined: bool = True


def axis(title: str, low: float, high: float, least_step: float = 0.0) -> Axis:
    """Makes an axis with about five round numbers, `least_step` or more apart."""
    wanted = max((high - low) / 5, least_step, 1e-9)
    power = 10 ** math.floor(math.log10(wanted))
    step = next(power * x for x in (1, 2, 5, 10) if power * x >= wanted * 0.999)
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return Axis(title, low, high, {step * i: f"{step * i:g}" for i in numbers})


def percents(title: str) -> Axis:
    """Makes an axis of shares from 0 to 1."""
    return Axis(title, 0, 1, {x / 100: f"{x} %" for x in range(0, 101, 20)})


def plot(lines: Sequence[Line], x: Axis, y: Axis, words: str) -> str:
    """Draws lines with axes and a legend above.

    Args:
      lines, x, y: what is drawn.
      words: the picture's `aria-label`, which a screen reader speaks in its place.
    """
    legend, top = _legend([line for line in lines if line.name])

    def at(px: float, py: float) -> tuple[float, float]:
        up = (HEIGHT - BOTTOM - top) * (py - y.low) / (y.high - y.low)
        return round(_across(x, px), 1), round(HEIGHT - BOTTOM - up, 1)

    parts = [legend, *_axes(x, y, at)]
    for line in lines:
        parts += _line(line, at)
    return _svg(parts, WIDTH, HEIGHT, words)


def _across(x: Axis, value: float) -> float:
    """Returns where a value of the horizontal axis is in the picture."""
    return LEFT + (WIDTH - LEFT - RIGHT) * (value - x.low) / (x.high - x.low)


def _axes(x: Axis, y: Axis, at) -> list[str]:
    (left, bottom), (right, top) = at(x.low, y.low), at(x.high, y.high)
    parts = []
    for value, text in y.ticks.items():
        _, down = at(x.low, value)
        parts.append(_stroke(left, down, right, down, 'stroke-opacity=".15"'))
        parts.append(_text(left - 6, down + 4, text, "end"))
    for value, text in x.ticks.items():
        across, _ = at(value, y.low)
        parts.append(_stroke(across, bottom, across, bottom + 4))
        parts.append(_text(across, bottom + 17, text, "middle"))
    parts.append(_stroke(left, bottom, right, bottom))
    parts.append(_text((left + right) / 2, bottom + 33, x.title, "middle"))
    middle = (top + bottom) / 2
    turn = f'transform="rotate(-90 12 {middle})"'
    return [*parts, _text(12, middle, y.title, "middle", turn)]


def _line(line: Line, at) -> list[str]:
    """Draws intervals, then the line through them, then its dots."""
    known = [i for i, (_, y) in enumerate(line.points) if not math.isnan(y)]
    places = {i: at(*line.points[i]) for i in known}
    style = _style(line)
    parts = []
    for i, ends in enumerate(line.intervals):
        if ends and i in places:
            (across, low), (_, high) = (at(line.points[i][0], y) for y in ends)
            parts.append(_stroke(across, low, across, high, style))
    if line.is_joined:
        path = " ".join(f"{x},{y}" for x, y in places.values())
        parts.append(f'<polyline points="{path}" fill="none" {style}/>')
    return parts + [
        _dot(*places[i], size, line)
        for i, size in enumerate(line.sizes)
        if size and i in places
    ]


def _dot(across: float, down: float, size: float, line: Line) -> str:
    fill = line.colour or "currentColor"
    return f'<circle cx="{across}" cy="{down}" r="{size:.1f}" fill="{fill}"/>'


def _style(line: Line) -> str:
    style = 'stroke="currentColor" stroke-opacity=".55"'
    if line.colour is not None:
        style = f'stroke="{line.colour}" stroke-width="{line.width:g}" '
        style += 'stroke-linejoin="round"'
    return style + (' stroke-dasharray="5 4"' if line.is_dashed else "")


def _legend(lines: Sequence[Line]) -> tuple[str, int]:
    """Returns names above the plot, in as many rows as they need, and their height."""
    across, row, parts = LEFT, 0, []
    for line in lines:
        name = shortened(line.name)
        width = 26 + LETTER * len(name) + 14
        if across > LEFT and across + width > WIDTH:
            across, row = LEFT, row + 1
        down = 14 + 18 * row
        if line.is_joined:
            parts.append(_stroke(across, down - 4, across + 20, down - 4, _style(line)))
        else:
            parts.append(_dot(across + 10, down - 4, 3, line))
        parts.append(_text(across + 26, down, name))
        across += width
    return "".join(parts), 18 * (row + 1) + 10 if lines else 10


def shortened(name: str) -> str:
    """Leaves out the middle of a long name: names of runs differ in their ends."""
    if len(name) <= LONGEST:
        return name
    start = LONGEST // 2 - 1
    return f"{name[:start]}\u2026{name[start + 1 - LONGEST :]}"


def dots(shares: Sequence[tuple[float, str]], colour: str, x: Axis, words: str) -> str:
    """Draws a dot at each share, above each other where they would cover each other.

    Args:
      shares: where on `x`, and the dot's tooltip.
    """
    size = 11
    levels: list[float] = []  # where the last dot of each is
    placed = []
    for share, title in sorted(shares):
        across = _across(x, share)
        free = [i for i, last in enumerate(levels) if across - last >= size]
        level = free[0] if free else len(levels)
        levels[level : level + 1] = [across]
        placed.append((round(across, 1), level + 1, title))
    height = max(3, len(levels)) * size + 8 + BOTTOM
    parts = [
        f'<circle cx="{across}" cy="{height - BOTTOM + 4 - level * size}" r="5" '
        f'fill="{colour}"><title>{escape(title)}</title></circle>'
        for across, level, title in placed
    ]

    def at(px: float, _: float) -> tuple[float, float]:
        return round(_across(x, px), 1), height - BOTTOM

    return _svg([*_axes(x, Axis("", 0, 1, {}), at), *parts], WIDTH, height, words)


def bar(share: float, colour: str, interval: tuple[float, float] | None = None) -> str:
    """Draws a share of the width of a cell, with its interval; nan draws nothing."""
    if math.isnan(share):
        return ""
    part = (
        f'<rect width="{100 * share:.2f}%" y="1" height="14" rx="1" fill="{colour}"/>'
    )
    return _strip([part, *_whisker(interval)])


def deviation(value: float, interval: tuple[float, float] | None, reach: float) -> str:
    """Draws a difference, right or left of 0 in the middle, with its interval."""
    if math.isnan(value):
        return ""

    def place(x: float) -> float:
        return (min(max(x / reach, -1), 1) + 1) / 2

    ends = interval and (place(interval[0]), place(interval[1]))
    zero = '<line x1="50%" x2="50%" y1="0" y2="16" stroke-opacity=".4" '
    dot = f'<circle cx="{100 * place(value):.2f}%" cy="8" r="4" fill="currentColor"/>'
    return _strip([zero + 'stroke="currentColor"/>', *_whisker(ends), dot])


def _whisker(interval: tuple[float, float] | None) -> list[str]:
    if interval is None:
        return []
    low, high = (100 * x for x in interval)
    ends = [(low, low, 4, 12), (high, high, 4, 12), (low, high, 8, 8)]
    return [
        f'<line x1="{a:.2f}%" x2="{b:.2f}%" y1="{c}" y2="{d}" stroke="currentColor"/>'
        for a, b, c, d in ends
    ]


def _strip(parts: Sequence[str]) -> str:
    """Returns a picture as wide as its cell, of numbers that stand beside it."""
    inside = "".join(parts)
    return (
        f'<svg class="strip" width="100%" height="16" aria-hidden="true">{inside}</svg>'
    )


def alone(
    parts: Sequence[str], title: str, words: str, num_columns: int | None = None
) -> str:
    """Puts plots into a file of their own, side by side or in rows."""
    top, num_columns = 24 if title else 4, num_columns or len(parts)
    moved = []
    for i, part in enumerate(parts):
        down, across = divmod(i, num_columns)
        place = f"translate({WIDTH * across} {top + HEIGHT * down})"
        moved.append(f'<g transform="{place}">{part}</g>')
    width, num_rows = WIDTH * num_columns, -(-len(parts) // num_columns)
    heading = _text(width / 2, 17, title, "middle") if title else ""
    style = f"<style>{STYLE}</style>"
    return _svg([style, heading, *moved], width, top + HEIGHT * num_rows, words)


def _svg(parts: Sequence[str], width: float, height: float, words: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-size="12" role="img" '
        f'aria-label="{escape(words)}">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", more: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="currentColor" {more}>{escape(text)}</text>'


def _stroke(x1: float, y1: float, x2: float, y2: float, style: str = "") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    colour = "" if 'stroke="' in style else 'stroke="currentColor" '
    return f"<line {ends} {colour}{style}/>"
