"""How long a call takes here and in plain PyTorch, measured in turn.

Both are given the same weights and the same batch of random images, in float32. What a
reader would get wrong: PyTorch is given images that are normalised and RGB already, so
the comparison leans towards it. The first call of each, which compiles, is not timed;
its result has to be the same in both.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np
import torch

from seen_jax import see
from seen_jax.benchmarks import arguments, timing, torch_seen
from seen_jax.data.windows import Setting
from seen_jax.models.precision import PRODUCTS

HERE, PLAIN = "JAX", "plain PyTorch"

DEVICES = {"cpu": "cpu", "gpu": "cuda"}  # as JAX and PyTorch call their platform

Call = Callable[[], np.ndarray]
Batch = Mapping[str, np.ndarray]
Weights = Mapping[str, np.ndarray]  # by published name
# From weights, a batch and the arguments to what is called, by way.
MakeCalls = Callable[[Weights, Batch, argparse.Namespace], dict[str, Call]]


def draw_weights() -> Weights:
    """Draws weights as PyTorch does by default."""
    torch.manual_seed(0)
    return {k: x.numpy().copy() for k, x in torch_seen.SEEN().state_dict().items()}


def draw_batch(num_event_frames: int, batch_size: int) -> Batch:
    """Draws images with the means and spreads of SEE, and labels."""
    rng = np.random.default_rng(0)
    size = see.INPUT_SIZE, see.INPUT_SIZE

    def images(count, mean, std):
        values = 255 * rng.normal(mean, std, (batch_size, count, *size))
        return values.clip(0, 255).astype(np.uint8)

    return {
        "event_frames": images(num_event_frames, see.EVENT_MEAN, see.EVENT_STD),
        "intensity_frames": images(2, see.INTENSITY_MEAN, see.INTENSITY_STD),
        "label": rng.integers(0, len(see.EMOTIONS), batch_size, np.int32),
        "mask": np.ones(batch_size, bool),
    }


def repeat(call: Call) -> Callable[[float], int]:
    """Returns a function that calls for some time and counts the calls."""

    def run(seconds: float) -> int:
        end, count = time.perf_counter() + seconds, 0
        while not count or time.perf_counter() < end:
            call()
            count += 1
        return count

    return run


def measure(
    calls: Mapping[str, Call], num_rounds: int, seconds: float
) -> dict[str, timing.Rate]:
    """Measures calls per second by way.

    Args:
      calls: the ways; a call waits for its result and returns it.
      num_rounds, seconds: as of `timing.alternate`.

    Raises:
      ValueError: the ways' first results differ.
    """
    first = {name: np.asarray(call()) for name, call in calls.items()}
    ways = {name: repeat(call) for name, call in calls.items()}
    rates = timing.alternate(ways, num_rounds, seconds)
    if not np.allclose(first[HERE], first[PLAIN], rtol=1e-3, atol=1e-3):
        raise ValueError(f"{HERE}: expected {first[PLAIN]}, got {first[HERE]}")
    return rates


def times_ms(rates: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(1000 / rate for rate in rates)


def ratio(rates: Mapping[str, timing.Rate]) -> float:
    """Returns how many times faster than plain PyTorch, by the medians."""
    medians = {name: statistics.median(rate.per_s) for name, rate in rates.items()}
    return medians[HERE] / medians[PLAIN]


def table(rates: Mapping[str, timing.Rate]) -> str:
    """Formats medians and spreads of the time of a call, and the ratio."""
    lines = [f"{'':16}{'ms':>18}{'ms of all cores':>22}"]
    for name, rate in rates.items():
        line = f"{name:16}"
        for rounds, width in ((rate.per_s, 18), (rate.per_core_s, 22)):
            ms = times_ms(rounds)
            value = f"{statistics.median(ms):.1f} +- {timing.spread(ms):.1f}"
            line += f"{value:>{width}}"
        lines.append(line)
    lines.append(f"{HERE} is {ratio(rates):.2f} times faster than {PLAIN}")
    return "\n".join(lines)


def parser(command: str, batch_size: int) -> argparse.ArgumentParser:
    """Returns the arguments that these commands share.

    Args:
      command: its name.
      batch_size: where the arguments name none.
    """
    parser = argparse.ArgumentParser(prog=f"python -m seen_jax.benchmarks {command}")
    parser.add_argument(
        "--device", choices=DEVICES, default="cpu", help="default: %(default)s"
    )
    parser.add_argument(
        "--precision", choices=PRODUCTS, default="float32", help="here; plain: float32"
    )
    parser.add_argument("--setting", type=Setting.parse, default=Setting(4, 3))
    parser.add_argument(
        "--batch_size",
        type=arguments.at_least(1),
        default=batch_size,
        help="default: %(default)s",
    )
    parser.add_argument("--rounds", type=arguments.at_least(1), default=15)
    parser.add_argument(
        "--seconds", type=arguments.seconds, default=1.0, help="of a measurement"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    return parser


def choose_device(name: str) -> None:
    """Has JAX work on a device of `DEVICES`, and PyTorch in full float32, as JAX does.

    By default PyTorch's convolutions shorten float32 to TF32 on GPUs.

    Raises:
      ValueError: there is no such device.
    """
    jax.config.update("jax_platforms", DEVICES[name])
    # Of a GPU's memory; JAX alone would take three quarters at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.5")
    torch.backends.cudnn.allow_tf32 = False
    remedy = "choose cpu, or install PyTorch and JAX for this machine's GPU"
    if name == "gpu" and not torch.cuda.is_available():
        raise ValueError(
            f"device: expected a GPU that PyTorch sees, got none; {remedy}"
        )
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device: expected a {name} that JAX sees, got none ({error}); {remedy}"
        ) from error


def machine(device: str) -> str:
    """Names the machine, and its GPU if that is the device."""
    gpu = f"{jax.devices()[0].device_kind}, " if device == "gpu" else ""
    return gpu + timing.machine()


def run(args: argparse.Namespace, command: str, make_calls: MakeCalls) -> int:
    """Measures what the arguments ask for, and prints.

    Args:
      args: of `parser`.
      command: its name.
      make_calls: as of `MakeCalls`.
    """
    choose_device(args.device)
    batch = draw_batch(args.setting.num_event_frames, args.batch_size)
    calls = make_calls(draw_weights(), batch, args)
    rates = measure(calls, args.rounds, args.seconds)
    what = f"{command}, E{args.setting.num_event_frames}, batch {args.batch_size}"
    if args.plot is not None:
        rounds = {name: times_ms(rate.per_s) for name, rate in rates.items()}
        timing.plot(args.plot, f"{what}: ratio {ratio(rates):.2f}", "ms", rounds)
    if args.json:
        result = {
            "machine": machine(args.device),
            "versions": {"jax": jax.__version__, "torch": torch.__version__},
            "what": what,
            "batch_size": args.batch_size,
            "calls": {name: dataclasses.asdict(r) for name, r in rates.items()},
            "ratio": ratio(rates),
        }
        print(json.dumps(result, indent=1))
    else:
        print(f"{what}, {machine(args.device)}")
        print(f"JAX {jax.__version__}, PyTorch {torch.__version__}")
        print(table(rates))
    return 0
