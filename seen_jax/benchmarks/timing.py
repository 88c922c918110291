"""Rates of several ways to do the same work, measured in turn."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Rate:
    """How fast one way was, round after round.

    Attributes:
      per_s: units of work per second that passed.
      per_core_s: units per second of processor time, all threads of this process
        together; what others do on the machine hardly changes it.
    """

    per_s: tuple[float, ...]
    per_core_s: tuple[float, ...]


def spread(rounds: tuple[float, ...]) -> float:
    """Returns half the width of the middle half (the interquartile range)."""
    if len(rounds) < 2:
        return 0.0
    low, _, high = statistics.quantiles(rounds, n=4, method="inclusive")
    return (high - low) / 2


def alternate(
    ways: Mapping[str, Callable[[float], int]], num_rounds: int, seconds: float
) -> dict[str, Rate]:
    """Measures each way once a round, so that a busy moment does not hit one alone.

    Args:
      ways: name to a function that works for about the given seconds and returns how
        many units it did. A first, short call is not counted.
      num_rounds: measurements of each.
      seconds: that each measurement takes, about.
    """
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for way in ways.values():
        way(seconds / 4)
    for _ in range(num_rounds):
        for name, way in ways.items():
            start, core_start = time.perf_counter(), time.process_time()
            units = way(seconds)
            core_s = time.process_time() - core_start
            rounds[name].append((units / (time.perf_counter() - start), units / core_s))
    return {
        name: Rate(*map(tuple, zip(*pairs, strict=True)))
        for name, pairs in rounds.items()
    }


def plot(
    path: Path,
    title: str,
    what: str,
    rounds: Mapping[str, tuple[float, ...]],
    log: bool = False,
) -> None:
    """Draws medians and spreads as bars.

    Args:
      path: of the image.
      title: of it.
      what: is measured, with its unit.
      rounds: what was measured round after round, by way.
      log: whether the axis is logarithmic.
    """
    figure = Figure(figsize=(6, 1 + 0.4 * len(rounds)), layout="constrained")
    axes = figure.subplots()
    medians = [statistics.median(x) for x in rounds.values()]
    bars = axes.barh(list(rounds), medians, xerr=[spread(x) for x in rounds.values()])
    labels = [f"{x:,.0f}" if x >= 100 else f"{x:.3g}" for x in medians]
    axes.bar_label(bars, labels, padding=5)
    axes.invert_yaxis()
    if log:
        axes.set_xscale("log")
    axes.margins(x=0.2)
    axes.set_xlabel(what)
    axes.set_title(title, fontsize=10)
    figure.savefig(path, dpi=150)


def for_seconds(work: Iterator[int]) -> Callable[[float], int]:
    """Returns a function that goes on with `work` for some time and counts it."""

    def run(seconds: float) -> int:
        end, units = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            units += next(work)
        return units

    return run


def machine() -> str:
    """Returns the processor, how many there are, and Python's version."""
    model, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if info.exists():  # on Linux
        lines = info.read_text(encoding="utf-8").splitlines()
        names = [x.split(":")[1].strip() for x in lines if x.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} processors, Python {platform.python_version()}"
