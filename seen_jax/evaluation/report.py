"""Result files -> the published table: mean and spread over the passes, side by side.

Note: the spread comes from drawing other windows of the same clips for the same
weights; it does not cover other training seeds or other people.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seen_jax import metrics, see
from seen_jax.errors import printable, refuse
from seen_jax.evaluation import analysis_text, efficiency, provenance
from seen_jax.evaluation.results import Results, read_results

# The order of the published table.
PUBLISHED = ("happiness", "sadness", "angry", "disgust", "surprise", "fear", "neutral")
LEGEND = """\
Percent: mean +- standard deviation over the passes. Passes draw other windows of the
same clips; the spread does not cover other training seeds or other people. A class's
row is its recall. WAR (weighted average recall) is the share of all clips that are
right, UAR (unweighted average recall) the mean of the recalls of the classes."""
LIGHTING_LEGEND = "A lighting's row is the share of its clips that are right."
MARK_LEGEND = """\
In brackets the difference from the first column; * where it exceeds the spread of the
difference between two passes, sqrt(s1^2 + s2^2)."""


@dataclass(frozen=True)
class Summary:
    """The table's numbers of one evaluation, shares from 0 to 1.

    Attributes:
      name: its setting, where that is known, and its directory.
      results: as read.
      mean, spread: by column, as of `metrics.measure`. The spread is the standard
        deviation over the passes, with P - 1 in the denominator; nan of one pass alone.
      facts: where the results come from (`provenance`); None of the released ones.
      directory: of the results; None if they were not read.
    """

    name: str
    results: Results
    mean: metrics.Shares
    spread: metrics.Shares
    facts: dict[str, Any] | None = None
    directory: Path | None = None

    @property
    def num_passes(self) -> int:
        return len(self.results.predictions)


def summarise(
    name: str,
    results: Results,
    facts: dict[str, Any] | None = None,
    directory: Path | None = None,
) -> Summary:
    """Measures each pass, then takes mean and standard deviation over the passes."""
    truth, lightings = (results.labels, results.label_index), results.lightings
    each = [metrics.measure(*truth, x, lightings) for x in results.predictions]
    table = np.array([[*row.values()] for row in each])
    spread = np.std(table, axis=0, ddof=1) if len(table) > 1 else table[0] * np.nan
    mean, spread = (
        dict(zip(each[0], values.tolist(), strict=True))
        for values in (table.mean(axis=0), spread)
    )
    return Summary(name, results, mean, spread, facts, directory)


def summarise_directories(directories: Sequence[str | os.PathLike]) -> list[Summary]:
    """Reads and measures directories of result files.

    Returns:
      A summary for each, or for each epoch of a directory that has several.

    Raises:
      OSError, UserError: as `read_results` and `provenance.read`; a directory given
        twice; facts of other passes than there are; evaluations of other classes.
    """
    paths = [Path(directory) for directory in directories]
    summaries = []
    for name, path in zip(short_names(paths), paths, strict=True):
        facts = provenance.read(path)
        labels = facts["labels"] if facts else see.EMOTIONS
        evaluations = read_results(path, labels, (facts or {}).get("clips"))
        for results in evaluations:
            title, own_facts = name, facts if results.epoch is None else None
            if own_facts:
                if facts["passes"] != (num_passes := len(results.predictions)):
                    rule = "as many passes as there are result files beside it"
                    file, rule = path / provenance.FILE, f"{rule}, {num_passes}"
                    refuse(file, rule, facts["passes"], "evaluate again")
                title = f"{facts['setting']} {name}"
            elif len(evaluations) > 1 and results.epoch is not None:
                title = f"{name} epoch {results.epoch}"
            summaries.append(summarise(title, results, own_facts, path))
    first = summaries[0].results.labels
    for summary in summaries:
        if {*summary.results.labels} != {*first}:
            rule = f"the classes of {paths[0]}, {', '.join(first)}"
            got, remedy = ", ".join(summary.results.labels), "report them separately"
            refuse(summary.directory, rule, got, remedy)
    return summaries


def short_names(paths: Sequence[Path]) -> list[str]:
    """Returns the shortest ends of paths that differ.

    Folders named `evaluation`, which every run has, are left out.

    Raises:
      UserError: two paths name the same directory.
    """
    whole = [path.resolve() for path in paths]
    for i, path in enumerate(whole):
        if path in whole[:i]:
            refuse(paths[i], "each directory once", "it twice", "leave one out")
    parts = [
        (*(part for part in path.parts[:-1] if part != "evaluation"), path.name)
        for path in whole
    ]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-length:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def columns(summaries: Sequence[Summary]) -> list[metrics.Column]:
    """Returns the table's columns: classes, lightings where known, WAR and UAR.

    SEE's emotions are in the published order, other classes in the first's own.
    """
    labels = summaries[0].results.labels
    if {*labels} == {*PUBLISHED}:
        labels = PUBLISHED
    lightings = [x for s in summaries for x in s.mean if x[0] == "lightings"]
    recalls = [("recalls", label) for label in labels]
    return [*recalls, *dict.fromkeys(lightings), metrics.WAR, metrics.UAR]


def exceeds_spread(
    first: Summary, other: Summary, column: metrics.Column
) -> bool | None:
    """Says whether a difference is larger than the spread of window draws.

    Compares it with the standard deviation of the difference between a pass of one and
    a pass of the other; None where either has one pass only or lacks the column.
    """
    difference = _mean(other, column) - _mean(first, column)
    spread = math.hypot(_spread(first, column), _spread(other, column))
    return None if math.isnan(spread) else abs(difference) > spread


def rows(summaries: Sequence[Summary]) -> list[list[str]]:
    """Returns the table: a row of names, then a row of cells for each column.

    An empty row begins a group of columns.
    """
    table = [
        ["", *(s.name for s in summaries)],
        ["clips", *(str(len(s.results.names)) for s in summaries)],
        ["passes", *(str(s.num_passes) for s in summaries)],
    ]
    if any(s.results.epoch is not None for s in summaries):
        epochs = [
            "-" if s.results.epoch is None else s.results.epoch for s in summaries
        ]
        table.append(["epoch", *map(str, epochs)])
    names, kind = columns(summaries), ""
    for column, title in zip(names, metrics.titles(names), strict=True):
        table += [[]] if column[0] != kind else []
        kind = column[0]
        table.append([title, *(_cell(summaries[0], s, column) for s in summaries)])
    return table


def notes(summaries: Sequence[Summary]) -> list[str]:
    """Returns what a reader of the table must know."""
    lit = any(kind == "lightings" for kind, _ in columns(summaries))
    texts = [LEGEND, *([LIGHTING_LEGEND] if lit else [])]
    texts += [MARK_LEGEND] if len(summaries) > 1 else []
    if len({frozenset(s.results.names) for s in summaries}) > 1:
        texts.append("These are not the same clips: differences may come from that.")
    return texts + [
        f"{s.name} was evaluated at epoch {s.facts['epoch']}, {s.facts['choice']}."
        for s in summaries
        if s.facts
    ]


def to_text(summaries: Sequence[Summary]) -> str:
    """Formats the table for a terminal, with a LaTeX row for each summary.

    A single one gets its analysis too: confusions, intervals, groups, calibration.
    """
    table = rows(summaries)
    widths = [max(map(len, cells)) for cells in zip(*filter(None, table), strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    lines += ["", *notes(summaries)]
    if len(summaries) == 1:
        lines += ["", analysis_text.to_text(summaries[0].results)]
        if "efficiency" in (summaries[0].facts or {}):
            lines += ["", efficiency.to_text(summaries[0].facts["efficiency"])]
    for s in summaries:
        if s.facts:
            lines += ["", f"{s.name}: {provenance.to_text(s.facts)}"]
    names = columns(summaries)
    latex = [latex_row(summary, names) for summary in summaries]
    lines += ["", "LaTeX: " + ", ".join(metrics.titles(names)), *latex]
    return printable("\n".join(lines), "\n")


def latex_row(summary: Summary, names: Sequence[metrics.Column]) -> str:
    """Returns a row of the published table in LaTeX, percent."""
    name = re.sub(r"([&%#_$])", r"\\\1", summary.name)
    cells = " & ".join([name, *(_percent(_mean(summary, c)) for c in names)])
    return cells + r" \\" + (f" % {summary.facts['choice']}" if summary.facts else "")


def to_json(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """Returns the same numbers for programs: shares from 0 to 1, None where unknown."""
    first, names = summaries[0], columns(summaries)
    return [
        {
            "name": s.name,
            "epoch": s.results.epoch,
            "num_clips": len(s.results.names),
            "num_passes": s.num_passes,
            "provenance": s.facts and {k: s.facts[k] for k in s.facts if k != "clips"},
            "mean": metrics.nest({c: _mean(s, c) for c in names}),
            "spread": metrics.nest({c: _spread(s, c) for c in names}),
            "difference": metrics.nest(
                {c: _mean(s, c) - _mean(first, c) for c in names}
            ),
            "exceeds_spread": metrics.nest(
                {c: exceeds_spread(first, s, c) for c in names}
            ),
            "details": analysis_text.to_json(s.results),
        }
        for s in summaries
    ]


def _cell(first: Summary, summary: Summary, column: metrics.Column) -> str:
    mean = _mean(summary, column)
    text = f"{_percent(mean):>5}"
    if summary.num_passes > 1 and not math.isnan(mean):
        text += f" +- {_percent(_spread(summary, column)):>4}"
    if summary is first:
        return text
    difference = 100 * (mean - _mean(first, column))
    mark = "*" if exceeds_spread(first, summary, column) else ""
    return text if math.isnan(difference) else f"{text} ({difference:+5.1f}){mark}"


def _mean(summary: Summary, column: metrics.Column) -> float:
    return summary.mean.get(column, math.nan)


def _spread(summary: Summary, column: metrics.Column) -> float:
    return summary.spread.get(column, math.nan)


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"
