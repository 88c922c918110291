"""A step of training, here and in plain PyTorch.

    python -m seen_jax.benchmarks step [--batch_size 32] [--json] [--plot FILE.png]

Each step includes the loss, the gradient and the update of the published recipe, here
also copying the batch, or with `--clips` gathering it from the device's memory, and
normalising its images. The result of a step is its loss.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seen_jax.benchmarks import arguments, here, side_by_side, torch_seen
from seen_jax.benchmarks.here import Weights
from seen_jax.benchmarks.side_by_side import DEVICES, HERE, PLAIN, Call, plot, to_text
from seen_jax.data.batches import Batches
from seen_jax.training import step
from seen_jax.training.feed import Frames, make_train_steps, place

__all__ = ["add_arguments", "measure", "plot", "to_text"]


def make_calls(
    weights: Weights, batches: Batches, args: argparse.Namespace
) -> dict[str, Call]:
    """Returns a step in either program."""
    plain = torch_seen.restore(weights, DEVICES[args.device])
    optimizer, _ = torch_seen.recipe(plain)
    inputs = torch_seen.inputs(batches.batch(0), plain)

    def call():
        return torch_seen.train_step(plain, optimizer, *inputs).cpu().numpy()

    return {PLAIN: call, HERE: call_here(weights, batches, args)}


def call_here(weights: Weights, batches: Batches, args: argparse.Namespace) -> Call:
    devices = jax.local_devices()[: args.devices]
    model, optimizer = here.make_model(args.precision), here.make_optimizer(1)
    state = step.replicate(here.initial_state(weights, optimizer), devices)
    if args.clips:
        frames, rows = place_copies(batches, args.clips, devices)
        take_steps = make_train_steps(model, optimizer, 1, devices)

        def take(state):
            return take_steps(state, frames, rows)

    else:
        batch = batches.batch(0)
        take_step = step.make_train_step(model, optimizer, devices)

        def take(state):
            return take_step(state, batch)

    def call():
        nonlocal state
        state, sums = take(state)
        sums = step.first(jax.block_until_ready((state, sums))[1])
        return np.squeeze(sums["loss"] / sums["count"])

    return call


def place_copies(
    batches: Batches, num_clips: int, devices: Sequence[jax.Device]
) -> tuple[Frames, dict[str, np.ndarray]]:
    """Fills the devices' memory with copies of the store, and scatters a batch there.

    The copies are made on the devices, so the host holds a few clips only.

    Args:
      batches: of the store.
      num_clips: in the devices' memory, at least.
      devices: to fill.

    Returns:
      Frames as of `feed.place`, and the rows of batch 0, each window in a copy of its
      own choice.
    """
    store = batches.images
    times = -(-num_clips // len(store.clips))

    def tile(frames):
        return {name: jnp.tile(x, (times, 1, 1)) for name, x in frames.items()}

    frames, rows = place(store, devices), batches.rows(0, 1)
    copy = np.random.default_rng(0).integers(0, times, (1, batches.batch_size, 1))
    offset = (copy * len(store.event_frames)).astype(np.int32)
    moved = {name: rows[name] + offset for name in ("event_rows", "intensity_rows")}
    return step.parallel(tile, devices)(frames), rows | moved


def add_arguments(parser: argparse.ArgumentParser) -> None:
    side_by_side.add_arguments(parser)
    parser.add_argument(
        "--devices",
        type=arguments.at_least(1),
        default=1,
        help="virtual devices of the CPU; default: 1",
    )
    parser.add_argument(
        "--clips",
        type=arguments.at_least(0),
        default=0,
        help="whose frames are in the device's memory; default: 0, the batch is sent",
    )


def measure(args: argparse.Namespace) -> dict[str, Any]:
    arguments.check_last_batch(args.batch_size, args.batch_size)
    if args.device == "cpu" and args.devices > 1:
        jax.config.update("jax_num_cpu_devices", args.devices)
    return side_by_side.measure(args, make_calls)
