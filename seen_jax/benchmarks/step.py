"""A step of training, here and in plain PyTorch.

Each step includes the loss, the gradient and the update of the published recipe, here
also copying the batch, or with `--clips` gathering it from the device's memory, and
normalising its images. The result of a step is its loss.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import torch

from seen_jax.benchmarks import here, torch_seen
from seen_jax.benchmarks.arguments import DEVICES, HERE, PLAIN
from seen_jax.benchmarks.here import Call, Weights
from seen_jax.data.batches import Batches
from seen_jax.data.store import Store
from seen_jax.training import step
from seen_jax.training.feed import Frames, place


def make_calls(weights: Weights, batches: Batches, args: Namespace) -> dict[str, Call]:
    """Returns a step in plain PyTorch and here; the first is on the first batch."""
    plain = torch_seen.restore(weights, DEVICES[args.device])
    optimizer, _ = torch_seen.recipe(plain)
    batch = first_batch(batches)
    inputs = torch_seen.batch_inputs(plain, batch)
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


def first_batch(batches: Batches) -> Mapping[str, np.ndarray]:
    """Returns batch 0 of drawn clips, whose few frames may stand for many."""
    store, rows = batches.images, batches.rows(0, 1)
    batch = {name: rows[name][0] for name in ("label", "mask", "clip")}
    for name in ("event", "intensity"):
        frames = getattr(store, f"{name}_frames")
        batch[f"{name}_frames"] = frames[rows[f"{name}_rows"][0] % len(frames)]
    return batch


def place_tiled(store: Store, devices: Sequence[jax.Device]) -> Frames:
    """Repeats a store's few frames on the devices until they are those of its clips."""
    times = -(-int(store.clips.num_frames.sum()) // len(store.event_frames))

    def tile(frames):
        return {name: jnp.tile(x, (times, 1, 1)) for name, x in frames.items()}

    return step.parallel(tile, devices)(place(store, devices))
