"""How long a call takes here and in plain PyTorch, measured in turn.

    python -m seen_jax.benchmarks step|forward|latency [--workdir RUN] [--json]

Both get the same weights and windows, in float32: drawn ones, or with `--workdir` those
of a run. On a CPU time follows the spikes here, so the latter is what training and
predicting take. PyTorch gets images that are normalised and RGB already, which favours
it. The first call of each, which compiles, is not timed.

Before that, both programs run once in float64, and must agree. Note: in float32 they
may differ: a membrane within rounding of the threshold fires in one and not the other.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch

from seen_jax.benchmarks import arguments, forward, step, timing, torch_seen
from seen_jax.benchmarks.arguments import DEVICES, HERE, PLAIN
from seen_jax.benchmarks.clips import NUM_FRAMES, draw_batches
from seen_jax.benchmarks.here import Weights
from seen_jax.data.batches import Batches
from seen_jax.errors import refuse
from seen_jax.export.convert import torch_from_variables
from seen_jax.models.fast.network import options_of
from seen_jax.models.seen import SEEN

MOST_CHECKED = 32  # windows in float64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    command = parser.get_default("command")
    arguments.add_device(parser)
    arguments.add_precision(parser)
    arguments.add_setting(parser)
    arguments.add_numbers(parser, batch_size=1 if command == "latency" else 32)
    text = "a run, whose weights and training clips are taken; default: drawn ones"
    parser.add_argument("--workdir", type=Path, metavar="RUN", help=text)
    arguments.add_rounds(parser, rounds=15, seconds=1.0)
    parser.set_defaults(devices=1, clips=0)
    if command == "step":
        text = "of the CPU, virtual; default: 1"
        arguments.add_numbers(parser, text=text, devices=1)
        text = "whose frames are in the device's memory; default: 0, the batch is sent"
        arguments.add_numbers(parser, least=0, text=text, clips=0)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measures what the arguments ask for; returns what --json prints.

    Raises:
      UserError: there is no such device, or PyTorch cannot train on such a batch.
      RuntimeError: the two programs do not compute the same function.
    """
    if args.command == "step":
        arguments.check_last_batch(args.batch_size, args.batch_size)
    if args.device == "cpu" and args.devices > 1:
        jax.config.update("jax_num_cpu_devices", args.devices)
    choose_device(args.device)
    make_calls = (step if args.command == "step" else forward).make_calls
    check_same(args, make_calls)
    calls = make_calls(*start(args), args)
    for call in calls.values():
        call()
    ways = {name: timing.repeat(call) for name, call in calls.items()}
    rates = timing.alternate(ways, args.rounds, args.seconds)
    return {
        "machine": machine(args.device),
        "versions": {"jax": jax.__version__, "torch": torch.__version__},
        "what": f"{args.command}, E{args.setting.num_event_frames}, "
        f"batch {args.batch_size}, {args.workdir or 'random images and weights'}",
        "batch_size": args.batch_size,
        "calls": rates,
        "ratio": timing.ratio(rates[HERE]["per_s"], rates[PLAIN]["per_s"]),
    }


def check_same(args: argparse.Namespace, make_calls: Any) -> None:
    """Raises a RuntimeError unless the first results agree in float64."""
    few = {"batch_size": min(args.batch_size, MOST_CHECKED), "precision": "float32"}
    args = argparse.Namespace(**vars(args) | few)
    weights, batches = start(args)
    in_full = {
        name: x.astype(np.float64) if x.dtype == np.float32 else x
        for name, x in weights.items()
    }
    with jax.enable_x64(True):
        calls = make_calls(in_full, batches, args)
        results = {name: np.asarray(call()) for name, call in calls.items()}
    if not np.allclose(results[HERE], results[PLAIN], rtol=1e-6, atol=1e-9):
        raise RuntimeError(
            f"{HERE} in float64 returned {results[HERE]}, {PLAIN} {results[PLAIN]}"
        )


def start(args: argparse.Namespace) -> tuple[Weights, Batches]:
    """Returns the weights and batches of the run, or drawn ones.

    Raises:
      UserError: a run of another network than the plain one, or with `--clips`.
    """
    if args.workdir is None:  # without --clips the frames of one batch are enough
        num_clips = max(args.batch_size, args.clips)
        num_frames = NUM_FRAMES if num_clips > args.batch_size else None
        drawn = draw_batches(num_clips, args.setting, args.batch_size, num_frames)
        return torch_seen.draw_weights(seed=0), drawn
    if args.clips:
        refuse("clips", "0 with a workdir, whose clips are taken", args.clips)
    from seen_jax.evaluation.restored import open_batches, restore  # grain, for data

    restored = restore(args.workdir)
    other = restored.config["network"]
    if other == "seen":
        given = options_of(restored.model) | {"axis_name": None}
        other = {k: v for k, v in given.items() if v != getattr(SEEN(), k)}
    if other:
        refuse("workdir", "a run of the published network", other, "give another one")
    config = {**restored.config, "images": "store"}
    of_run = open_batches(replace(restored, config=config), "train")
    shared = args.setting, args.batch_size, 0, "train"
    batches = Batches(of_run.images, of_run.clips, *shared)
    return torch_from_variables(restored.variables), batches


def to_text(result: Mapping[str, Any]) -> str:
    """Formats the time of a call of both programs, and the ratio."""
    versions, calls = result["versions"], result["calls"]
    ratio = timing.marked(result["ratio"], timing.noisy_ways(calls), HERE, PLAIN)
    columns = {"per_s": "ms", "per_core_s": "ms of all cores"}
    return "\n".join(
        [
            f"{result['what']}, {result['machine']}",
            f"JAX {versions['jax']}, PyTorch {versions['torch']}",
            *timing.table(calls, columns, PLAIN, "per_s", digits=1),
            f"{HERE} is {ratio} times faster than {PLAIN}",
        ]
    )


def choose_device(name: str) -> None:
    """Has JAX work on a device of `DEVICES`, and PyTorch in full float32, as JAX does.

    By default PyTorch's convolutions shorten float32 to TF32 on GPUs.

    Raises:
      UserError: there is no such device.
    """
    jax.config.update("jax_platforms", DEVICES[name])
    # Of a GPU's memory; JAX alone would take three quarters at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.5")
    torch.backends.cudnn.allow_tf32 = False
    remedy = "choose cpu, or install PyTorch and JAX for this machine's GPU"
    if name == "gpu" and not torch.cuda.is_available():
        refuse("device", "a GPU that PyTorch sees", "none", remedy)
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        refuse("device", f"a {name} that JAX sees", f"none ({error})", remedy)


def machine(device: str) -> str:
    """Names the machine, and its GPU if that is the device."""
    gpu = f"{jax.devices()[0].device_kind}, " if device == "gpu" else ""
    return gpu + timing.machine()
