"""A step of training, here and in plain PyTorch.

    python -m seen_jax.benchmarks step [--batch_size 32] [--json] [--plot FILE.png]

Each step includes the loss, the gradient and the update of the published recipe, here
also copying the batch and normalising its images. The result of a step is its loss.
"""

from __future__ import annotations

import jax
import numpy as np

from seen_jax.benchmarks import side_by_side, torch_seen
from seen_jax.benchmarks.side_by_side import HERE, PLAIN, Batch, Call, Weights
from seen_jax.export.convert import variables_from_torch
from seen_jax.models.folded import network
from seen_jax.training import step
from seen_jax.training.optimizer import sgd
from seen_jax.training.state import TrainState


def make_calls(weights: Weights, batch: Batch) -> dict[str, Call]:
    """Returns a step in either program."""
    return {PLAIN: plain_call(weights, batch), HERE: call_here(weights, batch)}


def plain_call(weights: Weights, batch: Batch) -> Call:
    plain = torch_seen.load(torch_seen.SEEN(), weights)
    optimizer, _ = torch_seen.recipe(plain)
    given = torch_seen.inputs(batch)
    return lambda: torch_seen.train_step(plain, optimizer, *given).numpy()


def call_here(weights: Weights, batch: Batch) -> Call:
    devices = jax.local_devices()[:1]
    optimizer = sgd(
        torch_seen.LEARNING_RATE,
        momentum=torch_seen.MOMENTUM,
        weight_decay=torch_seen.WEIGHT_DECAY,
    )
    train_step = step.make_train_step(network(axis_name=step.AXIS), optimizer, devices)
    variables, number = variables_from_torch(weights), np.zeros((), np.int32)
    opt_state = optimizer.init(variables["params"])
    state = step.replicate(
        TrainState(number, **variables, opt_state=opt_state), devices
    )

    def call():
        nonlocal state
        state, sums = train_step(state, batch)
        sums = step.first(jax.block_until_ready((state, sums))[1])
        return sums["loss"] / sums["count"]

    return call


def main(argv: list[str]) -> int:
    return side_by_side.main(argv, "step", make_calls, batch_size=32)
