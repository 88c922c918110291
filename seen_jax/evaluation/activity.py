"""Spikes and attention of a network, clip by clip; reading them needs no JAX.

Note: a synaptic operation is counted where a spike arrives, so that a spike at an
image's border, or one that a stride skips, counts fewer than the kernel has positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

NEURONS = ("J_s", "LIF1", "LIF2", "LIF3", "LIF4", "LIF5")
NEURONS_IN_WORDS = (
    "LIF1 to LIF5 are the five layers of leaky integrate-and-fire neurons of the "
    "temporal branch (event frames), from input to output. J_s are the spikes of the "
    "spatial branch (intensity frames), a single step that is added to LIF3's spikes "
    "at every time step."
)
SYNAPSES = {  # layer that spikes arrive at: where they come from
    "conv2_f2": "LIF1",
    "conv3_f2": "LIF2",
    "fc1": "LIF3 + J_s",
    "fc2": "LIF4",
}
MOST = np.array([1, 1, 2, 1])  # spikes that one input of these layers carries at most
OF_CLIPS = ("attention", "spatial_rate", "rates", "operations")


@dataclass(frozen=True)
class Activity:
    """One window of each clip; N clips, T time steps.

    Attributes:
      attention: (N, 3), weights of the three scales in S.
      spatial_rate: (N,) share of J_s that fires.
      rates: (N, T, 5), share of LIF1 to LIF5 that fires.
      operations: (N, T, 4), accumulates that spikes cause in the layers of `SYNAPSES`.
      num_neurons: (5,), of LIF1 to LIF5.
      step_macs: (4,), of the layers of `SYNAPSES` in a time step on dense inputs, with
        the products with padding.
      step_synapses: (4,), the same without padding: the accumulates if every input
        carried one spike.
    """

    attention: np.ndarray
    spatial_rate: np.ndarray
    rates: np.ndarray
    operations: np.ndarray
    num_neurons: np.ndarray
    step_macs: np.ndarray
    step_synapses: np.ndarray


def join(parts: list[Activity], num_clips: int) -> Activity:
    """Concatenates batches and keeps the first clips."""
    averages = {
        name: np.concatenate([getattr(x, name) for x in parts])[:num_clips]
        for name in OF_CLIPS
    }
    return replace(parts[0], **averages)
