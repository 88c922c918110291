"""Rates of several ways to do the same work, measured in turn."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

# Units of work per second of each round: "per_s" by the clock; "per_core_s" by the
# processor time of all threads of this process, which other programs hardly change.
Rate = dict[str, list[float]]


def alternate(
    ways: Mapping[str, Callable[[float], int]], num_rounds: int, seconds: float
) -> dict[str, Rate]:
    """Measures each way once a round, so that a busy moment does not hit one alone.

    Args:
      ways: name to a function that works for about the given seconds and returns how
        many units it did. A first, short call is not counted.
      num_rounds: measurements of each.
      seconds: per measurement, about.
    """
    for way in ways.values():
        way(seconds / 4)
    rates: dict[str, Rate] = {name: {"per_s": [], "per_core_s": []} for name in ways}
    for _ in range(num_rounds):
        for name, way in ways.items():
            start, core_start = time.perf_counter(), time.process_time()
            units = way(seconds)
            core_s = time.process_time() - core_start
            rates[name]["per_s"].append(units / (time.perf_counter() - start))
            rates[name]["per_core_s"].append(units / core_s)
    return rates


def repeat(call: Callable[[], object], units: int = 1) -> Callable[[float], int]:
    """Returns a function that calls for some time, once at least, and counts units.

    Args:
      call: what is measured.
      units: of work that a call does.
    """

    def run(seconds: float) -> int:
        end, done = time.perf_counter() + seconds, 0
        while not done or time.perf_counter() < end:
            call()
            done += units
        return done

    return run


def spread(rounds: Sequence[float]) -> float:
    """Returns half the interquartile range."""
    if len(rounds) < 2:
        return 0.0
    low, _, high = statistics.quantiles(rounds, n=4, method="inclusive")
    return (high - low) / 2


def to_text(rounds: Sequence[float], digits: int) -> str:
    """Formats the median and the spread."""
    return f"{statistics.median(rounds):,.{digits}f} +- {spread(rounds):,.{digits}f}"


def ratio(rates: Mapping[str, Rate], name: str, plain: str, kind: str) -> float:
    """Returns how many times faster one way is than another, by the medians."""
    return statistics.median(rates[name][kind]) / statistics.median(rates[plain][kind])


def times_ms(rates: Sequence[float]) -> list[float]:
    return [1000 / rate for rate in rates]


def plot(
    path: Path,
    title: str,
    what: str,
    rounds: Mapping[str, Sequence[float]],
    log: bool = False,
) -> None:
    """Draws medians and spreads as bars.

    Args:
      path: of the image.
      title: of the image.
      what: the quantity, with its unit.
      rounds: the measurements by way.
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


def machine() -> str:
    """Returns the processor, how many there are, and Python's version."""
    model, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if info.exists():  # on Linux
        lines = info.read_text(encoding="utf-8").splitlines()
        names = [x.split(":")[1].strip() for x in lines if x.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} processors, Python {platform.python_version()}"
