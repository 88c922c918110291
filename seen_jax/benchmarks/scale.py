"""How the cost of a training step, and of a prediction, grows; here and in PyTorch.

    python -m seen_jax.benchmarks scale [--only frames batch] [--json]

By event frames in a window, windows in a batch (trained on, and predicted), clips whose
frames are in the device's memory, and virtual devices of the CPU that share a batch:
they share the cores, too, and show what dividing it costs. Each point is a run of
`step` or `forward` in a process of its own; if one fails, the others still run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping
from statistics import median
from typing import Any

from seen_jax import see
from seen_jax.benchmarks import timing
from seen_jax.benchmarks.programs import HERE, PLAIN

# What grows: the command for each of its values. A step takes two windows or more,
# since PyTorch's BatchNorm refuses one.
POINTS: dict[str, dict[int, str]] = {
    "frames": {n: f"step --setting=E{n}_S{s}" for n, s in ((4, 3), (7, 1), (13, 0))},
    "batch": {n: f"step --batch_size={n}" for n in (2, 8, 32, 128, 512)},
    "predicted": {n: f"forward --batch_size={n}" for n in (1, 8, 32, 128, 512)},
    "clips": {n: f"step --clips={n}" for n in (see.NUM_CLIPS, 4 * see.NUM_CLIPS)},
    "devices": {n: f"step --devices={n}" for n in (1, 2, 4)},
}


def measure(args: Namespace) -> dict[str, dict[Any, Any]]:
    """Returns what grows -> its value -> what was printed, or "failed" and why."""
    start = [sys.executable, "-m", "seen_jax.benchmarks"]
    shared = [f"--{x}={getattr(args, x)}" for x in ("device", "rounds", "seconds")]
    result: dict[str, dict[Any, Any]] = {}
    for what in args.only:
        if what == "devices" and args.device != "cpu":
            continue  # virtual ones are the CPU's
        for value, command in POINTS[what].items():
            words = [*start, *command.split(), *shared, "--json"]
            done = subprocess.run(words, capture_output=True, text=True)
            if done.returncode:
                (error,) = done.stderr.strip().splitlines()[-1:] or [""]
                result.setdefault("failed", {})[command] = error
                print(f"{command}: {error}", file=sys.stderr)
            else:
                point = result.setdefault(what, {})[value] = json.loads(done.stdout)
                print(f"{what} {value}: {point['ratio']:.2f}", file=sys.stderr)
    return result


def to_text(result: Mapping[str, Any]) -> str:
    """Formats the time of a step, windows per second, and the ratio."""
    lines = [
        f"{'':20}{'ms':>60}{'windows per s':>24}{'ratio':>8}",
        f"{'':20}" + f"{'plain':>30}{'JAX':>30}" + f"{'plain':>12}{'JAX':>12}",
    ]
    noisy, machine = {}, None
    for what in POINTS:
        for value, point in result.get(what, {}).items():
            machine, calls = machine or point["machine"], point["calls"]
            ms = [timing.times_ms(calls[name]["per_s"]) for name in (PLAIN, HERE)]
            cells = "".join(f"{timing.to_text(x, 1):>30}" for x in ms)
            rates = (1000 * point["batch_size"] / median(x) for x in ms)
            cells += "".join(f"{x:12.1f}" for x in rates)
            busy = timing.noisy_ways(calls)
            ratio = timing.marked(point["ratio"], busy, *busy)
            lines.append(f"{what:12}{value:>8}{cells}{ratio:>8}")
            noisy |= {f"{what} {value}, {name}": why for name, why in busy.items()}
    if machine is None:
        return "no point could be measured"
    what = f"E4, batch 32 unless a row says otherwise; {machine}"
    return "\n".join([what, *lines, *timing.warnings(noisy)])
