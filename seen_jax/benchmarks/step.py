"""A step of training, here and in plain PyTorch.

    python -m seen_jax.benchmarks step [--batch_size 32] [--json] [--plot FILE.png]

Each step includes the loss, the gradient and the update of the published recipe, here
also copying the batch, or with `--clips` gathering it from the device's memory, and
normalising its images. The result of a step is its loss.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import jax
import numpy as np

from seen_jax.benchmarks import arguments, side_by_side, torch_seen
from seen_jax.benchmarks.frames import repeated_frames
from seen_jax.benchmarks.side_by_side import DEVICES, HERE, PLAIN, Batch, Call, Weights
from seen_jax.export.convert import variables_from_torch
from seen_jax.models.fast.network import network
from seen_jax.training import resident, step
from seen_jax.training.optimizer import sgd
from seen_jax.training.state import TrainState

OPTIMIZER = sgd(
    torch_seen.LEARNING_RATE,
    momentum=torch_seen.MOMENTUM,
    weight_decay=torch_seen.WEIGHT_DECAY,
)


def make_calls(
    weights: Weights, batch: Batch, args: argparse.Namespace
) -> dict[str, Call]:
    """Returns a step in either program."""
    devices = jax.local_devices()[: args.devices]
    return {
        PLAIN: plain_call(weights, batch, DEVICES[args.device]),
        HERE: call_here(weights, batch, devices, args.precision, args.clips),
    }


def plain_call(weights: Weights, batch: Batch, device: str = "cpu") -> Call:
    plain = torch_seen.load(torch_seen.SEEN().to(device), weights)
    optimizer, _ = torch_seen.recipe(plain)
    given = torch_seen.inputs(batch, device=device)
    return lambda: torch_seen.train_step(plain, optimizer, *given).cpu().numpy()


def call_here(
    weights: Weights,
    batch: Batch,
    devices: Sequence[jax.Device],
    precision: str = "float32",
    num_clips: int = 0,
) -> Call:
    """Returns a step here.

    Args:
      weights, batch: what is trained and on what.
      devices: that share the batch.
      precision: as of `network`.
      num_clips: whose frames the batch is gathered from, on the device; 0 has it come
        from the host.
    """
    model = network(precision, axis_name=step.AXIS)
    take = (_resident if num_clips else _streamed)(model, batch, devices, num_clips)
    state = step.replicate(initial_state(weights), devices)

    def call():
        nonlocal state
        state, sums = take(state)
        sums = step.first(jax.block_until_ready((state, sums))[1])
        return np.squeeze(sums["loss"] / sums["count"])

    return call


def initial_state(weights: Weights) -> TrainState:
    """Returns the state before the first step of the published recipe."""
    variables, number = variables_from_torch(weights), np.zeros((), np.int32)
    opt_state = OPTIMIZER.init(variables["params"])
    return TrainState(number, **variables, opt_state=opt_state)


def _streamed(model, batch, devices, _) -> Callable:
    train_step = step.make_train_step(model, OPTIMIZER, devices)
    return lambda state: train_step(state, batch)


def _resident(model, batch, devices, num_clips) -> Callable:
    frames, rows = repeated_frames(batch, num_clips, devices)
    train_steps = resident.make_train_steps(model, OPTIMIZER, 1, devices)
    return lambda state: train_steps(state, frames, rows)


def main(argv: list[str]) -> int:
    parser = side_by_side.parser("step", batch_size=32)
    parser.add_argument(
        "--devices",
        type=arguments.at_least(1),
        default=1,
        help="virtual ones of the CPU; default: 1",
    )
    parser.add_argument(
        "--clips",
        type=arguments.at_least(0),
        default=0,
        help="whose frames lie in the device's memory",
    )
    args = parser.parse_args(argv)
    arguments.check_last_batch(args.batch_size, args.batch_size)
    if args.device == "cpu" and args.devices > 1:
        jax.config.update("jax_num_cpu_devices", args.devices)
    return side_by_side.run(args, "step", make_calls)
