"""What the page is made from, evaluations, and what it is made of, sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seen_jax import see, svg
from seen_jax.data.windows import Setting
from seen_jax.errors import UserError, refuse
from seen_jax.evaluation import examples
from seen_jax.evaluation.examples import Examples
from seen_jax.evaluation.page.markup import Html, tag
from seen_jax.evaluation.summaries import Summary


@dataclass(frozen=True)
class Shown:
    """What is shown of one evaluation.

    Attributes:
      summary: its numbers.
      examples: its windows and activity, of several runs those of the first; None where
        there are none.
      robustness: what `robustness.json` holds, by the names of the runs that have one.
    """

    summary: Summary
    examples: Examples | None = None
    robustness: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        """What `evaluation.json` says; of several runs, what it says of all of them."""
        first, *others = [run.facts or {} for run in self.summary.each]
        same = first.keys() - {k for k in first for x in others if x.get(k) != first[k]}
        return {name: first[name] for name in first if name in same}


@dataclass(frozen=True)
class Section:
    """A title, how to read what follows, and what follows."""

    title: str
    how: str
    parts: Sequence[Html]


def each(
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


def of_first(shown: Sequence[Shown]) -> str:
    """Says which run is shown where a column has several."""
    several = any(x.summary.runs for x in shown)
    return " Of several runs in a column, the first is shown." if several else ""


def bar(
    share: float,
    interval: tuple[float, float] | None = None,
    colour: str = "var(--accent)",
) -> Html:
    """Returns a cell with a bar."""
    return tag("td", Html(svg.bar(share, colour, interval)), class_="picture")


def clips_of(s: Summary, names: np.ndarray) -> np.ndarray:
    """Returns the numbers of clips among the results."""
    places = {name: i for i, name in enumerate(s.results.names)}
    for name in sorted({*names.tolist()} - places.keys()):
        rule = "clips of the result files beside it"
        refuse(examples.FILE, rule, name, "evaluate again")
    return np.array([places[name] for name in names.tolist()])


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
    for name, form in words.items():
        value = results.metadata.get(name, {clip: ""})[clip]
        if str(value) not in ("", "None"):
            parts.append(f"; {form.format(value)}")
    return tag("span", *parts, title=results.names[clip])
