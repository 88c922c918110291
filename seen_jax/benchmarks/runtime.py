"""A bundle's programs against the plain PyTorch network, one window at a time.

    python -m seen_jax.benchmarks runtime --bundle BUNDLE [--seconds_at_30 60]

All of it runs on one core, taken before libraries are loaded, since that is when they
count the cores.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seen_jax import see
from seen_jax.benchmarks import arguments, timing
from seen_jax.errors import UserError
from seen_jax.runtime import seen_runtime

PLAIN = "PyTorch, plain network"
NUM_AHEAD = 30  # different frames that a replay shows in turn


def make_ways(bundle: Path, backends: list[str]) -> dict[str, Callable[[float], int]]:
    """Returns every way to predict one window of noise, by name."""
    import torch  # after the core is taken

    from seen_jax.benchmarks import torch_seen

    manifest = seen_runtime.read_manifest(str(bundle))
    rng = np.random.default_rng(0)
    counts = manifest["num_event_frames"], len(manifest["intensity_places"])
    size = see.INPUT_SIZE
    inputs = [rng.normal(size=(1, n, size, size)).astype(np.float32) for n in counts]
    checkpoint = torch.load(bundle / "seen.pt", weights_only=True)
    weights = {name: x.numpy() for name, x in checkpoint["state_dict"].items()}
    plain, rgb = torch_seen.restore(weights), [torch_seen.rgb(x) for x in inputs]
    calls = {PLAIN: lambda: torch_seen.predict(plain, *rgb)}
    for backend in backends:
        runtime = seen_runtime.load(str(bundle), backend)
        calls[backend] = lambda runtime=runtime: runtime.logits(*inputs)
    return {name: timing.repeat(call) for name, call in calls.items()}


def replay(bundle: Path, backend: str, seconds: float) -> dict[str, Any]:
    """Plays noise at 30 frames per second; returns what the runtime's replay does."""
    runtime = seen_runtime.load(str(bundle), backend)
    rng = np.random.default_rng(0)
    shape = NUM_AHEAD, see.IMAGE_SIZE, see.IMAGE_SIZE
    frames = rng.integers(0, 256, shape, np.uint8)
    numbered = {i: frames[i % NUM_AHEAD] for i in range(round(30 * seconds))}
    return seen_runtime.replay(runtime, numbered, numbered, rate=30.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument(
        "--backends",
        nargs="+",
        default=["native", "onnxruntime", "torch", "torchscript"],
    )
    arguments.add_rounds(parser, rounds=15, seconds=0.5)
    text, kind = "of a replay at 30 frames/s", arguments.duration
    parser.add_argument("--seconds_at_30", type=kind, default=60.0, help=text)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    try:
        ways = make_ways(args.bundle, args.backends)
        rates = timing.alternate(ways, args.rounds, args.seconds)
        held = {x: replay(args.bundle, x, args.seconds_at_30) for x in args.backends}
    except (seen_runtime.BundleError, seen_runtime.BackendError) as error:
        raise UserError(error) from None
    return {
        "machine": timing.machine(),
        "windows": rates,
        "seconds_at_30": args.seconds_at_30,
        "held": held,
    }


def to_text(result: Mapping[str, Any]) -> str:
    """Formats the core's time per window with its ratio, and the replays' latency."""
    rates = result["windows"]
    lines = [f"one window at a time on one core; {result['machine']}"]
    lines.append(f"{'window':24}{'ms of the core':>20}{'ratio':>8}")
    for name, rate in rates.items():
        ms = timing.to_text(timing.times_ms(rate["per_core_s"]), 2)
        ratio = timing.ratio(rates, name, PLAIN, "per_core_s")
        lines.append(f"{name:24}{ms:>20}{ratio:8.2f}")
    lines.append(f"\n30 frames per second for {result['seconds_at_30']:g} s")
    for name, x in result["held"].items():
        ms = x["latency_ms"]
        lines.append(
            f"{name:24} p50 {ms['p50']:.1f} ms, p95 {ms['p95']:.1f} ms, p99 "
            f"{ms['p99']:.1f} ms; {x['predicted']} predicted, {x['missed']} missed"
        )
    return "\n".join(lines)
