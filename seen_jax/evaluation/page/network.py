"""Sections: how the network was trained, what happens inside, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seen_jax import curves
from seen_jax.evaluation import efficiency
from seen_jax.evaluation.activity import NEURONS, NEURONS_IN_WORDS
from seen_jax.evaluation.page.markup import Html, heat, heat_table, table, tag
from seen_jax.evaluation.page.sections import (
    Section,
    Shown,
    bar,
    clips_of,
    each,
    of_first,
)

SCALES = ("3 x 3", "5 x 5", "7 x 7")
LEAST_RATE = 1e-4  # smaller rates have the same colour
Evaluated = tuple[int, Mapping[str, Any]]  # the number of its column, and its facts


def training(shown: Sequence[Shown]) -> Section:
    """Draws each run once, however often it was evaluated, in its column's colour."""
    evaluated = [
        (i, run.facts)
        for i, x in enumerate(shown)
        for run in x.summary.each
        if run.facts and run.facts.get("curves")
    ]
    if not evaluated:
        return Section("Training", "", [])
    runs = _by_run(evaluated)
    several = len(runs) > 1
    titles, columns = [[x.summary.name] for x in shown], [[] for _ in shown]
    for of_run in runs:
        first, *others = dict.fromkeys(i for i, _ in of_run)
        titles[first] += [shown[i].summary.name for i in others]
        columns[first].append(max((facts["curves"] for _, facts in of_run), key=len))
    names = [" and ".join(dict.fromkeys(x)) if several else "" for x in titles]
    chosen = sorted({facts["epoch"] for _, facts in evaluated})
    num_classes = len(shown[0].summary.results.labels)
    rows = [row for of_column in columns for x in of_column for row in x]
    splits = sorted({row["split"] for row in rows if "war" in row})
    solid = [f"solid: {' and '.join(splits)} WAR"] * bool(splits)
    lines = f" ({', '.join([*solid, 'dashed: training accuracy'])})" if several else ""
    how = (
        f"The training loss, and the share of windows that are right{lines}. "
        "A wide gap between training and the evaluated clips is overfitting. A "
        "vertical line is at the epoch that the numbers are of."
    )
    pairs = [*zip(names, columns, strict=True)]
    plots = curves.plots(pairs, num_classes=num_classes, chosen=chosen)
    return Section("Training", how, [tag("figure", Html(x)) for x in plots])


def _by_run(evaluated: Sequence[Evaluated]) -> list[list[Evaluated]]:
    """Groups the evaluations of one run.

    Their curves begin alike: one that was evaluated earlier knows fewer epochs.
    """
    runs: list[list[Evaluated]] = []
    for column, facts in evaluated:
        for of_run in runs:
            both = facts["curves"], of_run[0][1]["curves"]
            if all(x == y for x, y in zip(*both, strict=False)):
                of_run.append((column, facts))
                break
        else:
            runs.append([(column, facts)])
    return runs


def activity(shown: Sequence[Shown]) -> Section:
    how = (
        "The spatial branch looks at the intensity frames through kernels of three "
        "sizes and weighs them (attention, 1 in sum); the rest are neurons, and a "
        "number is the percentage of them that fire in a time step. Few is cheap: only "
        f"a spike causes work. {NEURONS_IN_WORDS}{of_first(shown)}"
    )
    return Section("Attention and spikes", how, each(shown, _activity))


def _activity(one: Shown) -> list[Html] | None:
    examples = one.examples
    if examples is None or examples.observed is None:
        return None
    labels = one.summary.results.labels
    index = one.summary.results.label_index[clips_of(one.summary, examples.observed)]
    rates = np.column_stack([examples.spatial_rate, examples.rates.mean(axis=1)])
    here = {labels[k]: index == k for k in np.unique(index)}
    attention = [
        [name, *(heat(f"{x:.2f}", x) for x in examples.attention[mask].mean(axis=0))]
        for name, mask in here.items()
    ]
    spikes = [
        [name, *map(_rate, rates[mask].mean(axis=0))] for name, mask in here.items()
    ]
    by_step = [
        [name, *map(_rate, row)]
        for name, row in zip(NEURONS[1:], examples.rates.mean(axis=0).T, strict=True)
    ]
    steps = [f"t = {t}" for t in range(1, examples.rates.shape[1] + 1)]
    parts = [
        ("Attention by class", heat_table(SCALES, attention)),
        ("Neurons that fire, percent, by class", heat_table(NEURONS, spikes)),
        ("Neurons that fire, percent, by time step", heat_table(steps, by_step)),
    ]
    return [tag("div", tag("h3", title), part) for title, part in parts]


def _rate(rate: float) -> Html:
    """Returns a cell on a logarithmic scale: rates differ a hundredfold by layer."""
    shade = 1 - math.log10(max(rate, LEAST_RATE)) / math.log10(LEAST_RATE)
    digits = 0 if rate >= 0.0995 else 1 if rate >= 0.00995 else 2
    return heat(f"{100 * rate:.{digits}f}", shade)


def cost(shown: Sequence[Shown]) -> Section:
    how = (
        "Operations and the energy of the arithmetic of one window, estimated; M are "
        "millions. A spike causes additions where it arrives (at most: if every neuron "
        "fired at every step), a dense layer multiplies whatever arrives, padding too. "
        "conv2_f2 and conv3_f2 are the second and third convolution of the temporal "
        f"branch, fc1 and fc2 the layers behind both branches.{of_first(shown)}"
    )
    return Section("Operations and energy", how, each(shown, _cost))


def _cost(one: Shown) -> list[Html] | None:
    facts = (one.summary.each[0].facts or {}).get("efficiency")
    if facts is None:
        return None
    energy = {"this network": "energy_uj", "of that, on images": "image_energy_uj",
              "all layers dense": "dense_energy_uj"}  # fmt: skip
    most = max(facts[x] for x in energy.values())
    rows = [
        [name, bar(facts[x] / most), f"{facts[x]:,.0f}"] for name, x in energy.items()
    ]
    counts = [
        [name, *(f"{x:,.3f}" for x in row)] for name, *row in efficiency.counts(facts)
    ]
    head = ["operations, M", *efficiency.COUNTS]
    _, *sentences = efficiency.sentences(facts)  # the first is the table of energy
    words = [tag("p", x, class_="note") for x in sentences]
    return [
        tag("div", table(["energy", "", "µJ"], rows), table(head, counts)),
        tag("div", *words),
    ]
