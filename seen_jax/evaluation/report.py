"""Summaries of evaluations -> the published table, side by side, in text and JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from seen_jax import metrics
from seen_jax.errors import printable
from seen_jax.evaluation import analysis_text, differences, efficiency, provenance
from seen_jax.evaluation.differences import Difference
from seen_jax.evaluation.statistics import percent
from seen_jax.evaluation.summaries import Summary
from seen_jax.metrics import Column

# The order of the published table.
PUBLISHED = ("happiness", "sadness", "angry", "disgust", "surprise", "fear", "neutral")
LEGEND = """\
Percent: mean +- standard deviation over the passes. Passes draw other windows of the
same clips; the spread does not cover other training seeds or other people. A class's
row is its recall. WAR (weighted average recall) is the share of all clips that are
right, UAR (unweighted average recall) the mean of the recalls of the classes."""
LIGHTING_LEGEND = "A lighting's row is the share of its clips that are right."
RUNS_LEGEND = """\
Of several runs, +- is instead the standard deviation over the runs, and so over their
training seeds, each of them the mean of its passes."""
MARK_LEGEND = """\
In brackets the difference from the first column; * where it is hardly an accident of
clips, people and seeds, p <= 0.05."""


def columns(summaries: Sequence[Summary]) -> list[Column]:
    """Returns the table's columns: classes, lightings where known, WAR and UAR.

    SEE's emotions are in the published order, other classes in the first's own.
    """
    labels = summaries[0].results.labels
    if {*labels} == {*PUBLISHED}:
        labels = PUBLISHED
    lightings = [x for s in summaries for x in s.mean if x[0] == "lightings"]
    recalls = [("recalls", label) for label in labels]
    return [*recalls, *dict.fromkeys(lightings), metrics.WAR, metrics.UAR]


def are_comparable(first: Summary, other: Summary) -> bool:
    """Whether both are of the same clips of the same data."""
    is_one_source = len(first.sources | other.sources) <= 1
    return is_one_source and other.results.in_order_of(first.results) is not None


def compare(summaries: Sequence[Summary]) -> list[dict[Column, Difference]]:
    """Returns how each differs from the first; empty where the clips are others."""
    first = summaries[0]
    return [
        differences.compare(first.results, s.results)
        if are_comparable(first, s)
        else {}
        for s in summaries
    ]


def rows(summaries: Sequence[Summary]) -> list[list[str]]:
    """Returns the table: a row of names, then a row of cells for each column.

    An empty row begins a group of columns.
    """
    table = [
        ["", *(s.name for s in summaries)],
        ["clips", *(str(len(s.results.names)) for s in summaries)],
        ["passes", *(str(s.results.num_passes) for s in summaries)],
    ]
    if any(s.runs for s in summaries):
        table.append(["runs", *(str(s.results.num_runs) for s in summaries)])
    if any(s.results.epoch is not None for s in summaries):
        epochs = (s.results.epoch for s in summaries)
        table.append(["epoch", *("-" if x is None else str(x) for x in epochs)])
    names, kind = columns(summaries), ""
    others = [{}, *compare(summaries)[1:]]
    for column, title in zip(names, metrics.titles(names), strict=True):
        table += [[]] if column[0] != kind else []
        kind = column[0]
        cells = [
            _cell(summaries[0], s, column, x)
            for s, x in zip(summaries, others, strict=True)
        ]
        table.append([title, *cells])
    return table


def difference_tables(summaries: Sequence[Summary]) -> list[list[list[str]]]:
    """Returns a table of how each differs from the first, where the clips are equal."""
    first, names = summaries[0], columns(summaries)
    return [
        differences.rows(f"{s.name} - {first.name}", x, _differences(first, s, names))
        for s, x in zip(summaries[1:], compare(summaries)[1:], strict=True)
        if x
    ]


def _differences(
    first: Summary, other: Summary, names: Sequence[Column]
) -> dict[Column, float]:
    """Subtracts the means; nan where the clips are others."""
    if not are_comparable(first, other):
        return dict.fromkeys(names, math.nan)
    return {c: other.mean.get(c, math.nan) - first.mean.get(c, math.nan) for c in names}


def notes(summaries: Sequence[Summary]) -> list[str]:
    """Returns what a reader of the table must know."""
    lit = any(kind == "lightings" for kind, _ in columns(summaries))
    texts = [LEGEND, *([LIGHTING_LEGEND] if lit else [])]
    texts += [RUNS_LEGEND] if any(s.runs for s in summaries) else []
    first, *others = summaries
    apart = [s.name for s in others if not are_comparable(first, s)]
    texts += [MARK_LEGEND] if len(apart) < len(others) else []
    if apart:
        verb = "is" if len(apart) == 1 else "are"
        texts.append(
            f"{', '.join(apart)} {verb} of other clips than {first.name}, and not "
            "compared with it."
        )
    return texts + [
        f"{run.name} was evaluated at epoch {run.facts['epoch']}, "
        f"{run.facts['choice']}."
        for s in summaries
        for run in s.each
        if run.facts
    ]


def to_text(summaries: Sequence[Summary]) -> str:
    """Formats the table for a terminal, with a LaTeX row for each summary.

    A single one gets its analysis too: confusions, intervals, groups, calibration.
    """
    lines = [*aligned(rows(summaries)), "", *notes(summaries)]
    tables = difference_tables(summaries)
    lines += ["", differences.LEGEND] if tables else []
    for table in tables:
        lines += ["", *aligned(table)]
    if len(summaries) == 1:
        lines += ["", analysis_text.to_text(summaries[0].results)]
        if "efficiency" in (summaries[0].facts or {}):
            lines += ["", efficiency.to_text(summaries[0].facts["efficiency"])]
    for run in (run for s in summaries for run in s.each if run.facts):
        lines += ["", f"{run.name}: {provenance.to_text(run.facts)}"]
    names = columns(summaries)
    latex = [latex_row(summary, names) for summary in summaries]
    lines += ["", "LaTeX: " + ", ".join(metrics.titles(names)), *latex]
    return printable("\n".join(lines), "\n")


def latex_row(summary: Summary, names: Sequence[Column]) -> str:
    """Returns a row of the published table in LaTeX, percent."""
    name = re.sub(r"([&%#_$])", r"\\\1", summary.name)
    cells = " & ".join([name, *(percent(summary.mean.get(c, math.nan)) for c in names)])
    choices = dict.fromkeys(run.facts["choice"] for run in summary.each if run.facts)
    return cells + r" \\" + (f" % {', '.join(choices)}" if choices else "")


def to_json(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """Returns the same numbers for programs: shares from 0 to 1, None where unknown."""
    return [
        _json(s, columns(summaries), summaries[0], x)
        for s, x in zip(summaries, compare(summaries), strict=True)
    ]


def _json(
    s: Summary,
    names: Sequence[Column],
    first: Summary,
    compared: Mapping[Column, Difference],
) -> dict[str, Any]:
    tests = {c: compared.get(c) for c in names}
    return {
        "name": s.name,
        "epoch": s.results.epoch,
        "num_clips": len(s.results.names),
        "num_passes": s.results.num_passes,
        "provenance": s.facts and {k: s.facts[k] for k in s.facts if k != "clips"},
        "mean": metrics.nest({c: s.mean.get(c, math.nan) for c in names}),
        "spread": metrics.nest({c: s.spread.get(c, math.nan) for c in names}),
        "difference": metrics.nest(_differences(first, s, names)),
        "is_marked": metrics.nest({c: x and x.is_marked for c, x in tests.items()}),
        "tests": metrics.nest({c: differences.to_json(x) for c, x in tests.items()}),
        "details": analysis_text.to_json(s.results),
        "runs": [_json(run, names, first, {}) for run in s.runs],
    }


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a table."""
    widths = [max(map(len, cells)) for cells in zip(*filter(None, table), strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]


def _cell(
    first: Summary,
    summary: Summary,
    column: Column,
    compared: Mapping[Column, Difference],
) -> str:
    mean = summary.mean.get(column, math.nan)
    text = f"{percent(mean):>5}"
    if len(summary.results.predictions) > 1 and not math.isnan(mean):
        text += f" +- {percent(summary.spread.get(column, math.nan)):>4}"
    if not compared:  # the first, or one of other clips
        return text
    difference = 100 * (mean - first.mean.get(column, math.nan))
    tested = compared.get(column)
    mark = "*" if tested and tested.is_marked else ""
    return text if math.isnan(difference) else f"{text} ({difference:+5.1f}){mark}"
