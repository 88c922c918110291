"""Time of a window against spike rate: the kernel in C beside dense programs.

    python -m seen_jax.benchmarks spikes --bundle BUNDLE [--json] [--plot FILE.png]

The threshold of all neurons is a multiple of the bundle's: with ten times as much
hardly a neuron fires, with 0 about every second one does. The windows are those of
`runtime`, on one core. The dense programs are ONNX Runtime and, where it is installed,
the plain PyTorch network, both with the bundle's own threshold: they multiply by every
zero, so that their time is the same at any rate.
"""

from __future__ import annotations

from argparse import Namespace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from seen_jax.benchmarks import runtime, timing
from seen_jax.errors import refuse
from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import LAYERS

DENSE = "onnxruntime"  # that the kernel is compared with
MULTIPLES = 10, 3, 2, 1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 256, 0
BLOCKS, FIRST = seen_runtime.BLOCKS, seen_runtime.CHANNELS
NEURONS = {  # whose spikes reach the output
    "LIF1": (len(seen_runtime.PATCHES) - 1) * FIRST,
    "LIF2": (3 * BLOCKS - 1) ** 2 * 256,
    "LIF3": BLOCKS**2 * 512,
}


def make_kernels(bundle: Path) -> dict[float, seen_runtime.Kernel]:
    """Returns a bundle's kernel, as its runtime has it, by threshold."""
    loaded = runtime.without_network(bundle)
    try:
        library = seen_runtime.compile_kernel(str(bundle / seen_runtime.KERNEL))
    except OSError as error:
        remedy = "install gcc or clang, and name it in CC"
        refuse("the kernel", "a C compiler", error, remedy)
    folded = seen_runtime.read_folded(str(bundle), loaded.manifest)
    own = seen_runtime.constants(loaded.manifest)
    kernels = {}
    for threshold in (own["threshold"] * x for x in MULTIPLES):
        changed = own | {"threshold": threshold}
        length = loaded.lengths[0]
        kernels[threshold] = seen_runtime.Kernel(library, folded, length, **changed)
    return kernels


def spike_rates(
    kernel: seen_runtime.Kernel, windows: list[runtime.Window]
) -> dict[str, float]:
    """Returns the share of neurons that fire in a time step, 0 to 1, by layer."""
    spikes = np.mean([kernel(*x)[1][0] for x in windows], axis=0)
    fired = {x: spikes[LAYERS.index(x)] / kernel.lengths[0] for x in NEURONS}
    rates = {x: fired[x] / NEURONS[x] for x in NEURONS}
    return rates | {"all": sum(fired.values()) / sum(NEURONS.values())}


def crossing(points: list[tuple[float, float]], dense: float) -> float | None:
    """Returns the rate at which the kernel becomes slower than dense programs.

    Straight lines join the points: rates, ascending, and the kernel's time at each.
    """
    for (rate, time), (next_rate, next_time) in pairwise(points):
        if time <= dense < next_time:
            share = (dense - time) / (next_time - time)
            return rate + share * (next_rate - rate)
    return None


def measure(args: Namespace) -> dict[str, Any]:
    """Measures all thresholds and the dense programs in turn; times are of the core."""
    what, clips = runtime.read_clips(args)
    with runtime.on_one_core():
        windows = runtime.cut_windows(args.bundle, clips)
        kernels = make_kernels(args.bundle)
        fired = {x: spike_rates(kernel, windows) for x, kernel in kernels.items()}
        ways = {_name(x): runtime.on_all(kernels[x], windows) for x in kernels}
        dense = seen_runtime.load(str(args.bundle), DENSE)
        ways[DENSE] = runtime.on_all(dense.logits, windows)
        ways |= runtime.plain_way(args.bundle, windows)
        rates = timing.alternate(ways, args.rounds, args.seconds)
    ms = {name: timing.times_ms(rate["per_core_s"]) for name, rate in rates.items()}
    points = [
        {"threshold": x, "rates": fired[x], "ms": ms.pop(_name(x))} for x in kernels
    ]
    points.sort(key=lambda point: point["rates"]["all"])
    line = [(x["rates"]["all"], median(x["ms"])) for x in points]
    return {
        "machine": timing.machine(),
        "what": what,
        "threshold": seen_runtime.read_manifest(str(args.bundle))["threshold"],
        "points": points,
        "dense_ms": ms,
        "crossing": crossing(line, median(ms[DENSE])),
        "noisy": timing.noisy_ways(rates),
    }


def _name(threshold: float) -> str:
    return f"threshold {threshold:.4g}"


def to_text(result: dict[str, Any]) -> str:
    """Formats rates, times and how many times faster than the dense program."""
    dense_ms, noisy = result["dense_ms"], result["noisy"]
    lines = [
        f"{result['what']}, one at a time on one core; {result['machine']}",
        f"{'':20}{'neurons that fire, percent':^32}{'ms of the core':>30}{'ratio':>10}",
        f"{'':20}" + "".join(f"{x:>8}" for x in [*NEURONS, "all"]),
    ]
    for point in result["points"]:
        name, ms = _name(point["threshold"]), point["ms"]
        rates = "".join(f"{100 * x:8.2f}" for x in point["rates"].values())
        ratio = timing.marked(timing.ratio(dense_ms[DENSE], ms), noisy, name, DENSE)
        lines.append(f"{name:20}{rates}{timing.to_text(ms, 2):>30}{ratio:>10}")
    lines += [f"{x:52}{timing.to_text(ms, 2):>30}" for x, ms in dense_ms.items()]
    return "\n".join([*lines, _verdict(result), *timing.warnings(noisy)])


def _verdict(result):
    if (rate := result["crossing"]) is not None:
        return f"the kernel is faster than {DENSE} until {100 * rate:.0f} % fire"
    dense, points = median(result["dense_ms"][DENSE]), result["points"]
    faster = sum(median(x["ms"]) <= dense for x in points)
    word, count = ("faster", faster) if faster else ("slower", len(points))
    return f"the kernel is {word} than {DENSE} at {count} of {len(points)} rates"


def plot(path: Path, result: dict[str, Any]) -> None:
    """Draws time against spike rate, with the place where the two cross."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    points, dense_ms, cross = (result[x] for x in ("points", "dense_ms", "crossing"))
    percent = [100 * x["rates"]["all"] for x in points]
    rounds = [x["ms"] for x in points]
    spreads = [timing.spread(x) for x in rounds]
    axes.errorbar(percent, [*map(median, rounds)], spreads, fmt="o-", label="native")
    for i, (name, ms) in enumerate(dense_ms.items()):
        axes.axhline(median(ms), color=f"C{i + 1}", label=name)
    for x in points:
        if x["threshold"] == result["threshold"]:
            own = 100 * x["rates"]["all"], median(x["ms"])
            axes.plot(*own, "o", ms=12, mfc="none", color="C0", label="as trained")
    if cross is not None:
        axes.axvline(100 * cross, color="grey", linestyle=":")
        axes.annotate(f" {100 * cross:.0f} %", (100 * cross, 0), va="bottom")
    axes.set(xlabel="neurons of LIF1 to LIF3 that fire in a time step, percent")
    axes.set(ylabel="ms of a core for one window", ylim=(0, None))
    axes.set_title(_verdict(result), fontsize=10)
    axes.legend()
    figure.savefig(path, dpi=150)
