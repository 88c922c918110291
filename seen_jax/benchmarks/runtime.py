"""A bundle's programs against the plain PyTorch network, one window at a time.

    python -m seen_jax.benchmarks runtime --bundle BUNDLE [--seconds_at_30 60]

What a reader would get wrong: all of it runs on one core. Libraries count the cores
that there are when they are loaded, so it is taken before.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from seen_jax import see
from seen_jax.benchmarks import arguments, timing
from seen_jax.runtime import seen_runtime

PLAIN = "PyTorch, plain network"
NUM_AHEAD = 30  # different frames that a replay shows in turn


def windows(predict: Callable[[], object]) -> Iterator[int]:
    """Predicts window after window; yields 1 for each."""
    while True:
        predict()
        yield 1


def ways(bundle: Path, backends: list[str]) -> dict[str, Callable[[float], int]]:
    """Returns every way to predict one window of noise, by name."""
    import torch

    from seen_jax.benchmarks import torch_seen

    manifest = seen_runtime.read_manifest(str(bundle))
    rng = np.random.default_rng(0)
    counts = manifest["num_event_frames"], len(manifest["intensity_places"])
    size = see.INPUT_SIZE
    inputs = [rng.normal(size=(1, n, size, size)).astype(np.float32) for n in counts]
    state_dict = torch.load(bundle / "seen.pt", weights_only=True)["state_dict"]
    plain = torch_seen.SEEN()
    plain.load_state_dict(state_dict)
    rgb = [torch_seen.rgb(x) for x in inputs]
    found = {PLAIN: lambda: torch_seen.predict(plain, *rgb)}
    for backend in backends:
        runtime = seen_runtime.load(str(bundle), backend)
        found[backend] = lambda runtime=runtime: runtime.logits(*inputs)
    return {name: timing.for_seconds(windows(x)) for name, x in found.items()}


def hold(bundle: Path, backend: str, seconds: float) -> dict:
    """Plays noise at 30 frames per second; returns what `replay` does."""
    runtime = seen_runtime.load(str(bundle), backend)
    rng = np.random.default_rng(0)
    shape = NUM_AHEAD, see.IMAGE_SIZE, see.IMAGE_SIZE
    frames = rng.integers(0, 256, shape, np.uint8)
    numbered = {i: frames[i % NUM_AHEAD] for i in range(round(30 * seconds))}
    return seen_runtime.replay(runtime, numbered, numbered, rate=30.0)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m seen_jax.benchmarks runtime")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument(
        "--backends", nargs="+", default=["onnxruntime", "torch", "torchscript"]
    )
    parser.add_argument("--rounds", type=arguments.at_least(1), default=15)
    parser.add_argument(
        "--seconds", type=arguments.seconds, default=0.5, help="of a measurement"
    )
    parser.add_argument(
        "--seconds_at_30", type=float, default=60, help="of a replay at 30 frames/s"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    rates = timing.alternate(
        ways(args.bundle, args.backends), args.rounds, args.seconds
    )
    held = {x: hold(args.bundle, x, args.seconds_at_30) for x in args.backends}
    if args.json:
        result = {
            "machine": timing.machine(),
            "windows": {name: dataclasses.asdict(r) for name, r in rates.items()},
            "held": held,
        }
        print(json.dumps(result, indent=1))
    else:
        print(f"one window at a time on one core; {timing.machine()}")
        print(table(rates))
        print(f"\n30 frames per second for {args.seconds_at_30:g} s")
        for name, x in held.items():
            ms = x["latency_ms"]
            print(
                f"{name:24} p50 {ms['p50']:.1f} ms, p95 {ms['p95']:.1f} ms, p99 "
                f"{ms['p99']:.1f} ms; {x['predicted']} predicted, {x['missed']} missed"
            )
    return 0


def table(rates: dict[str, timing.Rate]) -> str:
    """Formats the time of a window on the core, its spread and the ratio of rates."""
    plain = statistics.median(rates[PLAIN].per_core_s)
    lines = [f"{'window':24}{'ms of the core':>20}{'ratio':>8}"]
    for name, rate in rates.items():
        ms = tuple(1000 / x for x in rate.per_core_s)
        value = f"{statistics.median(ms):.2f} +- {timing.spread(ms):.2f}"
        ratio = statistics.median(rate.per_core_s) / plain
        lines.append(f"{name:24}{value:>20}{ratio:8.2f}")
    return "\n".join(lines)
