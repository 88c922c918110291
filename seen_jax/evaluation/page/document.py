"""Evaluations -> one HTML file that opens from disk and is sent to other people.

    first screen   the result in a sentence and in numbers, beside one window
    sections       each with a line that says how to read it

A section that nothing is known for is left out; one of several evaluations shows them
beside each other. Numbers are means over all passes and runs; attention, spikes and
windows are of the first.

Pictures and style are inside; there is no script, and nothing is loaded.
"""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Mapping, Sequence

import numpy as np

from seen_jax import metrics, see
from seen_jax.errors import counted
from seen_jax.evaluation import analysis, provenance, report
from seen_jax.evaluation.page import (
    answers,
    conditions,
    evidence,
    network,
    pictures,
    shares,
)
from seen_jax.evaluation.page.markup import Html, Part, join, tag
from seen_jax.evaluation.page.sections import (
    Section,
    Shown,
    caption,
    clips_of,
    seconds_of,
)
from seen_jax.evaluation.statistics import interval_text, percent
from seen_jax.evaluation.summaries import Summary

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
           "ten", "eleven", "twelve")  # fmt: skip
NETWORKS = {"seen": "SEEN", "cnn": "A CNN", "lstm": "An LSTM", "cnn3d": "A 3D CNN",
            "transformer": "A Transformer"}  # fmt: skip
PEOPLE = {  # dataset and split: whose expressions are read
    ("by_volunteer", "test"): "people it has never seen",
    ("published", "test"): "people, some of whom it was trained on,",
}
SPLITS = {
    "train": "the clips it was trained on",
    "validation": "people it has never seen",
}
DATASETS = {"published": "the published split", "by_volunteer": "split by volunteer"}
MEANING = {
    "WAR": "weighted average recall: the share of all clips that are right",
    "UAR": "unweighted average recall: the mean of the classes' shares",
}
SECTIONS = (
    shares.how_they_differ, shares.shares, answers.confusion, answers.people,
    answers.calibration, network.training, network.activity, network.cost,
    conditions.robustness, evidence.windows, evidence.origin,
)  # fmt: skip


def to_html(shown: Sequence[Shown]) -> str:
    """Returns the page.

    Args:
      shown: evaluations; the others are compared with the first.
    """
    made = [make(shown) for make in SECTIONS]
    made = [section for section in made if section and section.parts]
    title = _title(shown)
    return whole(title, _header(shown, title), made)


def whole(title: str, header: Html, sections: Sequence[Section]) -> str:
    """Returns a page with its style and a list of contents."""
    style = importlib.resources.files(__package__) / "page.css"
    head = join([
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", title), tag("style", Html(style.read_text("utf-8"))),
    ])  # fmt: skip
    main = tag("main", *(_section(x) for x in sections))
    page = tag("div", _contents(sections), main, class_="page")
    body = tag("body", header, page)
    html = tag("html", tag("head", head), body, lang="en")
    return f"<!doctype html>\n{html}\n"


def _section(section: Section) -> Html:
    parts = tag("h2", section.title), tag("p", section.how, class_="how")
    inside = tag("div", *section.parts, class_="two")
    return tag("section", *parts, inside, id=_place(section))


def _place(section: Section) -> str:
    return section.title.lower().replace(" ", "-")


def _contents(sections: Sequence[Section]) -> Html:
    items = [tag("li", tag("a", x.title, href=f"#{_place(x)}")) for x in sections]
    return tag("nav", tag("ul", *items), aria_label="contents")


def _classes(s: Summary) -> str:
    labels = s.results.labels
    number = NUMBERS[len(labels)] if len(labels) < len(NUMBERS) else len(labels)
    return f"{number} {'emotions' if {*labels} == {*see.EMOTIONS} else 'classes'}"


def _title(shown: Sequence[Shown]) -> str:
    """Returns the result in a sentence."""
    first = shown[0].summary
    if len(shown) > 1:
        number = NUMBERS[len(shown)] if len(shown) < len(NUMBERS) else len(shown)
        start = f"{str(number).capitalize()} evaluations side by side"
        if not all(report.are_comparable(first, x.summary) for x in shown):
            return f"{start}, not {'all ' * (len(shown) > 2)}of the same clips"
        wars = sorted(x.summary.mean[metrics.WAR] for x in shown)
        return (
            f"{start}: they read {_classes(first)} right {percent(wars[0])} to "
            f"{percent(wars[-1])} % of the time"
        )
    facts = shown[0].facts
    who = SPLITS.get(facts.get("split")) or PEOPLE.get(
        (facts.get("dataset"), facts.get("split"))
    )
    of = f" of {who}" if who else ""
    right = percent(first.mean[metrics.WAR])
    return f"{_name(shown[0])} reads {_classes(first)}{of} right {right} % of the time"


def _name(one: Shown) -> str:
    """Names the network and its setting."""
    if "setting" not in one.facts:
        return one.summary.name
    network, *fields = one.facts.get("network", "seen").split(", ")
    words = ", ".join([NETWORKS.get(network, network), *fields])
    return f"{words}, {one.facts['setting']},"


def _header(shown: Sequence[Shown], title: str) -> Html:
    words = tag("div", tag("h1", title), *_summary(shown))
    picture = _picture(shown[0], len(shown) > 1)
    kind = {"class_": "pictured"} if picture else {}
    return tag("header", words, *([picture] if picture else []), **kind)


def _summary(shown: Sequence[Shown]) -> list[Html]:
    summaries = [x.summary for x in shown]
    share = 1 / len(summaries[0].results.labels)
    chance = tag("p", f"Chance is {percent(share)} %.")
    facts = _data_of_each(shown) | _changes(summaries)
    if len(shown) > 1:
        return [chance, shares.overall(summaries), _facts(MEANING | facts)]
    numbers = tag("div", *_numbers(summaries[0]), class_="numbers")
    return [chance, numbers, _facts(facts)]


def _numbers(s: Summary) -> list[Html]:
    """Returns WAR and UAR with their intervals."""
    intervals = analysis.column_intervals(s.results)
    parts = []
    for column in (metrics.WAR, metrics.UAR):
        name = column[1]
        words = f"{name}, {MEANING[name]}. "
        if column in intervals:
            interval, units = intervals[column]
            words += f"95 % interval over {units}: {interval_text(interval)} %. "
        if not math.isnan(spread := s.spread[column]):
            over = "runs" if s.runs else "passes"
            words += f"Standard deviation over {over}: {percent(spread)}."
        number = tag("b", f"{percent(s.mean[column])} %")
        parts.append(tag("div", number, tag("span", words, class_="note")))
    return parts


def _data_of_each(shown: Sequence[Shown]) -> dict[str, Part]:
    """Says what `_data` says, once where it is the same of all."""
    rows, merged = [_data(x) for x in shown], {}
    for key in dict.fromkeys(key for row in rows for key in row):
        texts = [row.get(key, "not stated") for row in rows]
        is_same = len({*texts}) == 1
        merged[key] = texts[0] if is_same else _lines([x.summary for x in shown], texts)
    return merged


def _lines(summaries: Sequence[Summary], texts: Sequence[str]) -> Html:
    lines = zip(summaries, texts, strict=True)
    return join([tag("div", f"{s.name}: {text}") for s, text in lines])


def _changes(summaries: Sequence[Summary]) -> dict[str, Part]:
    """Says how the WAR of each differs from the first's."""
    first, *others = summaries
    words = []
    for s, differences in zip(others, report.compare(summaries)[1:], strict=True):
        text = f"not compared with {first.name}, since these are other clips"
        if differences:
            change = 100 * (s.mean[metrics.WAR] - first.mean[metrics.WAR])
            spans = [
                f"{interval_text(y, '+')} over {x}"
                for x, y in differences[metrics.WAR].intervals().items()
                if y
            ]
            text = f"{change:+.1f} points of WAR from {first.name}"
            text += f"; 95 %: {', '.join(spans)}" if spans else ""
        words.append(text)
    return {"difference": _lines(others, words)} if others else {}


def _data(one: Shown) -> dict[str, str]:
    """Says which data and epoch the numbers are of, and how large the network is."""
    s, facts = one.summary, one.facts
    data = "not stated: there are result files alone"
    if "source" in facts:
        dataset = facts.get("dataset")
        real = ", no real people" if facts["source"].startswith("simulated") else ""
        data = f"{facts['source']}{real}; {DATASETS.get(dataset, dataset)}, "
        data += str(facts.get("split"))
    clips = counted(len(s.results.names), "clip", ",")
    if number := s.results.num_volunteers:
        clips += f" of {number} people" if number > 1 else " of one person"
    passes = "one window of each"
    if s.results.num_passes > 1:
        passes = f"{s.results.num_passes} passes with other windows of them"
    runs = f", {s.results.num_runs} runs" if s.runs else ""
    epoch = facts.get("epoch", s.results.epoch)
    choice = facts.get("choice", "how it was chosen is not stated")
    rows = {"data": data, "clips": f"{clips}, {passes}{runs}"}
    rows |= {} if epoch is None else {"epoch": f"{epoch}, {choice}"}
    if "size" in facts:
        num_parameters, macs = (facts["size"][x] for x in provenance.SIZE)
        rows["size"] = f"{num_parameters:,} parameters, {macs / 1e6:,.0f} M multiply-"
        rows["size"] += "accumulates for a window on dense inputs"
    return rows


def _facts(rows: Mapping[str, Part]) -> Html:
    cells = [x for key, text in rows.items() for x in (tag("dt", key), tag("dd", text))]
    return tag("dl", *cells, class_="facts")


def _picture(one: Shown, is_named: bool) -> Html | None:
    """Draws one window, one that is right where there is any."""
    examples, results = one.examples, one.summary.results
    if examples is None:
        return None
    clips = clips_of(one.summary, examples.clips)
    right = results.predictions[0, clips] == results.label_index[clips]
    lively = examples.event_frames.std(axis=(1, 2, 3))  # the events say something
    i = int(np.argmax(np.where(right == right.any(), lively, -1)))
    of = f" as {one.summary.name} reads it" if is_named else ""
    kinds = [tag("i", f"{x} frames", class_=x) for x in ("intensity", "event")]
    key = tag("span", join(kinds, " above "), class_="key")
    framed = ". Framed: what the network reads. "
    words = join([f"One window{of}: ", key, framed, caption(one, clips[i])])
    film, scores = pictures.film(examples, i), results.scores[0, clips[i]]
    seconds = seconds_of(one)
    return pictures.window(results.labels, scores, film, seconds, words)
