"""`robustness.json` -> tables for a terminal, and figures.

The file holds shares from 0 to 1; what is printed and drawn is percent.
"""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seen_jax import palette, svg
from seen_jax.errors import counted, printable, refuse
from seen_jax.evaluation import provenance, report
from seen_jax.evaluation.results import BESIDE
from seen_jax.evaluation.statistics import interval_text, percent
from seen_jax.files import read_json

FILE, FIGURE = "robustness.json", "robustness.svg"
# Facts that it has in common with the evaluation beside it; older files lack the last.
SAME = ("source", "dataset", "split", "setting", "step", "trained_at", "weights")
REMEDY = "remove it and run python -m seen_jax.evaluation robustness again"
LEGEND = """\
Percent, and the difference in points from windows as they are, paired clip by clip,
with 95 % intervals over other people (- where they are too few, or all alike); of sixty
such intervals three leave 0 out by chance. WAR (weighted average recall) is the share
of all clips that are right, UAR (unweighted average recall) the mean of the recalls of
the classes."""
TITLES = ("", "WAR", "points", "over people", "UAR", "points", "over people")
NUM_COLUMNS = 3  # of panels
Columns = Sequence[tuple[str, Sequence[Mapping[str, Any]]]]


def read(directory: str | os.PathLike) -> dict[str, Any] | None:
    """Returns what the file of a folder holds, None where there is none.

    Raises:
      UserError: it cannot be read or is not of the form.
    """
    path = Path(directory) / FILE
    if not path.exists():
        return None
    content = read_json(path, REMEDY)
    try:
        to_text(content)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        rule = "the form in which seen_jax.evaluation robustness writes it"
        refuse(path, rule, f"another ({type(error).__name__}: {error})", REMEDY)
    return content


def read_beside(
    directory: str | os.PathLike, facts: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Returns the same as `read`, of what the evaluation beside it is of.

    Args:
      directory: of both.
      facts: what `evaluation.json` says.

    Raises:
      UserError: as `read`; or it is of another checkpoint, setting or data.
    """
    content = read(directory)
    if content is not None:
        command = ["python", "-m", "seen_jax.evaluation", "robustness"]
        command += [f"--{x}={facts[x]}" for x in ("workdir", "split", "step")]
        remedy = f"remove it and run {shlex.join([*command, f'--out={directory}'])}"
        rule = f"as in the {BESIDE} beside it"
        _check_same(Path(directory) / FILE, content, facts, rule, remedy)
    return content


def check_beside(directory: Path, facts: Mapping[str, Any]) -> None:
    """Raises a UserError where the evaluation of a folder is not of these facts."""
    evaluated = provenance.read(directory)
    if evaluated is not None:
        remedy = "give another folder with --out=DIR"
        _check_same(directory / BESIDE, evaluated, facts, "to go beside it", remedy)


def _check_same(path, got: Mapping, expected: Mapping, rule: str, remedy: str) -> None:
    stated = (name for name in SAME if name in got and name in expected)
    others = [name for name in stated if got[name] != expected[name]]
    if others:
        wanted, stated = (
            ", ".join(f"{name} {x.get(name)}" for name in others)
            for x in (expected, got)
        )
        refuse(path, f"{wanted}, {rule}", stated, remedy)


def to_text(content: Mapping[str, Any]) -> str:
    """Formats a table of each kind, what hurts most, and where it all comes from."""
    lines, lit, baseline = [LEGEND, ""], content["lightings"], content["baseline"]
    for name in ("war", "uar"):
        interval = interval_text(baseline[f"{name}_interval"])
        text = f"{name.upper()} of windows as they are {percent(baseline[name])}"
        lines.append(f"{text}, over people {interval}")
    lines.append(f"Chance {100 / len(content['labels']):.1f}")
    for kind in content["kinds"]:
        lines += _heading(kind, f" ({kind['unit']})")
        lines += report.aligned([TITLES, *map(_row, kind["points"])])
    if lit:
        lines += [*_heading(lit), *_lightings(lit)]
    lines += ["", "The largest losses of each kind", "", *_losses(content["kinds"])]
    clips = counted(content["num_clips"], "clip")
    if content["num_volunteers"]:
        clips += f" of {counted(content['num_volunteers'], 'volunteer')}"
    lines += [
        "",
        f"{content['source']} data, {content['split']} split ({content['dataset']}), "
        f"{clips}, {content['setting']}, {counted(content['passes'], 'pass')}",
        f"epoch {content['epoch']} (step {content['step']}), {content['choice']}",
        f"run {content['workdir']}: {content['command']}",
    ]
    return printable("\n".join(lines), "\n")


def _heading(part: Mapping[str, Any], unit: str = "") -> list[str]:
    sentence = textwrap.wrap(part["sentence"], 88)
    return ["", f"{part['title']}{unit}", *sentence, ""]


def _losses(kinds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tells at which severity of each kind WAR is least, the worst first."""
    rows, worst = [("", "WAR", "points", "over people", "at")], []
    for kind in kinds:
        changed = (x for x in kind["points"] if x["severity"])
        worst.append((min(changed, key=lambda x: x["war"]), kind))
    for point, kind in sorted(worst, key=lambda x: x[0]["war"]):
        severity, *cells = _row(point)
        rows.append((kind["title"], *cells[:3], f"{severity} {kind['unit']}"))
    return report.aligned(rows)


def _row(point: Mapping[str, Any]) -> list[str]:
    cells = [f"{point['severity']:g}"]
    for name in ("war", "uar"):
        cells.append(percent(point[name]))
        cells.append(f"{100 * point[f'{name}_difference']:+.1f}")
        cells.append(interval_text(point[f"{name}_interval"], "+"))
    return cells


def _lightings(lit: Mapping[str, Any]) -> list[str]:
    rows = [["lighting", "clips", "right", "over people", "published"]]
    for x in lit["points"]:
        cells = x["lighting"], str(x["num_clips"]), percent(x["share"])
        published = "-" if x["published"] is None else percent(x["published"])
        rows.append([*cells, interval_text(x["interval"]), published])
    return report.aligned(rows)


def draw(content: Mapping[str, Any]) -> str:
    """Draws all kinds and the lightings, as SVG for a file."""
    columns, lit = [("", [content])], content["lightings"]
    panels = [
        plot(x["name"], columns, f"{x['title']} ({x['unit']})")
        for x in content["kinds"]
    ]
    panels += [_plot_lightings(lit)] if lit else []
    num_columns = min(NUM_COLUMNS, len(panels))
    title = f"{content['setting']}, {content['source']}, {content['split']} split, "
    title += f"epoch {content['epoch']}, {content['choice']}"
    return svg.alone(panels, title, "WAR under bad conditions", num_columns)


def plot(name: str, columns: Columns, title: str) -> str:
    """Draws WAR by the severity of a kind; of one run with intervals, and UAR dashed.

    Args:
      name: of the kind.
      columns: a name, and what the files of its runs hold: they have one colour, and
        several have no intervals. A run that lacks the kind has no line.
      title: below.
    """
    lines, points, words = [], [], ""
    colours = palette.colours(columns)
    for colour, (column, contents) in zip(colours, columns, strict=True):
        of_runs = [
            (kind, content["baseline"])
            for content in contents
            for kind in content["kinds"]
            if kind["name"] == name
        ]
        for number, (kind, baseline) in enumerate(of_runs):
            legend = column if len(columns) > 1 and number == 0 else ""
            line = _line(legend, kind["points"], baseline, colour)
            several = len(of_runs) > 1
            lines.append(replace(line, intervals=(), width=1) if several else line)
            points += kind["points"]
            words = kind["title"]
    is_one = len(columns) == len(lines) == 1
    if is_one:
        uar = [(x["severity"], x["uar"]) for x in points]
        war, colour = replace(lines[0], name="WAR"), lines[0].colour
        lines = [war, svg.Line("UAR", uar, colour, is_dashed=True)]
    levels = [x["severity"] for x in points]
    low, high = min(levels), max(levels)
    x = svg.axis(title, low, high if high > low else low + 1)
    return svg.plot(lines, x, svg.percents("right" if is_one else "WAR"), words)


def _line(
    name: str, points: Sequence[Mapping], baseline: Mapping[str, Any], colour: str
) -> svg.Line:
    ends = [x["war_interval"] for x in points]
    base = baseline["war"]  # whose difference the intervals are of
    moved = [x and (max(base + x[0], 0), min(base + x[1], 1)) for x in ends]
    places = [(x["severity"], x["war"]) for x in points]
    return svg.Line(name, places, colour, sizes=[3] * len(places), intervals=moved)


def _plot_lightings(lit: Mapping[str, Any]) -> str:
    """Draws what is right in each lighting beside what was published."""
    points, (colour, _) = lit["points"], palette.colours("ab")
    here = [(i - 0.05, x["share"]) for i, x in enumerate(points)]
    there = [
        (i + 0.05, x["published"])
        for i, x in enumerate(points)
        if x["published"] is not None
    ]
    ends, dots = [x["interval"] for x in points], [4] * len(points)
    style = {"sizes": dots, "is_joined": False}
    lines = [svg.Line("here", here, colour, intervals=ends, **style)]
    if there:
        lines.append(svg.Line("published", there, **style))
    names = {i: x["lighting"] for i, x in enumerate(points)}
    x = svg.Axis(lit["title"], -0.5, len(points) - 0.5, names)
    return svg.plot(lines, x, svg.percents("right"), lit["title"])
