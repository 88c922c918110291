"""Sections: shares by class and lighting; how several evaluations differ."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from seen_jax import metrics, palette, svg
from seen_jax.evaluation import analysis, differences, report
from seen_jax.evaluation.page.markup import Html, Part, table, tag
from seen_jax.evaluation.page.sections import Section, Shown, bar
from seen_jax.evaluation.statistics import Interval, interval_text, percent
from seen_jax.evaluation.summaries import Summary
from seen_jax.metrics import Column


def shares(shown: Sequence[Shown]) -> Section:
    summaries = [x.summary for x in shown]
    names = report.columns(summaries)
    known = {x for s in summaries for x, y in s.mean.items() if not math.isnan(y)}
    lit = [x for x in names if x[0] == "lightings" and x in known]
    recalls = [x for x in names if x[0] == "recalls"]
    how = (
        "A bar is the share of clips that are right (for a class, its recall), the "
        "line on it a 95 % interval over other people, or over other clips of the same "
        "people where fewer than five have such clips; ± is the standard deviation "
        "over passes, which draw other windows of the same clips"
    )
    several_runs = any(s.runs for s in summaries)
    how += "; of several runs, over the runs." if several_runs else "."
    tables = [_shares_table(summaries, recalls, "class")]
    if lit:
        tables.append(_shares_table(summaries, lit, "lighting"))
    title = "By class and lighting" if lit else "By class"
    return Section(title, how, tables)


def overall(summaries: Sequence[Summary]) -> Html:
    """Returns WAR and UAR of each."""
    return _shares_table(summaries, [metrics.WAR, metrics.UAR], "")


def _shares_table(
    summaries: Sequence[Summary], names: Sequence[Column], title: str
) -> Html:
    """Returns bars with their numbers: a row of each column and evaluation."""
    several = len(summaries) > 1
    all_intervals = [analysis.column_intervals(s.results) for s in summaries]
    head = [title, "", "%", "±", "95 %", "over"]
    rows: list[list[Part]] = []
    for column in names:
        rows += [[], [tag("i", column[1])]] if several else []
        for i, (s, intervals) in enumerate(zip(summaries, all_intervals, strict=True)):
            colour = palette.colours(summaries)[i] if several else _colour(s, column)
            name = s.name if several else column[1]
            rows.append([name, *_share(s, column, intervals.get(column), colour)])
    return table(head, rows, "shares")


def _colour(s: Summary, column: Column) -> str:
    labels = s.results.labels
    if column[0] != "recalls":
        return "var(--accent)"
    return palette.colours(labels)[labels.index(column[1])]


def _share(
    s: Summary, column: Column, interval_over: tuple[Interval, str] | None, colour: str
) -> list[Part]:
    mean, spread = (x.get(column, math.nan) for x in (s.mean, s.spread))
    interval, units = interval_over or (None, "-")
    numbers = percent(mean), percent(spread), interval_text(interval)
    return [bar(mean, interval, colour), *numbers, units]


def how_they_differ(shown: Sequence[Shown]) -> Section | None:
    summaries = [x.summary for x in shown]
    parts = []
    compared = report.compare(summaries)
    of_texts = report.difference_tables(summaries)
    changes = [
        [by_column[column] for column in report.columns(summaries)]
        for by_column in compared[1:]
        if by_column
    ]
    reach = max([_reach(x) for x in changes], default=0.0)
    for texts, numbers in zip(of_texts, changes, strict=True):
        parts.append(tag("div", _differences(texts, numbers, reach), class_="full"))
    how = " ".join(differences.LEGEND.split())
    how += (
        " * marks p <= 0.05. The picture shows the difference with its interval over "
        "volunteers, where that is known, else over clips; right of the middle is "
        f"better than the first, and its edges are {100 * reach:.1f} points away."
    )
    return Section("Differences", how, parts)


def _ends(change: differences.Difference) -> Interval | None:
    intervals = change.intervals()
    return intervals["volunteers"] or intervals["clips"]


def _reach(changes: Sequence[differences.Difference]) -> float:
    """Returns the largest distance of a difference, or of its interval, from 0."""
    values = [x.over_clips.value for x in changes]
    numbers = [*np.nan_to_num(values), *(y for x in changes for y in _ends(x) or ())]
    return max(np.abs(numbers).max(), 0.01)


def _differences(
    texts: Sequence[Sequence[str]],
    changes: Sequence[differences.Difference],
    reach: float,
) -> Html:
    """Returns a table with a picture of each difference."""
    head, *rows = texts
    ends, values = [*map(_ends, changes)], [x.over_clips.value for x in changes]
    pictures_ = [
        tag("td", Html(svg.deviation(v, e, reach)), class_="picture")
        for v, e in zip(values, ends, strict=True)
    ]
    cells = [[row[0], x, *row[1:]] for row, x in zip(rows, pictures_, strict=True)]
    return table([head[0], "", *head[1:]], cells, "small differences")
