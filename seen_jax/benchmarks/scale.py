"""How the cost of a training step, and of a prediction, grows; here and in PyTorch.

    python -m seen_jax.benchmarks scale [--only frames batch] [--json] [--plot FILE.png]

By event frames in a window, by windows in a batch (trained on, and predicted), by clips
whose frames lie in the device's memory (those of SEE once, and four times), and by
virtual devices of the CPU that share a batch. Each point is a run of `step` or
`forward` in a process of its own; one that fails is named, and the others go on. What a
reader would get wrong: virtual devices share the same cores, so several cost as much as
one at best; they show what dividing a batch costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from seen_jax import see
from seen_jax.benchmarks import arguments
from seen_jax.benchmarks.side_by_side import DEVICES, HERE, PLAIN, times_ms

# What grows: its value to a command and its arguments. A step of one window does not
# exist in PyTorch, whose BatchNorm refuses it.
POINTS: dict[str, dict[int, list[str]]] = {
    "frames": {
        4: ["step", "--setting=E4_S3"],
        7: ["step", "--setting=E7_S1"],
        13: ["step", "--setting=E13_S0"],
    },
    "batch": {n: ["step", f"--batch_size={n}"] for n in (2, 8, 32, 128, 512)},
    "predicted": {n: ["forward", f"--batch_size={n}"] for n in (1, 8, 32, 128, 512)},
    "clips": {
        n * see.NUM_CLIPS: ["step", f"--clips={n * see.NUM_CLIPS}"] for n in (1, 4)
    },
    "devices": {n: ["step", f"--devices={n}"] for n in (1, 2, 4)},
}


def measure_point(given: Sequence[str]) -> dict[str, Any]:
    """Runs a command in another process; returns what it prints.

    Raises:
      RuntimeError: it fails; with its last words.
    """
    command = [sys.executable, "-m", "seen_jax.benchmarks", *given, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        words = done.stderr.strip().splitlines()[-1:]
        raise RuntimeError(f"{' '.join(given)}: {' '.join(words)}")
    return json.loads(done.stdout)


def table(found: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> str:
    """Formats the median time of a step, of a window, and the ratio.

    Args:
      found: what grows, its value, what the command printed there.
    """
    lines = [
        f"{'':20}{'ms':>24}{'windows per s':>24}{'ratio':>8}",
        f"{'':20}" + f"{'plain':>12}{'JAX':>12}" * 2,
    ]
    for what, points in found.items():
        for value, point in points.items():
            ms, per_s = medians(point), windows_per_s(point)
            line = f"{what:12}{value:>8}" + "".join(f"{x:12.1f}" for x in ms)
            line += "".join(f"{x:12.1f}" for x in per_s)
            lines.append(f"{line}{point['ratio']:8.2f}")
    return "\n".join(lines)


def medians(point: Mapping[str, Any]) -> tuple[float, float]:
    """Returns the median time of a step in ms, plain and here."""
    calls = point["calls"]
    return tuple(statistics.median(times_ms(calls[x]["per_s"])) for x in (PLAIN, HERE))


def windows_per_s(point: Mapping[str, Any]) -> tuple[float, float]:
    """Returns windows per second, plain and here."""
    return tuple(1000 * point["batch_size"] / ms for ms in medians(point))


def plot(path: Path, found: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> None:
    """Draws windows per second against each of what grows."""
    figure = Figure(figsize=(3 * len(found), 3), layout="constrained")
    every_axes = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, (what, points) in zip(every_axes, found.items(), strict=True):
        rates = zip(*map(windows_per_s, points.values()), strict=True)
        for name, rate in zip((PLAIN, HERE), rates, strict=True):
            axes.plot([str(value) for value in points], rate, "o-", label=name)
        axes.set_xlabel(what)
    every_axes[0].set_ylim(bottom=0)
    every_axes[0].set_ylabel("windows per second")
    every_axes[0].legend()
    figure.savefig(path, dpi=150)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m seen_jax.benchmarks scale")
    parser.add_argument("--only", nargs="+", choices=POINTS, default=list(POINTS))
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument("--rounds", type=arguments.at_least(1), default=5)
    parser.add_argument(
        "--seconds", type=arguments.seconds, default=1.0, help="of a measurement"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    args = parser.parse_args(argv)
    shared = ["--device", args.device, "--rounds", str(args.rounds)]
    shared += ["--seconds", str(args.seconds)]
    found: dict[str, dict[int, Any]] = {}
    failed = False
    for what in args.only:
        if what == "devices" and args.device != "cpu":
            continue  # virtual ones are the CPU's
        for value, given in POINTS[what].items():
            try:
                point = measure_point([*given, *shared])
            except RuntimeError as error:
                failed = True
                print(error, file=sys.stderr)
                continue
            found.setdefault(what, {})[value] = point
            print(f"{what} {value}: {point['ratio']:.2f}", file=sys.stderr)
    if not found:
        return 1
    if args.plot is not None:
        plot(args.plot, found)
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        any_point = next(iter(next(iter(found.values())).values()))
        print(f"E4, batch 32 but where it says else; {any_point['machine']}")
        print(table(found))
    return 1 if failed else 0
