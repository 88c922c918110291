"""Rates of several ways to do the same work, measured in turn, and how they are shown.

A time is shown as `median +- spread (smallest)`, a rate with its largest. Where the
spread is large or other programs work, a warning says so, and a mark stands behind the
ratio.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

NOISY = 0.1  # of the median, or of a core for others: more shows a busy machine
FEWEST = 3  # rounds that have a spread
MARK = "*"  # behind a ratio of such numbers
LOAD = os.getloadavg()[0]  # of the last minute, before anything is measured
CLOCKS = {"per_s": "by the clock", "per_core_s": "in processor time"}

# Units of work per second of each round: "per_s" by the clock; "per_core_s" by the
# processor time of all threads of this process, which other programs hardly change. And
# "others": how many cores everything else on this machine used meanwhile.
Rate = dict[str, list[float]]
Way = Callable[[float], int]  # works for about so many seconds, returns units of work


def alternate(
    ways: Mapping[str, Way], num_rounds: int, seconds: float
) -> dict[str, Rate]:
    """Measures each way once a round, so that a busy moment does not hit one alone.

    A first, short call of each is not counted.
    """
    for way in ways.values():
        way(seconds / 4)
    rates: dict[str, Rate] = {name: {} for name in ways}
    for _ in range(num_rounds):
        for name, way in ways.items():
            for kind, rate in _measure(way, seconds).items():
                rates[name].setdefault(kind, []).append(rate)
    return rates


def _measure(way, seconds):
    """Returns one round of a `Rate`."""
    others, start, core_start = _others_s(), time.perf_counter(), time.process_time()
    units = way(seconds)
    core_s, wall_s = time.process_time() - core_start, time.perf_counter() - start
    per_s = {"per_s": units / wall_s, "per_core_s": units / core_s}
    return per_s | {"others": (_others_s() - others) / wall_s}


def _others_s():
    """Returns processor seconds since the start of Linux that are not this process's.

    They count in steps of 10 ms, so that a difference may be below 0. What a virtual
    machine's host took from it is included.
    """
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return 0.0  # not Linux: the spread alone tells
    user, nice, system, _, _, *interrupts_and_host = map(int, first.split()[1:9])
    busy = sum((user, nice, system, *interrupts_and_host))
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    own_s = time.process_time() + ended.ru_utime + ended.ru_stime
    return busy / os.sysconf("SC_CLK_TCK") - own_s


def repeat(call: Callable[[], object], units: int = 1) -> Way:
    """Returns a way that calls until the time is over, at least once."""

    def run(seconds):
        end, done = time.perf_counter() + seconds, 0
        while not done or time.perf_counter() < end:
            call()
            done += units
        return done

    return run


def spread(rounds: Sequence[float]) -> float:
    """Returns half the interquartile range; 0 where there are too few for one."""
    if len(rounds) < FEWEST:
        return 0.0
    low, _, high = statistics.quantiles(rounds, n=4, method="inclusive")
    return (high - low) / 2


def noisy_ways(rates: Mapping[str, Rate]) -> dict[str, str]:
    """Returns the ways that were disturbed, and what shows it.

    Note: the spread alone does not show a steady load, which slows every round evenly.
    """
    noisy = {}
    for name, rate in rates.items():
        known = {clock: rate[kind] for kind, clock in CLOCKS.items() if kind in rate}
        wide = [k for k, x in known.items() if spread(x) > NOISY * statistics.median(x)]
        reasons = [f"spread {clock}" for clock in wide]
        others = statistics.mean(rate.get("others", [0.0]))
        if others > NOISY:
            reasons.append(f"others used {others:.1f} cores")
        if reasons:
            noisy[name] = ", ".join(reasons)
    return noisy


def to_text(rounds: Sequence[float], digits: int, best: Callable = min) -> str:
    """Formats the median, the spread if any, and the smallest or the best otherwise."""
    values = statistics.median(rounds), spread(rounds), best(rounds)
    median, half, best_one = (f"{x:,.{digits}f}" for x in values)
    middle = f"+- {half}" if len(rounds) >= FEWEST else "no spread"
    return f"{median} {middle} ({best_one})"


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Returns the median over the rounds of one measurement by the other.

    Those of a round are made one after the other, so this holds where the machine's
    speed drifts and the ratio of two medians does not.
    """
    return statistics.median(x / y for x, y in zip(over, under, strict=True))


def marked(value: float, noisy: Mapping[str, str], *ways: str, digits: int = 2) -> str:
    """Formats a ratio, marked if one of the ways that it is of is noisy."""
    return f"{value:.{digits}f}{MARK if noisy.keys() & {*ways} else ''}"


def warnings(noisy: Mapping[str, str]) -> list[str]:
    """Returns a line about a busy machine, or none, from what `noisy_ways` returned."""
    each = "; ".join(f"{name} ({why})" for name, why in noisy.items())
    line = (
        f"{MARK} WARNING, a busy machine: half the interquartile range is above "
        f"{NOISY:.0%} of the median, or others used more of a core, for {each}. Stop "
        "other programs and measure again"
    )
    return [line] if noisy else []


def table(
    rates: Mapping[str, Rate],
    columns: Mapping[str, str],
    plain: str,
    by: str,
    digits: int,
    as_ms: bool = True,
) -> list[str]:
    """Formats a line for each way, with its ratio to the plain one, and the warnings.

    Args:
      columns: kind of rate -> its heading.
      by: kind of rate of the ratio.
      digits: behind the point, of all but the ratio.
      as_ms: in ms per unit of work; else in units of work per second.
    """
    best, noisy = min if as_ms else max, noisy_ways(rates)
    headings = "".join(f"{x:>30}" for x in columns.values())
    lines = [f"{'':24}{headings}{'ratio':>10}"]
    for name, rate in rates.items():
        shown = (times_ms(rate[x]) if as_ms else rate[x] for x in columns)
        cells = "".join(f"{to_text(x, digits, best):>30}" for x in shown)
        times = marked(ratio(rate[by], rates[plain][by]), noisy, name, plain)
        lines.append(f"{name:24}{cells}{times:>10}")
    return lines + warnings(noisy)


def times_ms(rates: Sequence[float]) -> list[float]:
    return [1000 / rate for rate in rates]


def machine() -> str:
    """Returns the processor, how many there are, Python's version, and the load."""
    model, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""  # on Linux
    if named := re.search(r"^model name\s*:(.*)", text, re.MULTILINE):
        model = named[1].strip()
    python = f"Python {platform.python_version()}"
    return f"{model}, {os.cpu_count()} processors, {python}, load {LOAD:.2f} at start"
