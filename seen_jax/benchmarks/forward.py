"""Predicting a batch, here and in plain PyTorch.

    python -m seen_jax.benchmarks forward [--batch_size 32] [--json] [--plot FILE.png]

From normalised images to probabilities, which are the result that is compared.
"""

from __future__ import annotations

import argparse

import jax
import numpy as np
from flax import linen as nn

from seen_jax import images
from seen_jax.benchmarks import side_by_side, torch_seen
from seen_jax.benchmarks.side_by_side import DEVICES, HERE, PLAIN, Batch, Call, Weights
from seen_jax.export.convert import variables_from_torch
from seen_jax.models.fast.network import network


def make_calls(
    weights: Weights, batch: Batch, args: argparse.Namespace
) -> dict[str, Call]:
    """Returns a prediction in either program."""
    plain = plain_call(weights, batch, DEVICES[args.device])
    return {PLAIN: plain, HERE: call_here(weights, batch, args.precision)}


def plain_call(weights: Weights, batch: Batch, device: str) -> Call:
    plain = torch_seen.load(torch_seen.SEEN().to(device), weights)
    event, intensity, _ = torch_seen.inputs(batch, device=device)
    return lambda: torch_seen.predict(plain, event, intensity)


def call_here(weights: Weights, batch: Batch, precision: str) -> Call:
    model = network(precision)
    variables = jax.device_put(variables_from_torch(weights))
    event = images.normalise_events(batch["event_frames"], np.float32)
    intensity = images.normalise_intensity(batch["intensity_frames"], np.float32)
    inputs = jax.device_put({"event_frames": event, "intensity_frames": intensity})
    predict = jax.jit(lambda variables, x: nn.softmax(model.apply(variables, **x)))
    return lambda: np.asarray(predict(variables, inputs))


def main(argv: list[str]) -> int:
    args = side_by_side.parser("forward", batch_size=32).parse_args(argv)
    return side_by_side.run(args, "forward", make_calls)
