"""Predicting a batch, here and in plain PyTorch: normalised images to probabilities."""

from __future__ import annotations

from argparse import Namespace

import jax
import numpy as np
from flax import linen as nn

from seen_jax import images
from seen_jax.benchmarks import torch_seen
from seen_jax.benchmarks.arguments import DEVICES, HERE, PLAIN
from seen_jax.benchmarks.here import Call, Weights
from seen_jax.data.batches import Batches
from seen_jax.export.convert import variables_from_torch
from seen_jax.models.fast.network import network


def make_calls(weights: Weights, batches: Batches, args: Namespace) -> dict[str, Call]:
    """Returns a prediction in plain PyTorch and here."""
    plain = torch_seen.restore(weights, DEVICES[args.device])
    batch, dtype = batches.batch(0), weights["fc1.weight"].dtype
    rgb = torch_seen.batch_inputs(plain, batch)
    event = images.normalise_events(batch["event_frames"], dtype)
    intensity = images.normalise_intensity(batch["intensity_frames"], dtype)
    inputs = jax.device_put({"event_frames": event, "intensity_frames": intensity})
    variables = jax.device_put(variables_from_torch(weights))
    model = network(args.precision)
    predict = jax.jit(lambda variables, x: nn.softmax(model.apply(variables, **x)))
    return {
        PLAIN: lambda: torch_seen.predict(plain, *rgb),
        HERE: lambda: np.asarray(predict(variables, inputs)),
    }
