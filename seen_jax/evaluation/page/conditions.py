"""Section: what is left under bad conditions, from `robustness.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seen_jax.evaluation import robustness_report
from seen_jax.evaluation.page.markup import Html, Part, table, tag
from seen_jax.evaluation.page.sections import Section, Shown
from seen_jax.evaluation.robustness_report import Columns
from seen_jax.evaluation.statistics import interval_text, percent


def robustness(shown: Sequence[Shown]) -> Section:
    """Draws all kinds; a run that lacks one has no line there."""
    columns = [(x.summary.name, [*x.robustness.values()]) for x in shown]
    contents = {name: x for one in shown for name, x in one.robustness.items()}
    passes = sorted({x["passes"] for x in contents.values()})
    if not contents:
        return Section("Robustness", "", [])
    how = (
        "The same clips with a disturbance of increasing severity; 0 is none. The line "
        "is the share that is still right (WAR), the bars are 95 % intervals over "
        "people of its change. Where the line is flat the disturbance does not matter: "
        "the network withstands it, or does not use what is disturbed. Passes over "
        f"the clips, each with other windows: {', '.join(map(str, passes))}."
    )
    if len(columns) == len(contents) == 1:
        how += " Dashed is UAR."
    if len(shown) > 1 or shown[0].summary.runs:
        how += f" Measured: {', '.join(contents)}."
    if any(len(x) > 1 for _, x in columns):
        how += " Runs of a column have one colour, and no intervals in the pictures."
    kinds = {kind["name"]: kind for x in contents.values() for kind in x["kinds"]}
    parts = [_kind(name, kind, columns) for name, kind in kinds.items()]
    plots = tag("div", *parts, class_="plots")
    numbers = [_numbers(name, x) for name, x in contents.items()]
    return Section("Robustness", how, [plots, *_by_lighting(contents), *numbers])


def _kind(name: str, kind: Mapping[str, Any], columns: Columns) -> Html:
    picture = robustness_report.plot(name, columns, kind["unit"])
    words = tag("figcaption", tag("b", kind["title"]), ". ", kind["sentence"])
    return tag("figure", words, Html(picture))


def _by_lighting(contents: Mapping[str, Any]) -> list[Html]:
    """Says where the shares by lighting are, and what the paper says of them."""
    if not any(x["lightings"] for x in contents.values()):
        return []
    link = tag("a", "By class and lighting", href="#by-class-and-lighting")
    words = ["What is right in each lighting, with nothing changed, is under ", link]
    published = {}
    for x in contents.values():
        points = (x["lightings"] or {"points": []})["points"]
        known = [y for y in points if y["published"] is not None]
        shares = [f"{y['lighting']} {percent(y['published'])}" for y in known]
        published |= {x["setting"]: ", ".join(shares)} if shares else {}
    for setting, text in published.items():
        words.append(f". Published of {setting}, on the real set: {text} %")
    words += [", of an epoch chosen on these clips."] if published else ["."]
    return [tag("p", *words, class_="note full")]


def _numbers(name: str, content: Mapping[str, Any]) -> Html:
    rows: list[list[Part]] = []
    for kind in content["kinds"]:
        rows += [[], [f"{kind['title']} ({kind['unit']})"]]
        for x in kind["points"]:
            ends = interval_text(x["war_interval"], "+")
            numbers = percent(x["war"]), percent(x["uar"])
            moved = f"{100 * x['war_difference']:+.1f}"
            rows.append([f"{x['severity']:g}", *numbers, moved, ends])
    head = ["severity", "WAR %", "UAR %", "change of WAR", "95 %"]
    words = f"{name} in numbers"
    return tag("details", tag("summary", words), table(head, rows, "small"))
