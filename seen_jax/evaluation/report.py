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
from seen_jax.errors import refuse
from seen_jax.evaluation import analysis_text, efficiency, provenance
from seen_jax.evaluation.results import Results, read_results

# The order of the published table.
PUBLISHED = ("happiness", "sadness", "angry", "disgust", "surprise", "fear", "neutral")
LEGEND = """\
Percent: mean +- standard deviation over the passes. Passes draw other windows of the
same clips; the spread does not cover other training seeds or other people. A class's
row is its recall, a lighting's row the share of its clips that are right. WAR
(weighted average recall) is the share of all clips that are right, UAR (unweighted
average recall) the mean of the recalls of the classes."""
MARK_LEGEND = """\
In brackets the difference from the first column; * where it exceeds the spread of the
difference between two passes, sqrt(s1^2 + s2^2)."""


@dataclass(frozen=True)
class Summary:
    """The table's numbers of one evaluation, shares from 0 to 1.

    Attributes:
      name: its setting, where that is known, and its directory.
      results: as read.
      mean, spread: by column. The spread is the standard deviation over the passes,
        with P - 1 in the denominator; nan of one pass alone.
      facts: where the results come from (`provenance`); None of the released ones.
      directory: of the results; None if they were not read.
    """

    name: str
    results: Results
    mean: dict[str, float]
    spread: dict[str, float]
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
    labels, label_index = results.labels, results.label_index
    lightings = [name.lighting for name in results.names]
    each = [
        metrics.measure(labels, label_index, predictions, lightings)
        for predictions in results.predictions
    ]
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
        evaluations = read_results(path, facts["labels"] if facts else see.EMOTIONS)
        for results in evaluations:
            title, own_facts = name, facts if results.epoch is None else None
            if own_facts:
                _check_passes(path, facts, len(results.predictions))
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


def _check_passes(path: Path, facts: dict[str, Any], num_passes: int) -> None:
    if facts["passes"] != num_passes:
        rule = f"as many passes as there are result files beside it, {num_passes}"
        refuse(path / provenance.FILE, rule, facts["passes"], "evaluate again")


def columns(summaries: Sequence[Summary]) -> list[str]:
    """Returns the table's columns: classes, lightings, WAR and UAR.

    SEE's emotions are in the published order, other classes in the first's own.
    """
    labels, names = summaries[0].results.labels, [*summaries[0].mean]
    if {*labels} == {*PUBLISHED}:
        labels = PUBLISHED
    return [*labels, *names[len(labels) :]]


def exceeds_spread(first: Summary, other: Summary, column: str) -> bool | None:
    """Says whether a difference is larger than the spread of window draws.

    Compares it with the standard deviation of the difference between a pass of one and
    a pass of the other; None where either has one pass only.
    """
    difference = other.mean[column] - first.mean[column]
    spread = math.hypot(first.spread[column], other.spread[column])
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
        table.append(["epoch", *(_epoch(s) for s in summaries)])
    names = columns(summaries)
    groups = names[0], see.LIGHTINGS[0], "WAR"  # that begin after a blank line
    for column in names:
        table += [[]] if column in groups else []
        table.append([column, *(_cell(summaries[0], s, column) for s in summaries)])
    return table


def notes(summaries: Sequence[Summary]) -> list[str]:
    """Returns what a reader of the table must know."""
    texts = [LEGEND, *([MARK_LEGEND] if len(summaries) > 1 else [])]
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
    return "\n".join([*lines, "", "LaTeX: " + ", ".join(names), *latex])


def latex_row(summary: Summary, names: Sequence[str]) -> str:
    """Returns a row of the published table in LaTeX, percent."""
    name = re.sub(r"([&%#_$])", r"\\\1", summary.name)
    cells = " & ".join([name, *(_percent(summary.mean[c]) for c in names)])
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
            "provenance": s.facts,
            "mean": {c: _number(s.mean[c]) for c in names},
            "spread": {c: _number(s.spread[c]) for c in names},
            "difference": {c: _number(s.mean[c] - first.mean[c]) for c in names},
            "exceeds_spread": {c: exceeds_spread(first, s, c) for c in names},
            "details": analysis_text.to_json(s.results),
        }
        for s in summaries
    ]


def _epoch(summary: Summary) -> str:
    return "-" if summary.results.epoch is None else str(summary.results.epoch)


def _cell(first: Summary, summary: Summary, column: str) -> str:
    text = f"{_percent(summary.mean[column]):>5}"
    if summary.num_passes > 1 and not math.isnan(summary.mean[column]):
        text += f" +- {_percent(summary.spread[column]):>4}"
    if summary is first:
        return text
    difference = 100 * (summary.mean[column] - first.mean[column])
    mark = "*" if exceeds_spread(first, summary, column) else ""
    return text if math.isnan(difference) else f"{text} ({difference:+5.1f}){mark}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def _number(share: float) -> float | None:
    return None if math.isnan(share) else share
