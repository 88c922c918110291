"""Predicting a batch, or with `latency` one window, here and in plain PyTorch.

    python -m seen_jax.benchmarks forward [--workdir RUN] [--batch_size 32] [--json]
    python -m seen_jax.benchmarks latency [--workdir RUN] [--json]

From normalised images to probabilities.
"""

from __future__ import annotations

import argparse
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from seen_jax import images
from seen_jax.benchmarks import side_by_side, torch_seen
from seen_jax.benchmarks.here import Weights
from seen_jax.benchmarks.side_by_side import (
    DEVICES,
    HERE,
    PLAIN,
    Call,
    add_arguments,
    plot,
    to_text,
)
from seen_jax.data.batches import Batches
from seen_jax.export.convert import variables_from_torch
from seen_jax.models.fast.network import network

__all__ = ["add_arguments", "measure", "plot", "to_text"]


def make_calls(
    weights: Weights, batches: Batches, args: argparse.Namespace
) -> dict[str, Call]:
    """Returns a prediction in either program."""
    plain = torch_seen.restore(weights, DEVICES[args.device])
    batch, dtype = batches.batch(0), weights["fc1.weight"].dtype
    rgb = side_by_side.plain_inputs(plain, batch)
    event = images.normalise_events(batch["event_frames"], dtype)
    intensity = images.normalise_intensity(batch["intensity_frames"], dtype)
    inputs = jax.device_put({"event_frames": event, "intensity_frames": intensity})
    model, variables = network(args.precision), variables_from_torch(weights)
    variables = jax.device_put(variables)
    predict = jax.jit(lambda variables, x: nn.softmax(model.apply(variables, **x)))
    return {
        PLAIN: lambda: torch_seen.predict(plain, *rgb),
        HERE: lambda: np.asarray(predict(variables, inputs)),
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    return side_by_side.measure(args, make_calls)
