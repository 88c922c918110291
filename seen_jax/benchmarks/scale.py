"""How the cost of a training step, and of a prediction, grows; here and in PyTorch.

    python -m seen_jax.benchmarks scale [--only frames batch] [--json] [--plot FILE.png]

By event frames in a window, by windows in a batch (trained on, and predicted), by clips
whose frames are in the device's memory (those of SEE once, and four times), and by
virtual devices of the CPU that share a batch. Each point is a run of `step` or
`forward` in a process of its own; if one fails, it is named and the others still run.

Note: virtual devices share the same cores, so several cost as much as one at best; they
show what dividing a batch costs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from seen_jax import see
from seen_jax.benchmarks import arguments, timing
from seen_jax.benchmarks.arguments import HERE, PLAIN

# What grows: its value to a command and its arguments. There is no step of one window:
# PyTorch's BatchNorm refuses it.
POINTS: dict[str, dict[int, list[str]]] = {
    "frames": {
        4: ["step", "--setting=E4_S3"],
        7: ["step", "--setting=E7_S1"],
        13: ["step", "--setting=E13_S0"],
    },
    "batch": {n: ["step", f"--batch_size={n}"] for n in (2, 8, 32, 128, 512)},
    "predicted": {n: ["forward", f"--batch_size={n}"] for n in (1, 8, 32, 128, 512)},
    "clips": {n: ["step", f"--clips={n}"] for n in (see.NUM_CLIPS, 4 * see.NUM_CLIPS)},
    "devices": {n: ["step", f"--devices={n}"] for n in (1, 2, 4)},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=POINTS, default=list(POINTS))
    arguments.add_device(parser)
    arguments.add_rounds(parser, rounds=5, seconds=1.0)


def measure(args: argparse.Namespace) -> dict[str, dict[Any, Any]]:
    """Returns what grows -> its value -> what the command printed there.

    Where points failed, "failed" has the last line of each.
    """
    shared = [f"--{x}={getattr(args, x)}" for x in ("device", "rounds", "seconds")]
    result: dict[str, dict[Any, Any]] = {}
    for what in args.only:
        if what == "devices" and args.device != "cpu":
            continue  # virtual ones are the CPU's
        for value, command in POINTS[what].items():
            try:
                point = measure_point([*command, *shared])
            except RuntimeError as error:
                print(error, file=sys.stderr)
                result.setdefault("failed", {})[" ".join(command)] = str(error)
                continue
            result.setdefault(what, {})[value] = point
            print(f"{what} {value}: {point['ratio']:.2f}", file=sys.stderr)
    return result


def measure_point(arguments: Sequence[str]) -> dict[str, Any]:
    """Runs a command in another process; returns what it prints.

    Raises:
      RuntimeError: it fails; with the last line of its errors.
    """
    command = [sys.executable, "-m", "seen_jax.benchmarks", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        words = done.stderr.strip().splitlines()[-1:]
        raise RuntimeError(f"{' '.join(arguments)}: {' '.join(words)}")
    return json.loads(done.stdout)


def to_text(result: Mapping[str, Any]) -> str:
    """Formats the time of a step, windows per second, and the ratio."""
    lines = [
        f"{'':20}{'ms':>60}{'windows per s':>24}{'ratio':>8}",
        f"{'':20}" + f"{'plain':>30}{'JAX':>30}" + f"{'plain':>12}{'JAX':>12}",
    ]
    noisy, machines = {}, []
    for what in POINTS:
        for value, point in result.get(what, {}).items():
            ms = "".join(f"{timing.to_text(x, 1):>30}" for x in rounds_ms(point))
            rates = "".join(f"{x:12.1f}" for x in windows_per_s(point))
            busy = timing.noisy_ways(point["calls"])
            ratio = timing.marked(point["ratio"], busy, *busy)
            lines.append(f"{what:12}{value:>8}{ms}{rates}{ratio:>8}")
            noisy |= {f"{what} {value}, {name}": why for name, why in busy.items()}
            machines.append(point["machine"])
    if not machines:
        return "no point could be measured"
    what = f"E4, batch 32 unless a row says otherwise; {machines[0]}"
    return "\n".join([what, *lines, *timing.warnings(noisy)])


def rounds_ms(point: Mapping[str, Any]) -> list[list[float]]:
    """Returns the times of a step, plain and here."""
    return [timing.times_ms(point["calls"][name]["per_s"]) for name in (PLAIN, HERE)]


def windows_per_s(point: Mapping[str, Any]) -> list[float]:
    return [1000 * point["batch_size"] / median(ms) for ms in rounds_ms(point)]


def plot(path: Path, result: Mapping[str, Any]) -> None:
    """Draws windows per second against each of what grows."""
    measured = {what: result[what] for what in POINTS if what in result}
    if not measured:
        return
    figure = Figure(figsize=(3 * len(measured), 3), layout="constrained")
    every_axes = figure.subplots(1, len(measured), sharey=True, squeeze=False)[0]
    for axes, (what, points) in zip(every_axes, measured.items(), strict=True):
        rates = zip(*map(windows_per_s, points.values()), strict=True)
        for name, rate in zip((PLAIN, HERE), rates, strict=True):
            axes.plot([str(value) for value in points], rate, "o-", label=name)
        axes.set_xlabel(what)
    every_axes[0].set_ylim(bottom=0)
    every_axes[0].set_ylabel("windows per second")
    every_axes[0].legend()
    figure.savefig(path, dpi=150)
