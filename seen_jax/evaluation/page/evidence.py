"""Sections: windows that are right and wrong, and where all of it comes from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seen_jax.evaluation import provenance
from seen_jax.evaluation.page import pictures, sections
from seen_jax.evaluation.page.markup import Html, table, tag
from seen_jax.evaluation.page.sections import Section, Shown
from seen_jax.evaluation.summaries import Summary


def windows(shown: Sequence[Shown]) -> Section:
    how = (
        "Windows of the first pass, of as many people and lightings as there are. "
        "Intensity frames above, event frames below; the bars are the network's scores."
        + sections.of_first(shown)
    )
    named = [(x.summary.name, _right_and_wrong(x)) for x in shown if x.examples]
    if len(shown) == 1:
        return Section("Examples", how, [x for _, parts in named for x in parts])
    folded = [
        tag("details", tag("summary", name), tag("div", *parts, class_="two"))
        for name, parts in named
    ]
    return Section("Examples", how, [tag("div", *folded, class_="full")] * bool(named))


def _right_and_wrong(one: Shown) -> list[Html]:
    s, examples = one.summary, one.examples
    clips = sections.clips_of(s, examples.clips)
    scores, truth = s.results.scores[0, clips], s.results.label_index[clips]
    best = s.results.predictions[0, clips]
    order = np.argsort(-np.nan_to_num(scores).max(axis=1), kind="stable")
    groups = {
        "Right": np.flatnonzero(best == truth),
        "Mistakes, of different people": order[best[order] != truth[order]],
    }
    parts = []
    for title, chosen in groups.items():
        figures = []
        for i in chosen:
            frames, words = pictures.read(examples, i), sections.caption(one, clips[i])
            parts_of = s.results.labels, scores[i], frames, sections.seconds_of(one)
            figures.append(pictures.window(*parts_of, words))
        if figures:
            cards = tag("div", *figures, class_="cards")
            parts.append(tag("div", tag("h3", title), cards))
    return parts


def origin(shown: Sequence[Shown]) -> Section:
    how = (
        "Where the numbers come from, how the network was trained, and the commands "
        "that make this page again from the run."
    )
    runs = [run for x in shown for run in x.summary.each]
    measured = {name: x for one in shown for name, x in one.robustness.items()}
    parts = [
        tag(
            "div",
            *([tag("h3", run.name)] if len(runs) > 1 else []),
            *_origin(run, measured.get(run.name)),
        )
        for run in runs
    ]
    return Section("Where this comes from", how, parts)


def _origin(run: Summary, robustness: Mapping[str, Any] | None) -> list[Html]:
    if run.facts is None:
        words = "Result files alone: how they were made is not known."
        return [tag("p", words, class_="note")]
    commands = [f"python {run.facts['command']}"]
    commands += [robustness["command"]] if robustness else []
    if run.directory is not None:
        out = shlex.join([str(run.directory), "--html", "report.html"])
        commands.append(f"python -m seen_jax.evaluation report {out}")
    lines = provenance.without_command(run.facts).splitlines()
    parts = [*(tag("p", x) for x in lines), tag("pre", "\n".join(commands))]
    if config := run.facts.get("config"):
        rows = [[name, str(value)] for name, value in sorted(config.items())]
        inside = table(["field", "value"], rows, "small")
        parts.append(tag("details", tag("summary", "Settings of the training"), inside))
    return parts
