"""How long a call takes here and in plain PyTorch, measured in turn.

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
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch

from seen_jax.benchmarks import arguments, timing, torch_seen
from seen_jax.benchmarks.clips import NUM_FRAMES, draw_batches
from seen_jax.benchmarks.here import Weights
from seen_jax.data.batches import Batches
from seen_jax.errors import refuse
from seen_jax.export.convert import torch_from_variables
from seen_jax.models.fast.network import options_of
from seen_jax.models.precision import PRODUCTS
from seen_jax.models.seen import SEEN

HERE, PLAIN = "JAX", "plain PyTorch"
DEVICES = {"cpu": "cpu", "gpu": "cuda"}  # as JAX and PyTorch call their platform
MOST_CHECKED = 32  # windows in float64

Call = Callable[[], np.ndarray]  # waits for its result
# From weights, whose type is that of all numbers, and batches, to a call by way.
MakeCalls = Callable[[Weights, Batches, argparse.Namespace], Mapping[str, Call]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `step`, `forward` and `latency` share."""
    add_device(parser)
    arguments.add_setting(parser)
    arguments.add_numbers(parser, batch_size=32)
    text = "a run, whose weights and training clips are taken; default: drawn ones"
    parser.add_argument("--workdir", type=Path, metavar="RUN", help=text)
    arguments.add_rounds(parser, rounds=15, seconds=1.0)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds --device and --precision."""
    parser.add_argument(
        "--device", choices=DEVICES, default="cpu", help="default: %(default)s"
    )
    parser.add_argument(
        "--precision", choices=PRODUCTS, default="float32", help="here; plain: float32"
    )


def measure(args: argparse.Namespace, make_calls: MakeCalls) -> dict[str, Any]:
    """Measures what the arguments ask for; returns what --json prints.

    Raises:
      UserError: there is no such device.
      RuntimeError: the two programs do not compute the same function.
    """
    choose_device(args.device)
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


def check_same(args: argparse.Namespace, make_calls: MakeCalls) -> None:
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
    if args.workdir is None:
        return torch_seen.draw_weights(seed=0), draw(args)
    if getattr(args, "clips", 0):
        refuse("clips", "0 with a workdir, whose clips are taken", args.clips)
    from seen_jax.evaluation.restored import open_batches, restore  # grain, for data

    restored = restore(args.workdir)
    if (name := restored.config["network"]) != "seen":
        refuse("workdir", "a run of the published network", name, "give another one")
    options = options_of(restored.model)
    given = {k: v for k, v in options.items() if v != getattr(SEEN(), k)}
    if given.keys() - {"axis_name"}:
        refuse("workdir", "a run of the published network", given, "give another one")
    config = {**restored.config, "images": "store"}
    of_run = open_batches(replace(restored, config=config), "train")
    shared = args.setting, args.batch_size, 0, "train"
    batches = Batches(of_run.images, of_run.clips, *shared)
    return torch_from_variables(restored.variables), batches


def draw(args: argparse.Namespace) -> Batches:
    """Draws clips of random images: those of one batch, or with `--clips` as many."""
    num_clips = max(args.batch_size, getattr(args, "clips", 0))
    num_frames = NUM_FRAMES if num_clips > args.batch_size else None
    return draw_batches(num_clips, args.setting, args.batch_size, num_frames)


def first_batch(batches: Batches) -> dict[str, np.ndarray]:
    """Returns batch 0 of drawn clips, whose few frames may stand for many."""
    store, rows = batches.images, batches.rows(0, 1)
    batch = {name: rows[name][0] for name in ("label", "mask", "clip")}
    for kind, frames in (
        ("event", store.event_frames),
        ("intensity", store.intensity_frames),
    ):
        batch[f"{kind}_frames"] = frames[rows[f"{kind}_rows"][0] % len(frames)]
    return batch


def plain_inputs(
    network: torch_seen.SEEN, batch: Mapping[str, np.ndarray]
) -> list[torch.Tensor]:
    """Returns a batch's images as PyTorch gets them, normalised and RGB."""
    frames = (torch.from_numpy(batch[f"{x}_frames"]) for x in ("event", "intensity"))
    return [x.contiguous() for x in torch_seen.inputs(network, *frames)]


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


def plot(path: Path, result: Mapping[str, Any]) -> None:
    rounds = {name: timing.times_ms(x["per_s"]) for name, x in result["calls"].items()}
    title = f"{result['what']}: ratio {result['ratio']:.2f}"
    timing.plot(path, title, "ms", rounds)


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
