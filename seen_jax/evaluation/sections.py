"""Summaries of evaluations -> the page's sections, each with a line how to read it.

A section that nothing is known for is left out; one of several evaluations shows them
beside each other. Numbers are means over all passes; attention, spikes and windows are
of the first.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seen_jax import curves, metrics, palette, see, svg
from seen_jax.data.windows import Setting
from seen_jax.errors import UserError, refuse
from seen_jax.evaluation import (
    analysis,
    differences,
    efficiency,
    examples,
    pictures,
    provenance,
    report,
)
from seen_jax.evaluation.activity import NEURONS, NEURONS_IN_WORDS
from seen_jax.evaluation.examples import Examples
from seen_jax.evaluation.markup import Html, Part, heat, table, tag
from seen_jax.evaluation.report import Summary
from seen_jax.evaluation.results import known
from seen_jax.metrics import Column

SCALES = ("3 x 3", "5 x 5", "7 x 7")
LEAST_RATE = 1e-4  # smaller rates have the same colour
SEVERAL, MANY = 6, 8  # columns; more have upright titles on a phone, or everywhere
MOST_CONFUSIONS = 6
MOST_PEOPLE = 12  # of more, the table is folded
MOST_FIELDS = 4  # of a volunteer


@dataclass(frozen=True)
class Shown:
    """What is shown of one evaluation.

    Attributes:
      summary: its numbers.
      examples: its windows and activity, None where there are none.
      robustness: what `robustness.json` holds, None where there is none.
    """

    summary: Summary
    examples: Examples | None = None
    robustness: dict[str, Any] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        return self.summary.facts or {}


@dataclass(frozen=True)
class Section:
    """A title, how to read what follows, and what follows."""

    title: str
    how: str
    parts: Sequence[Html]


def all_of(shown: Sequence[Shown]) -> list[Section]:
    """Returns the sections that there is something to show in, in order."""
    made = [make(shown) for make in ORDER]
    return [section for section in made if section and section.parts]


def _each(
    shown: Sequence[Shown], draw: Callable[[Shown], Sequence[Html] | None]
) -> list[Html]:
    """Returns what is drawn of each evaluation; of several, with their names."""
    parts = []
    for one in shown:
        drawn = draw(one) or []
        if drawn and len(shown) > 1:
            drawn = [tag("div", tag("h3", one.summary.name), *drawn)]
        parts += drawn
    return parts


def percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def _pair(ends) -> tuple[float, float] | None:
    return ends and (ends.low, ends.high)


# Shares by class and by lighting.


def shares(shown: Sequence[Shown]) -> Section:
    summaries = [x.summary for x in shown]
    names = report.columns(summaries)
    lit = [x for x in names if x[0] == "lightings" and _is_known(summaries, x)]
    recalls = [x for x in names if x[0] == "recalls"]
    how = (
        "A bar is the share of clips that are right (for a class, its recall), the "
        "line on it a 95 % interval over other people, or over other clips of the same "
        "people where fewer than five have such clips; ± is the standard deviation "
        + ("over runs or passes." if len(shown) > 1 else "over passes.")
    )
    tables = [_shares_table(summaries, recalls, "class")]
    if lit:
        tables.append(_shares_table(summaries, lit, "lighting"))
    if len(shown) == 1:
        tables[-1] = tag(
            "div", tables[-1], _shares_table(summaries, OVERALL, "overall")
        )
    title = "By class and lighting" if lit else "By class"
    return Section(title, how, tables)


def overall(summaries: Sequence[Summary]) -> Html:
    """Returns WAR and UAR of each."""
    return _shares_table(summaries, OVERALL, "")


OVERALL = [metrics.WAR, metrics.UAR]


def _is_known(summaries: Sequence[Summary], column: Column) -> bool:
    return any(not math.isnan(s.mean.get(column, math.nan)) for s in summaries)


def _shares_table(
    summaries: Sequence[Summary], names: Sequence[Column], title: str
) -> Html:
    """Returns bars with their numbers: a row of each column and evaluation."""
    several = len(summaries) > 1
    found = [analysis.column_intervals(s.results) for s in summaries]
    head = [title, *(["of"] if several else []), "", "%", "±", "95 %", "over"]
    rows: list[list[Part]] = []
    for column in names:
        rows += [[]] if several and rows else []
        for i, (s, intervals) in enumerate(zip(summaries, found, strict=True)):
            colour = palette.colours(summaries)[i] if several else _colour(s, column)
            name = [column[1] if i == 0 else "", *([s.name] if several else [])]
            rows.append([*name, *_share(s, column, intervals.get(column), colour)])
    return table(head, rows, "shares")


def _colour(s: Summary, column: Column) -> str:
    labels = s.results.labels
    if column[0] != "recalls":
        return "var(--accent)"
    return palette.colours(labels)[labels.index(column[1])]


def _share(s: Summary, column: Column, found, colour: str) -> list[Part]:
    mean, spread = (x.get(column, math.nan) for x in (s.mean, s.spread))
    interval, units = found or (None, "-")
    picture = Html(svg.bar(mean, colour, _pair(interval)))
    ends = _pair(interval)
    text = f"{percent(ends[0])}\u2013{percent(ends[1])}" if ends else "-"
    return [
        tag("td", picture, class_="picture"),
        percent(mean),
        percent(spread),
        text,
        units,
    ]


# Several evaluations beside each other.


def comparison(shown: Sequence[Shown]) -> Section | None:
    if len(shown) == 1:
        return None
    summaries = [x.summary for x in shown]
    how = [note.replace("+-", "±") for note in report.notes(summaries)]
    return Section("Side by side", " ".join(how), [_plain(report.rows(summaries))])


def _plain(rows: Sequence[Sequence[str]]) -> Html:
    head, *others = rows
    cells = [[" ".join(x.split()).replace("( ", "(").replace("+-", "±") for x in row]
             for row in others]  # fmt: skip
    return table(head, cells, "narrow")


def how_they_differ(shown: Sequence[Shown]) -> Section | None:
    summaries = [x.summary for x in shown]
    parts = []
    compared = report.compare(summaries)
    of_texts = report.difference_tables(summaries)
    for texts, found in zip(of_texts, [x for x in compared[1:] if x], strict=True):
        parts.append(_differences(texts, [found[c] for c in report.columns(summaries)]))
    how = " ".join(differences.LEGEND.split())
    how += " The picture shows the difference and its interval over volunteers, where "
    how += (
        "that is known, else over clips; right of the middle is better than the first."
    )
    return Section("Differences", how, parts)


def _differences(
    texts: Sequence[Sequence[str]], found: Sequence[differences.Difference]
) -> Html:
    """Returns a table with a picture of each difference."""
    head, *rows = texts
    intervals = [x.intervals() for x in found]
    ends = [_pair(x["volunteers"] or x["clips"]) for x in intervals]
    values = [x.over_clips.value for x in found]
    numbers = [*np.nan_to_num(values), *(y for x in ends if x for y in x)]
    reach = max(np.abs(numbers).max(), 0.01)
    pictures_ = [
        tag("td", Html(svg.deviation(v, e, reach)), class_="picture")
        for v, e in zip(values, ends, strict=True)
    ]
    cells = [[row[0], x, *row[1:]] for row, x in zip(rows, pictures_, strict=True)]
    return table([head[0], "", *head[1:]], cells)


# What is taken for what, and by whom it is shown.


def confusion(shown: Sequence[Shown]) -> Section:
    how = (
        "A row is what was shown, a column what it was taken for, in percent of the "
        "row; what is right lies on the diagonal. A row of - had no clips."
    )
    return Section("Confusions", how, _each(shown, _confusion))


def _confusion(one: Shown) -> list[Html]:
    results = one.summary.results
    labels, matrix = results.labels, analysis.confusion(results)
    number = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, number, np.full_like(matrix, np.nan), where=number > 0)
    rows = []
    for label, of_label, counts in zip(labels, share, matrix, strict=True):
        cells = zip(of_label, counts, labels, strict=True)
        rows.append([label, *(_confused(label, *x) for x in cells)])
    return [_heat_table("", labels, rows), _often(labels, share, matrix)]


def _confused(label: str, share: float, count: float, other: str) -> Html:
    if math.isnan(share):
        return tag("td", "-")
    return heat(f"{100 * share:.0f}", share, f"{label} taken for {other}: {count:.1f}")


def _heat_table(corner: str, names: Sequence[str], rows: Sequence) -> Html:
    several = " several" if len(names) > SEVERAL else ""
    kind = "heat many" if len(names) > MANY else f"heat{several}"
    return table([corner, *names], rows, kind)


def _often(labels: Sequence[str], share: np.ndarray, matrix: np.ndarray) -> Html:
    """Names the most frequent confusions."""
    wrong = np.nan_to_num(share)
    np.fill_diagonal(wrong, 0)
    places = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]
    pairs = [np.unravel_index(x, wrong.shape) for x in places]
    rows = [
        [f"{labels[a]} for {labels[b]}", _bar(wrong[a, b]), percent(wrong[a, b]),
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
    return Section("People", how, _each(shown, _people))


def _people(one: Shown) -> list[Html]:
    results = one.summary.results
    parts, who = [], results.volunteers
    if who is not None:
        right = results.right.mean(axis=0)
        everyone = sorted({*who.tolist()}, key=lambda x: right[who == x].mean())
        parts.append(tag("div", *_volunteers(results, right, who, everyone)))
    groups = [x for x in analysis.by_group(results) if x.kind != "lighting"]
    if groups:
        parts.append(tag("div", _groups(groups)))
    return parts


def _volunteers(results, right, who, everyone) -> list[Html]:
    """Returns a dot for each person, and a table of them."""
    dots = [
        (
            float(right[who == x].mean()),
            f"volunteer {x}: {percent(right[who == x].mean())} %",
        )
        for x in everyone
    ]
    picture = svg.dots(dots, palette.BRIGHT[0], svg.percents("right"), "people")
    fields = [
        x
        for x in results.metadata
        if x != "volunteer"
        and all(len({*map(str, results.metadata[x][who == y])}) == 1 for y in everyone)
    ]
    fields = [x for x in fields if known(results.metadata[x]).any()][:MOST_FIELDS]
    rows = [
        [str(x), percent(right[who == x].mean()), int((who == x).sum())]
        + [str(results.metadata[f][who == x][0]) for f in fields]
        for x in everyone
    ]
    inside = table(["who", "right %", "clips", *fields], rows, "people")
    words = f"The {len(everyone)} volunteers in numbers, the hardest first"
    folded = {} if len(everyone) > MOST_PEOPLE else {"open": "open"}
    numbers = tag("details", tag("summary", words), inside, **folded)
    return [tag("figure", Html(picture)), numbers]


def _groups(groups: Sequence[analysis.Group]) -> Html:
    rows, kind = [], ""
    for x in groups:
        rows += [[], [tag("i", x.kind)]] if x.kind != kind else []
        kind = x.kind
        bar = tag("td", Html(svg.bar(x.war, "var(--accent)")), class_="picture")
        people = "-" if x.num_volunteers is None else x.num_volunteers
        rows.append([x.name, bar, percent(x.war), percent(x.uar), x.num_clips, people])
    return table(["group", "", "WAR %", "UAR %", "clips", "people"], rows)


def calibration(shown: Sequence[Shown]) -> Section:
    how = (
        "Whether a score of 0.7 is right in 7 of 10 cases: a dot on the dashed line "
        "keeps its promise, one below it is too sure of itself. Its size shows how "
        "many predictions it stands for."
    )
    return Section("Calibration", how, _each(shown, _calibration))


def _calibration(one: Shown) -> list[Html] | None:
    found = analysis.calibration(one.summary.results)
    if found is None:
        return None
    share = found.counts / found.counts.sum()
    points = [*zip(found.confidence, found.accuracy, strict=True)]
    points = [(x if y == y else 0.0, y) for x, y in points]
    sizes = (2 + 8 * np.sqrt(share)).tolist()
    lines = [
        svg.Line("", [(0, 0), (1, 1)], None, True),
        svg.Line("", points, palette.BRIGHT[0], sizes=sizes),
    ]
    x = svg.axis("best score", 0, 1)
    picture = svg.plot(lines, x, svg.percents("right"), "calibration")
    return [tag("figure", Html(picture)), tag("div", *_bins(found))]


def _bins(found: analysis.Calibration) -> list[Html]:
    here = found.counts > 0
    score, right = (
        float(np.average(x[here], weights=found.counts[here]))
        for x in (found.confidence, found.accuracy)
    )
    words = "too sure of itself" if score > right else "less sure than it may be"
    text = (
        f"Its best scores are {score:.2f} on average and right {percent(right)} % of "
        f"the time: it is {words}. Expected calibration error, the mean distance from "
        f"the dashed line: {100 * found.error:.1f} percentage points."
    )
    width = 1 / len(found.counts)
    rows = [
        [f"{i * width:.1f} to {(i + 1) * width:.1f}", f"{found.counts[i]:,}",
         f"{found.confidence[i]:.3f}", percent(found.accuracy[i])]
        for i in np.flatnonzero(here)
    ]  # fmt: skip
    head = ["best score", "predictions", "mean score", "% right"]
    return [table(head, rows), tag("p", text, class_="note")]


def training(shown: Sequence[Shown]) -> Section:
    runs = {run.name: run.facts for x in shown for run in x.summary.each if run.facts}
    runs = {name: facts for name, facts in runs.items() if facts.get("curves")}
    several = len(runs) > 1
    rows = {name if several else "": x["curves"] for name, x in runs.items()}
    chosen = {name if several else "": x["epoch"] for name, x in runs.items()}
    if not rows:
        return Section("Training", "", [])
    num_classes = len(shown[0].summary.results.labels)
    how = (
        "Left the loss that training makes small, right how many windows are right. A "
        "wide gap between training and the evaluated clips means that it learns these "
        "clips by heart. "
    )
    how += " ".join(
        f"{f'{name}: the' if several else 'The'} numbers are of epoch {x['epoch']}, "
        f"{x['choice']}."
        for name, x in runs.items()
    )
    plots = curves.plots(rows, num_classes=num_classes, chosen=chosen)
    return Section("Training", how, [tag("figure", Html(x)) for x in plots])


# What happens inside, and what it costs.


def activity(shown: Sequence[Shown]) -> Section:
    how = (
        "The spatial branch looks at the intensity frames through kernels of three "
        "sizes and weighs them (attention, 1 in sum); the rest are neurons, and a "
        "number is the percentage of them that fire in a time step. Few is cheap: only "
        "a spike causes work."
    )
    parts = _each(shown, _activity)
    words = tag("p", NEURONS_IN_WORDS, class_="note")
    if parts:
        parts.append(tag("div", tag("h3", "What fires"), words))
    return Section("Attention and spikes", how, parts)


def _activity(one: Shown) -> list[Html] | None:
    seen = one.examples
    if seen is None or seen.observed is None:
        return None
    labels = one.summary.results.labels
    index = one.summary.results.label_index[clips_of(one.summary, seen.observed)]
    rates = np.column_stack([seen.spatial_rate, seen.rates.mean(axis=1)])
    here = {labels[k]: index == k for k in np.unique(index)}
    attention = [
        [name, *(heat(f"{x:.2f}", x) for x in seen.attention[mask].mean(axis=0))]
        for name, mask in here.items()
    ]
    spikes = [
        [name, *map(_rate, rates[mask].mean(axis=0))] for name, mask in here.items()
    ]
    by_step = [
        [name, *map(_rate, row)]
        for name, row in zip(NEURONS[1:], seen.rates.mean(axis=0).T, strict=True)
    ]
    steps = [f"t = {t}" for t in range(1, seen.rates.shape[1] + 1)]
    parts = [
        ("Attention by class", _heat_table("", SCALES, attention)),
        ("Neurons that fire, percent, by class", _heat_table("", NEURONS, spikes)),
        ("The same by time step", _heat_table("", steps, by_step)),
    ]
    return [tag("div", tag("h3", title), part) for title, part in parts]


def _rate(rate: float) -> Html:
    """Returns a cell on a logarithmic scale: rates differ a hundredfold by layer."""
    shade = 1 - math.log10(max(rate, LEAST_RATE)) / math.log10(LEAST_RATE)
    digits = 0 if rate >= 0.0995 else 1 if rate >= 0.00995 else 2
    return heat(f"{100 * rate:.{digits}f}", shade)


def clips_of(s: Summary, names: np.ndarray) -> np.ndarray:
    """Returns the numbers of clips among the results."""
    places = {name: i for i, name in enumerate(s.results.names)}
    for name in sorted({*names.tolist()} - places.keys()):
        rule = "clips of the result files beside it"
        refuse(examples.FILE, rule, name, "evaluate again")
    return np.array([places[name] for name in names.tolist()])


def cost(shown: Sequence[Shown]) -> Section:
    how = (
        "Operations and the energy of the arithmetic of one window, estimated; M are "
        "millions. A spike causes additions where it arrives, a dense layer multiplies "
        "whatever arrives."
    )
    return Section("Operations and energy", how, _each(shown, _cost))


def _cost(one: Shown) -> list[Html] | None:
    facts = one.facts.get("efficiency")
    if facts is None:
        return _size(one)
    texts = [x.replace("uJ", "µJ") for x in efficiency.sentences(facts)]
    energy = {"this network": "energy_uj", "of that, on images": "image_energy_uj",
              "all layers dense": "dense_energy_uj"}  # fmt: skip
    most = max(facts[x] for x in energy.values())
    rows = [
        [name, _bar(facts[x] / most), f"{facts[x]:,.0f}"] for name, x in energy.items()
    ]
    counts = [
        [name, *(f"{x:,.3f}" for x in row)] for name, *row in efficiency.counts(facts)
    ]
    head = ["operations, M", *efficiency.COUNTS]
    words = [tag("p", x, class_="note") for x in [*texts, facts["source"]]]
    sizes = _size(one) or []
    return [
        tag("div", table(["energy", "", "µJ"], rows), table(head, counts)),
        tag("div", *sizes, *words),
    ]


def _bar(share: float) -> Html:
    return tag("td", Html(svg.bar(share, "var(--accent)")), class_="picture")


def _size(one: Shown) -> list[Html] | None:
    if "size" not in one.facts:
        return None
    num_parameters, macs = (one.facts["size"][x] for x in provenance.SIZE)
    text = f"{num_parameters:,} parameters; on dense inputs {macs / 1e6:,.1f} M "
    return [tag("p", text + "multiply-accumulates for a window.", class_="note")]


# Under bad conditions.


def robustness(shown: Sequence[Shown]) -> Section:
    """Draws the first's kinds; a run that lacks one has no line there."""
    found = {x.summary.name: x.robustness for x in shown if x.robustness}
    if not found:
        return Section("Robustness", "", [])
    how = (
        "The same clips, spoiled more and more from 0 on: the line is the share that "
        "is still right (WAR), the bars 95 % intervals over people of the change. Flat "
        "is robust."
    )
    kinds = {kind["name"]: kind for x in found.values() for kind in x["kinds"]}
    parts = [_kind(name, kind, found) for name, kind in kinds.items()]
    parts += [_by_lighting(x["lightings"]) for x in found.values() if x["lightings"]][
        :1
    ]
    numbers = [_numbers(name, x) for name, x in found.items()]
    return Section("Robustness", how, [tag("div", *parts, class_="plots"), *numbers])


def _kind(name: str, kind: Mapping[str, Any], found: Mapping[str, Any]) -> Html:
    lines, levels = [], []
    for i, (run, x) in enumerate(found.items()):
        for of_run in x["kinds"]:
            if of_run["name"] == name:
                title = run if len(found) > 1 else ""
                lines.append(_robust(title, of_run, x, palette.colours(found)[i]))
                levels += [y["severity"] for y in of_run["points"]]
    low, high = min(levels), max(levels)
    x = svg.axis(kind["unit"], low, high if high > low else low + 1)
    picture = svg.plot(lines, x, svg.percents("WAR"), kind["title"])
    words = tag("figcaption", tag("b", kind["title"]), ". ", kind["sentence"])
    return tag("figure", words, Html(picture))


def _by_lighting(found: Mapping[str, Any]) -> Html:
    """Returns the first evaluation's lightings beside what the paper says of them."""
    rows = [
        [x["lighting"], _bar(x["share"]), percent(x["share"]),
         "-" if x["published"] is None else percent(x["published"])]
        for x in found["points"]
    ]  # fmt: skip
    words = tag("figcaption", tag("b", found["title"]), ". ", found["sentence"])
    return tag("figure", words, table(["", "", "%", "published"], rows))


def _robust(title: str, kind: Mapping, found: Mapping, colour: str) -> svg.Line:
    base, points = found["baseline"]["war"], kind["points"]
    ends = [x["war_interval"] for x in points]
    moved = [x and (max(base + x[0], 0), min(base + x[1], 1)) for x in ends]
    places = [(x["severity"], x["war"]) for x in points]
    return svg.Line(title, places, colour, sizes=[3] * len(places), intervals=moved)


def _numbers(name: str, found: Mapping[str, Any]) -> Html:
    rows: list[list[Part]] = []
    for kind in found["kinds"]:
        rows += [[]] if rows else []
        for x in kind["points"]:
            ends = x["war_interval"]
            text = f"{100 * ends[0]:+.1f} to {100 * ends[1]:+.1f}" if ends else "-"
            numbers = percent(x["war"]), percent(x["uar"])
            moved = f"{100 * x['war_difference']:+.1f}"
            rows.append([kind["title"], f"{x['severity']:g}", *numbers, moved, text])
    head = ["", "severity", "WAR %", "UAR %", "change of WAR", "95 %"]
    words = f"{name} in numbers; {found['passes']} passes"
    return tag("details", tag("summary", words), table(head, rows))


# Windows, and where all of it comes from.


def windows(shown: Sequence[Shown]) -> Section:
    how = (
        "Windows of the first pass, of as many people and lightings as there are. "
        "Intensity frames above, event frames below; the bars are the network's scores."
    )
    parts = []
    for one in shown:
        if one.examples is not None:
            name = f" ({one.summary.name})" if len(shown) > 1 else ""
            parts += _right_and_wrong(one, name)
    return Section("Examples", how, parts)


def _right_and_wrong(one: Shown, name: str) -> list[Html]:
    s, seen = one.summary, one.examples
    clips = clips_of(s, seen.clips)
    scores, truth = s.results.scores[0, clips], s.results.label_index[clips]
    best = s.results.predictions[0, clips]
    order = np.argsort(-np.nan_to_num(scores).max(axis=1), kind="stable")
    groups = {
        "Right": np.flatnonzero(best == truth),
        "Most confident mistakes": order[best[order] != truth[order]],
    }
    parts = []
    for title, chosen in groups.items():
        figures = [
            pictures.window(
                s.results.labels, scores[i], pictures.read(seen, i), seconds_of(one),
                caption(one, clips[i]),
            )
            for i in chosen
        ]  # fmt: skip
        if figures:
            cards = tag("div", *figures, class_="cards")
            parts.append(tag("div", tag("h3", title + name), cards))
    return parts


def seconds_of(one: Shown) -> float | None:
    """Returns how long a window is, None if not known."""
    try:
        setting = Setting.parse(one.facts["setting"])
    except (KeyError, UserError):
        return None
    return (setting.span - 1) / one.facts.get("frames_per_s", see.FRAMES_PER_S)


def caption(one: Shown, clip: int) -> Html:
    """Says what a clip shows, what it is taken for, who shows it and in which light."""
    results = one.summary.results
    true, best = results.label_index[clip], results.predictions[0, clip]
    score = results.scores[0, clip, best]
    labels = results.labels
    taken = "read right" if true == best else f"taken for {labels[best]}"
    kind = {"class_": "right" if true == best else "wrong"}
    parts = [tag("b", labels[true]), " ", tag("span", taken, **kind), f", {score:.2f}"]
    words = {"volunteer": "volunteer {}", "lighting": "{} light"}
    for field, form in words.items():
        value = results.metadata.get(field, {clip: ""})[clip]
        if str(value) not in ("", "None"):
            parts.append(f"; {form.format(value)}")
    return tag("span", *parts, title=results.names[clip])


def origin(shown: Sequence[Shown]) -> Section:
    how = "Where the numbers come from, and the commands that make them again."
    runs = [run for x in shown for run in x.summary.each]
    parts = [
        tag("div", *([tag("h3", run.name)] if len(runs) > 1 else []), *_origin(run))
        for run in runs
    ]
    return Section("Where this comes from", how, parts)


def _origin(run: Summary) -> list[Html]:
    if run.facts is None:
        words = "Result files alone: how they were made is not known."
        return [tag("p", words, class_="note")]
    commands = f"python {run.facts['command']}"
    if run.directory is not None:
        out = shlex.join([str(run.directory), "--html", "report.html"])
        commands += f"\npython -m seen_jax.evaluation report {out}"
    *lines, _ = provenance.to_text(run.facts).splitlines()  # the last has the command
    words = [tag("p", x) for x in [*lines, f"run {run.facts['workdir']}"]]
    return [*words, tag("pre", commands)]


ORDER = (
    comparison, how_they_differ, shares, confusion, people, calibration, training,
    activity, cost, robustness, windows, origin,
)  # fmt: skip
