"""`robustness.json` -> tables for a terminal, and a figure.

The file holds shares from 0 to 1; what is printed and drawn is percent.
"""

from __future__ import annotations

import importlib
import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seen_jax.errors import printable, refuse
from seen_jax.evaluation import report
from seen_jax.files import read_json

FILE, FIGURE = "robustness.json", "robustness.png"
REMEDY = "remove it and run python -m seen_jax.evaluation robustness again"
LEGEND = """\
Percent, and the difference in points from windows as they are, paired clip by clip,
with 95 % intervals over other people (- where they are too few, or all alike); of sixty
such intervals three leave 0 out by chance. WAR (weighted average recall) is the share
of all clips that are right, UAR (unweighted average recall) the mean of the recalls of
the classes."""
TITLES = ("", "WAR", "points", "over people", "UAR", "points", "over people")
NUM_COLUMNS = 5  # of panels


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


def to_text(content: Mapping[str, Any]) -> str:
    """Formats a table of each kind, what hurts most, and where it all comes from."""
    lines, lit, whole = [LEGEND, ""], content["lightings"], content["baseline"]
    for name in ("war", "uar"):
        interval = _interval(whole[f"{name}_interval"])
        text = f"{name.upper()} of windows as they are {100 * whole[name]:.1f}"
        lines.append(f"{text}, over people {interval}")
    lines.append(f"Chance {100 / len(content['labels']):.1f}")
    for kind in content["kinds"]:
        lines += _heading(kind, f" ({kind['unit']})")
        lines += report.aligned([TITLES, *map(_row, kind["points"])])
    if lit:
        lines += [*_heading(lit), *_lightings(lit)]
    lines += ["", "The largest losses of each kind", "", *_losses(content["kinds"])]
    clips = f"{content['num_clips']} clips"
    if content["num_volunteers"]:
        plural = "s" if content["num_volunteers"] > 1 else ""
        clips += f" of {content['num_volunteers']} volunteer{plural}"
    lines += [
        "",
        f"{content['source']} data, {content['split']} split ({content['dataset']}), "
        f"{clips}, {content['setting']}, {content['passes']} passes",
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
        cells.append(f"{100 * point[name]:.1f}")
        cells.append(f"{100 * point[f'{name}_difference']:+.1f}")
        cells.append(_interval(point[f"{name}_interval"], "+"))
    return cells


def _interval(interval: Sequence[float] | None, sign: str = "") -> str:
    if interval is None:
        return "-"
    low, high = (100 * x for x in interval)
    return f"{low:{sign}.1f} to {high:{sign}.1f}"


def _lightings(lit: Mapping[str, Any]) -> list[str]:
    rows = [["lighting", "clips", "right", "over people", "published"]]
    for x in lit["points"]:
        published = "-" if x["published"] is None else f"{100 * x['published']:.1f}"
        share = f"{100 * x['share']:.1f}"
        cells = x["lighting"], str(x["num_clips"]), share, _interval(x["interval"])
        rows.append([*cells, published])
    return report.aligned(rows)


def draw(content: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Draws a panel for each kind, and one of the lightings.

    Raises:
      OSError: the file cannot be written.
    """
    # Not at the top: a table needs no matplotlib, which takes a while to import.
    figure_lib = importlib.import_module("matplotlib.figure")
    panels = [*content["kinds"], *filter(None, [content["lightings"]])]
    num_rows = -(-len(panels) // NUM_COLUMNS)
    size = 3 * NUM_COLUMNS, 2.7 * num_rows
    figure = figure_lib.Figure(figsize=size, layout="constrained")
    chance = 100 / len(content["labels"])
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(num_rows, NUM_COLUMNS, place)
        axes.axhline(chance, color="grey", lw=0.8, ls=":", label="chance")
        if "unit" in panel:
            _draw_kind(axes, content["baseline"], panel)
        else:
            _draw_lightings(axes, panel["points"])
        axes.set_title(panel["title"], fontsize=10)
        axes.set(ylim=(0, 100))
        if place % NUM_COLUMNS == 1:
            axes.set(ylabel="percent right")
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=4,
        frameon=False,
    )
    figure.savefig(path, dpi=110)


def _draw_kind(axes, baseline: Mapping[str, Any], kind: Mapping[str, Any]) -> None:
    points = kind["points"]
    places = range(len(points))  # some severities grow threefold from one to the next
    for name, colour in (("war", "tab:blue"), ("uar", "tab:orange")):
        shares = [100 * x[name] for x in points]
        axes.plot(places, shares, "o-", ms=3, color=colour, label=name.upper())
    ends = [x["war_interval"] or (0, 0) for x in points]
    low, high = ([100 * (baseline["war"] + x[i]) for x in ends] for i in (0, 1))
    style = {"color": "tab:blue", "alpha": 0.15, "lw": 0}
    axes.fill_between(places, low, high, label="WAR, 95 % over people", **style)
    axes.set_xticks(places, [f"{x['severity']:g}" for x in points], fontsize=8)
    axes.set_xlabel(kind["unit"], fontsize=8)


def _draw_lightings(axes, points: Sequence[Mapping[str, Any]]) -> None:
    for place, x in enumerate(points):
        axes.bar(place, 100 * x["share"], 0.6, color="tab:blue")
        if x["interval"]:
            axes.vlines(place, *(100 * y for y in x["interval"]), color="black")
    names = [x["lighting"] for x in points]
    axes.set_xticks(range(len(points)), names, fontsize=8)
