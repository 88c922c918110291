"""Sections: what is taken for what, who shows it, and how sure the network is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from seen_jax import palette, svg
from seen_jax.evaluation import analysis
from seen_jax.evaluation.page.markup import Html, heat, heat_table, table, tag
from seen_jax.evaluation.page.sections import Section, Shown, bar, each
from seen_jax.evaluation.results import Results, known
from seen_jax.evaluation.statistics import percent

MOST_CONFUSIONS = 6
MOST_PEOPLE = 12  # of more, the table is folded
MOST_FIELDS = 4  # of a volunteer
BALANCED = 0.02  # a mean score that is nearer to the share that is right


def confusion(shown: Sequence[Shown]) -> Section:
    how = (
        "A row is what was shown, a column what it was taken for, in percent of the "
        "row; what is right lies on the diagonal. A row of - had no clips."
    )
    return Section("Confusions", how, each(shown, _confusion))


def _confusion(one: Shown) -> list[Html]:
    results = one.summary.results
    labels, matrix = results.labels, analysis.confusion(results)
    number = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, number, np.full_like(matrix, np.nan), where=number > 0)
    rows = []
    for label, of_label, counts in zip(labels, share, matrix, strict=True):
        cells = zip(of_label, counts, labels, strict=True)
        rows.append([label, *(_confused(label, *x) for x in cells)])
    return [heat_table(labels, rows), _often(labels, share, matrix)]


def _confused(label: str, share: float, count: float, other: str) -> Html:
    if math.isnan(share):
        return tag("td", "-")
    return heat(f"{100 * share:.0f}", share, f"{label} taken for {other}: {count:.1f}")


def _often(labels: Sequence[str], share: np.ndarray, matrix: np.ndarray) -> Html:
    """Names the most frequent confusions."""
    wrong = np.nan_to_num(share)
    np.fill_diagonal(wrong, 0)
    places = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]
    pairs = [np.unravel_index(x, wrong.shape) for x in places]
    rows = [
        [f"{labels[a]} taken for {labels[b]}", bar(wrong[a, b]), percent(wrong[a, b]),
         f"{matrix[a, b]:.1f}"]
        for a, b in pairs
        if wrong[a, b] > 0
    ]  # fmt: skip
    if not rows:
        return tag("p", "Nothing is taken for anything else.", class_="note")
    return table(["most often", "", "% of the first", "clips"], rows)


def people(shown: Sequence[Shown]) -> Section | None:
    how = (
        "Each dot is a volunteer, placed at the share of their clips that are right: "
        "how wide the dots are spread is how much it depends on the person. Point at a "
        "dot for its volunteer. The groups are those that the clips' metadata make."
    )
    return Section("People", how, each(shown, _people))


def _people(one: Shown) -> list[Html]:
    results = one.summary.results
    parts = [] if results.volunteers is None else [tag("div", *_volunteers(results))]
    groups = [x for x in analysis.by_group(results) if x.kind != "lighting"]
    return [*parts, tag("div", _groups(groups))] if groups else parts


def _volunteers(results: Results) -> list[Html]:
    """Returns a dot for each person, and a table of them."""
    clips = {who: results.volunteers == who for who in set(results.volunteers.tolist())}
    right = results.right.mean(axis=0)
    shares = {who: float(right[here].mean()) for who, here in clips.items()}
    everyone = sorted(shares, key=lambda who: (shares[who], str(who)))
    dots = [(shares[x], f"volunteer {x}: {percent(shares[x])} %") for x in everyone]
    picture = svg.dots(dots, palette.BRIGHT[0], svg.percents("right"), "people")
    own = {
        field: {who: {*map(str, values[here])} for who, here in clips.items()}
        for field, values in results.metadata.items()
        if field != "volunteer" and known(values).any()
    }
    fields = [x for x in own if all(len(y) == 1 for y in own[x].values())][:MOST_FIELDS]
    rows = []
    for x in everyone:
        values = (min(own[field][x]) for field in fields)
        rows.append([str(x), percent(shares[x]), int(clips[x].sum()), *values])
    inside = table(["who", "right %", "clips", *fields], rows, "small")
    words = f"The people in numbers, the hardest first: {len(everyone)}"
    folded = {} if len(everyone) > MOST_PEOPLE else {"open": "open"}
    numbers = tag("details", tag("summary", words), inside, **folded)
    return [tag("figure", Html(picture)), numbers]


def _groups(groups: Sequence[analysis.Group]) -> Html:
    rows, kind = [], ""
    for x in groups:
        rows += [[], [tag("i", x.kind)]] if x.kind != kind else []
        kind = x.kind
        people = "-" if x.num_volunteers is None else x.num_volunteers
        rows.append(
            [x.name, bar(x.war), percent(x.war), percent(x.uar), x.num_clips, people]
        )
    return table(["group", "", "WAR %", "UAR %", "clips", "people"], rows)


def calibration(shown: Sequence[Shown]) -> Section:
    how = (
        "Whether a score of 0.7 is right in 7 of 10 cases: a dot on the dashed line is "
        "well calibrated, one below it overconfident, one above it underconfident. Its "
        "size shows how many predictions it stands for."
    )
    return Section("Calibration", how, each(shown, _calibration))


def _calibration(one: Shown) -> list[Html] | None:
    bins = analysis.calibration(one.summary.results)
    if bins is None:
        return None
    share = bins.counts / bins.counts.sum()
    points = [*zip(bins.confidence, bins.accuracy, strict=True)]
    points = [(x if y == y else 0.0, y) for x, y in points]
    sizes = (2 + 8 * np.sqrt(share)).tolist()
    lines = [
        svg.Line("", [(0, 0), (1, 1)], None, True),
        svg.Line("", points, palette.BRIGHT[0], sizes=sizes),
    ]
    x = svg.axis("best score", 0, 1)
    picture = svg.plot(lines, x, svg.percents("right"), "calibration")
    return [tag("figure", Html(picture)), tag("div", *_bins(bins))]


def _bins(bins: analysis.Calibration) -> list[Html]:
    here = bins.counts > 0
    score, right = (
        float(np.average(x[here], weights=bins.counts[here]))
        for x in (bins.confidence, bins.accuracy)
    )
    words = "overconfident" if score > right else "underconfident"
    if abs(score - right) < BALANCED:
        words = "neither over- nor underconfident as a whole"
    text = (
        f"Its best scores are {score:.2f} on average and right {percent(right)} % of "
        f"the time: it is {words}. Expected calibration error, the mean distance from "
        f"the dashed line: {100 * bins.error:.1f} percentage points."
    )
    width = 1 / len(bins.counts)
    rows = [
        [f"{i * width:.1f} to {(i + 1) * width:.1f}", f"{bins.counts[i]:,}",
         f"{bins.confidence[i]:.3f}", percent(bins.accuracy[i])]
        for i in np.flatnonzero(here)
    ]  # fmt: skip
    head = ["best score", "predictions", "mean score", "% right"]
    return [table(head, rows), tag("p", text, class_="note")]
