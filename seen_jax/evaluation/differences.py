"""Two evaluations of the same clips -> how they differ, and where that is no accident.

Differences are paired clip by clip, and window by window where both drew them with the
same seed. Three things may be accidents: which clips there are, which people, and,
where both sides are several runs, their seeds. A difference is marked where each of
them alone is an unlikely cause.

Note: two runs of one recipe differ in their weights, so a marked difference is one of
recipes only if both sides are several runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seen_jax import metrics
from seen_jax.evaluation import statistics
from seen_jax.evaluation.results import Results
from seen_jax.evaluation.statistics import Estimate, Interval, Members
from seen_jax.metrics import Column

FEWEST_PASSES = 5  # of a run
FEWEST_PEOPLE = 10  # who have a clip in the column
LEGEND = (
    "Differences are paired over the same clips, in percentage points, with 95 % "
    "intervals:\nover other clips of the same people, over other people and, where "
    "both are several\nruns, over other seeds (Welch). p is the largest of these "
    "tests', corrected for the\nnumber of columns (Holm); it needs "
    f"{FEWEST_PEOPLE} volunteers with clips in the column and {FEWEST_PASSES} passes"
    "\na run. Of single runs it speaks of their weights alone, not of other seeds."
)


@dataclass(frozen=True)
class Difference:
    """Of one column, shares from -1 to 1.

    Attributes:
      over_clips: how it varies with the clips.
      over_volunteers: likewise with the people; None where they are not known.
      over_runs: likewise with the seeds; None unless both are several runs.
      p: see `LEGEND`; nan where that is not tested.
    """

    over_clips: Estimate
    over_volunteers: Estimate | None
    over_runs: Estimate | None
    p: float

    @property
    def is_marked(self) -> bool | None:
        """None where it is not tested."""
        return None if math.isnan(self.p) else self.p <= 1 - statistics.LEVEL

    def intervals(self) -> dict[str, Interval | None]:
        """Returns those that are known: of few clips or volunteers none is."""
        sources = {"clips": self.over_clips, "volunteers": self.over_volunteers}
        enough = {
            name: x.interval() if x and x.num_units >= statistics.FEWEST else None
            for name, x in sources.items()
        }
        return enough | {"runs": self.over_runs and self.over_runs.interval()}


def compare(first: Results, other: Results) -> dict[Column, Difference]:
    """Subtracts the first.

    Returns:
      A difference of each column; nothing where the clips are not the same.
    """
    other = other.in_order_of(first)
    if other is None:
        return {}
    members, who = members_of(first), first.volunteers
    before, after = first.right, other.right  # (R, N), perhaps another R of each
    values = after.mean(axis=0) - before.mean(axis=0)
    clips = statistics.leave_one_out(values, range(len(values)), members)
    people = {} if who is None else statistics.leave_one_out(values, who, members)
    runs = _over_runs(before, after, members)
    enough = min(first.num_passes, other.num_passes) >= FEWEST_PASSES
    sources, p = {}, {}
    for name in clips:
        sources[name] = three = clips[name], people.get(name), runs.get(name)
        is_tested = enough and people and people[name].num_units >= FEWEST_PEOPLE
        p[name] = max(x.p() for x in three if x) if is_tested else math.nan
    corrected = statistics.holm(p)
    return {name: Difference(*sources[name], corrected[name]) for name in clips}


def members_of(results: Results) -> Members:
    """Returns which clips (N,) each column is of, except for UAR, a mean of columns."""
    labels, lightings = results.labels, results.lightings
    nothing = np.zeros(len(results.names), bool)
    lit = metrics.by_lighting(lightings, nothing)
    return {
        **{("recalls", x): results.label_index == k for k, x in enumerate(labels)},
        **{("lightings", x): np.asarray(lightings) == x for x in lit},
        metrics.WAR: ~nothing,
    }


def _over_runs(
    before: np.ndarray, after: np.ndarray, members: Members
) -> dict[Column, Estimate]:
    """Compares shares of runs, from what is right (R, N); nothing of single ones."""
    if min(len(before), len(after)) < 2:
        return {}
    each = range(before.shape[1])
    sides = [
        [statistics.leave_one_out(right, each, members) for right in runs]
        for runs in (before, after)
    ]
    return {
        name: statistics.welch(*([x[name].value for x in runs] for runs in sides))
        for name in sides[0][0]
    }


def rows(
    name: str,
    differences: Mapping[Column, Difference],
    values: Mapping[Column, float],
) -> list[list[str]]:
    """Returns a table: a row of titles, then a row for each of the columns.

    Args:
      name: of the table.
      differences: of the columns.
      values: the differences of the means, in the order of the table.
    """
    runs = differences[metrics.WAR].over_runs
    titles = [name, "points", "over clips", "over volunteers", "volunteers"]
    table = [[*titles, *([f"over {runs.num_units} runs"] if runs else []), "p"]]
    for title, column in zip(metrics.titles([*values]), values, strict=True):
        x = differences[column]
        people = str(x.over_volunteers.num_units) if x.over_volunteers else "-"
        ends = x.intervals().values()
        clips, volunteers, seeds = (statistics.interval_text(y, "+") for y in ends)
        cells = [clips, volunteers, people, *([seeds] if runs else [])]
        p = "-" if math.isnan(x.p) else f"{x.p:.3f}{'*' if x.is_marked else ''}"
        value = values[column]
        value = "-" if math.isnan(value) else f"{100 * value:+.1f}"
        table.append([title, value, *cells, p])
    return table


def to_json(difference: Difference | None) -> dict[str, Any] | None:
    """Returns it for programs: intervals from -1 to 1, None where unknown."""
    if difference is None:
        return None
    x = difference
    return {
        **{name: y and [*y] for name, y in x.intervals().items()},
        "num_volunteers": x.over_volunteers and x.over_volunteers.num_units,
        "p": None if math.isnan(x.p) else x.p,
    }
