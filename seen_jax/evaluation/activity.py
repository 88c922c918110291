"""What the network does on the way to its answers, clip by clip: spikes and attention.

    batch -> SEEN with its capture -> sums per clip on a device -> (N, ...) on the host

What a reader would get wrong: a synaptic operation is counted where a spike arrives,
not where it leaves. A spike at the border of an image, or one that a stride skips,
reaches fewer kernel positions than the kernel has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seen_jax import images
from seen_jax.models.layers import convolve
from seen_jax.models.seen import SEEN, STAGES

NEURONS = ("J_s", "LIF1", "LIF2", "LIF3", "LIF4", "LIF5")  # J_s has one time step
SYNAPSES = {  # layer that spikes arrive at: where they come from
    "conv2_f2": "LIF1",
    "conv3_f2": "LIF2",
    "fc1": "LIF3 + J_s",
    "fc2": "LIF4",
}


@dataclass(frozen=True)
class Activity:
    """One window of each clip; N clips, T time steps.

    Attributes:
      attention: (N, 3), weights of the three scales in S.
      spatial_rate: (N,) share of J_s that fires.
      rates: (N, T, 5), share of LIF1 to LIF5 that fires.
      operations: (N, T, 4), accumulates that spikes cause in the layers of `SYNAPSES`.
      num_neurons: (5,), of LIF1 to LIF5.
    """

    attention: np.ndarray
    spatial_rate: np.ndarray
    rates: np.ndarray
    operations: np.ndarray
    num_neurons: np.ndarray


def observe(model: SEEN, variables: Any, event_frames, intensity_frames) -> Activity:
    """Runs the network and sums up what it did; may be compiled.

    Args:
      model, variables: the network.
      event_frames, intensity_frames: normalised, as `SEEN.__call__` has them.

    Returns:
      An `Activity` of JAX arrays; N is the batch.
    """
    _, seen = model.apply(
        variables,
        event_frames=event_frames,
        intensity_frames=intensity_frames,
        capture=True,
    )
    spikes = [state.spike for state in seen.temporal]
    fused = spikes[2] + seen.spatial.spike  # 0, 1 or 2; a 2 is two spikes
    operations = [
        _arrivals(spikes[0], *STAGES["conv2_f2"]),
        _arrivals(spikes[1], *STAGES["conv3_f2"]),
        _sum(fused) * spikes[3].shape[-1],
        _sum(spikes[3]) * spikes[4].shape[-1],
    ]
    return Activity(
        attention=seen.attention,
        spatial_rate=_mean(seen.spatial.spike)[:, 0],
        rates=jnp.stack([_mean(x) for x in spikes], axis=-1),
        operations=jnp.stack(operations, axis=-1),
        num_neurons=jnp.array([x[0, 0].size for x in spikes]),
    )


def _arrivals(spikes: jax.Array, features: int, size: int, stride: int) -> jax.Array:
    """Counts what spikes (B, T, H, W, C) cause in a convolution: (B, T)."""
    spikes_at = spikes.sum(axis=-1, keepdims=True)
    ones = jnp.ones((size, size, 1, 1), spikes.dtype)
    return _sum(convolve(spikes_at, ones, stride)) * features


def _sum(x: jax.Array) -> jax.Array:
    return x.sum(axis=tuple(range(2, x.ndim)))


def _mean(x: jax.Array) -> jax.Array:
    return x.mean(axis=tuple(range(2, x.ndim)))


def make_observe(
    model: SEEN, variables: Any
) -> Callable[[Mapping[str, np.ndarray]], Activity]:
    """Returns batch -> `Activity` of the rows that its mask has, NumPy arrays.

    On one device: a pass over a split takes seconds, and is done once.
    """

    @jax.jit
    def run(variables, event_frames, intensity_frames):
        found = observe(
            model,
            variables,
            images.normalise_events(event_frames),
            images.normalise_intensity(intensity_frames),
        )
        return found.__dict__

    def observe_batch(batch):
        found = run(variables, batch["event_frames"], batch["intensity_frames"])
        sizes = np.asarray(found.pop("num_neurons"))
        rows = {k: np.asarray(x)[batch["mask"]] for k, x in found.items()}
        return Activity(**rows, num_neurons=sizes)

    return observe_batch


def join(parts: list[Activity]) -> Activity:
    """Puts the clips of several batches after each other."""
    fields = ("attention", "spatial_rate", "rates", "operations")
    whole = {f: np.concatenate([getattr(x, f) for x in parts]) for f in fields}
    return Activity(**whole, num_neurons=parts[0].num_neurons)
