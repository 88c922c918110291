"""A step of training, here and in plain PyTorch.

    python -m seen_jax.benchmarks step [--workdir RUN] [--batch_size 32] [--json]

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
import torch

from seen_jax.benchmarks import arguments, here, side_by_side, torch_seen
from seen_jax.benchmarks.here import Weights
from seen_jax.benchmarks.side_by_side import DEVICES, HERE, PLAIN, Call, plot, to_text
from seen_jax.data.batches import Batches
from seen_jax.data.store import Store
from seen_jax.training import step
from seen_jax.training.feed import Frames, place

__all__ = ["add_arguments", "measure", "plot", "to_text"]


def make_calls(
    weights: Weights, batches: Batches, args: argparse.Namespace
) -> dict[str, Call]:
    """Returns a step in either program; the first one is on the first batch."""
    plain = torch_seen.restore(weights, DEVICES[args.device])
    optimizer, _ = torch_seen.recipe(plain)
    batch = side_by_side.first_batch(batches)
    inputs = side_by_side.plain_inputs(plain, batch)
    labels = torch.from_numpy(batch["label"]).to(inputs[0].device)
    devices = jax.local_devices()[: args.devices]
    frames = place_tiled(batches.images, devices) if args.clips else None
    training = here.Training(weights, batches, args.precision, frames, devices)
    take_step = step.make_train_step(training.model, training.optimizer, devices)

    def from_the_host():
        training.state, sums = take_step(training.state, batch)
        return here.mean_loss([sums])

    def from_the_devices():
        return here.mean_loss(training.start(1))

    return {
        PLAIN: lambda: torch_seen.train_step(plain, optimizer, *inputs, labels).cpu(),
        HERE: from_the_devices if args.clips else from_the_host,
    }


def place_tiled(store: Store, devices: Sequence[jax.Device]) -> Frames:
    """Repeats a store's few frames on the devices until they are those of its clips."""
    times = -(-int(store.clips.num_frames.sum()) // len(store.event_frames))

    def tile(frames):
        return {name: jnp.tile(x, (times, 1, 1)) for name, x in frames.items()}

    return step.parallel(tile, devices)(place(store, devices))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    side_by_side.add_arguments(parser)
    arguments.add_numbers(parser, text="of the CPU, virtual; default: 1", devices=1)
    text = "whose frames are in the device's memory; default: 0, the batch is sent"
    arguments.add_numbers(parser, least=0, text=text, clips=0)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    arguments.check_last_batch(args.batch_size, args.batch_size)
    if args.device == "cpu" and args.devices > 1:
        jax.config.update("jax_num_cpu_devices", args.devices)
    return side_by_side.measure(args, make_calls)
