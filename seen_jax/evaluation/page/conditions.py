"""Section: what is left under bad conditions, from `robustness.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seen_jax.evaluation import robustness_report
from seen_jax.evaluation.page.markup import Html, Part, table, tag
from seen_jax.evaluation.page.shown import Section, Shown, bar, percent
from seen_jax.evaluation.statistics import interval_text


def robustness(shown: Sequence[Shown]) -> Section:
    """Draws the first's kinds; a run that lacks one has no line there."""
    found = {x.summary.name: x.robustness for x in shown if x.robustness}
    passes = sorted({x["passes"] for x in found.values()})
    if not found:
        return Section("Robustness", "", [])
    how = (
        "The same clips with a disturbance of increasing severity; 0 is none. The line "
        "is the share that is still right (WAR), the bars are 95 % intervals over "
        "people of the change. A flat line is robust. Passes, which draw other windows "
        f"of the clips: {', '.join(map(str, passes))}."
    )
    if len(shown) > 1:
        how += f" Measured: {', '.join(found)}."
    kinds = {kind["name"]: kind for x in found.values() for kind in x["kinds"]}
    parts = [_kind(name, kind, found) for name, kind in kinds.items()]
    plots = tag("div", *parts, class_="plots")
    lit = [_by_lighting(x["lightings"]) for x in found.values() if x["lightings"]]
    numbers = [_numbers(name, x) for name, x in found.items()]
    return Section("Robustness", how, [plots, *lit[:1], *numbers])


def _kind(name: str, kind: Mapping[str, Any], found: Mapping[str, Any]) -> Html:
    picture = robustness_report.plot(name, found, kind["unit"])
    words = tag("figcaption", tag("b", kind["title"]), ". ", kind["sentence"])
    return tag("figure", words, Html(picture))


def _by_lighting(found: Mapping[str, Any]) -> Html:
    """Returns the first evaluation's lightings beside what the paper says of them."""
    rows = [
        [x["lighting"], bar(x["share"], x["interval"]), percent(x["share"]),
         interval_text(x["interval"]), x["num_clips"],
         "-" if x["published"] is None else percent(x["published"])]
        for x in found["points"]
    ]  # fmt: skip
    words = tag("figcaption", tag("b", found["title"]), ". ", found["sentence"])
    head = ["lighting", "", "%", "95 %", "clips", "published"]
    return tag("figure", words, table(head, rows))


def _numbers(name: str, found: Mapping[str, Any]) -> Html:
    rows: list[list[Part]] = []
    for kind in found["kinds"]:
        rows += [[], [f"{kind['title']} ({kind['unit']})"]]
        for x in kind["points"]:
            ends = interval_text(x["war_interval"], "+")
            numbers = percent(x["war"]), percent(x["uar"])
            moved = f"{100 * x['war_difference']:+.1f}"
            rows.append([f"{x['severity']:g}", *numbers, moved, ends])
    head = ["severity", "WAR %", "UAR %", "change of WAR", "95 %"]
    words = f"{name} in numbers"
    return tag("details", tag("summary", words), table(head, rows, "small"))
