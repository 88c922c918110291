"""A network and windows -> what it does with them, and how much it computes.

    clips drawn by the seed -> windows of the first pass -> plain SEEN with its capture
      -> sums by clip on a device -> Activity on the host

A network that captures nothing is not observed.

Note: predictions may come from a network that skips needless work; spikes and
multiply-accumulates are always those of the published one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from seen_jax import images, see
from seen_jax.data.windows import intensity_places
from seen_jax.evaluation.activity import Activity, join
from seen_jax.models import counting, networks
from seen_jax.models.capture import Capture
from seen_jax.models.fast.network import plain
from seen_jax.models.layers import convolve
from seen_jax.models.seen import STAGES

if TYPE_CHECKING:
    from seen_jax.data.batches import Batches

NUM_CLIPS = 128  # enough for means; observing all clips would cost more than a pass
BATCH_SIZE = 8


def observe(
    model: nn.Module, variables: Any, event_frames, intensity_frames
) -> Activity:
    """Runs the network and sums up its activity; may be compiled.

    Args:
      model, variables: the network.
      event_frames, intensity_frames: normalised, as `SEEN.__call__` takes them.

    Returns:
      An `Activity` of JAX arrays; N is the batch.
    """
    _, capture = plain(model).apply(
        variables,
        event_frames=event_frames,
        intensity_frames=intensity_frames,
        capture=True,
    )
    return summarise(capture)


def summarise(capture: Capture) -> Activity:
    """Sums up what the network captured; see `observe`."""
    spikes = [state.spike for state in capture.temporal]
    fused = spikes[2] + capture.spatial.spike  # 0, 1 or 2; a 2 is two spikes
    operations = [
        _arrivals(spikes[0], *STAGES["conv2_f2"]),
        _arrivals(spikes[1], *STAGES["conv3_f2"]),
        _sum(fused) * spikes[3].shape[-1],
        _sum(spikes[3]) * spikes[4].shape[-1],
    ]
    _, lif2, lif3, lif4, lif5 = sizes = [x[0, 0].size for x in spikes]
    step_macs = [
        lif2 * STAGES["conv2_f2"][1] ** 2 * spikes[0].shape[-1],
        lif3 * STAGES["conv3_f2"][1] ** 2 * spikes[1].shape[-1],
        lif3 * lif4,
        lif4 * lif5,
    ]
    step_synapses = [
        _arrivals(jnp.ones_like(spikes[0][:1, :1]), *STAGES["conv2_f2"])[0, 0],
        _arrivals(jnp.ones_like(spikes[1][:1, :1]), *STAGES["conv3_f2"])[0, 0],
        *step_macs[2:],  # no padding
    ]
    return Activity(
        attention=capture.attention,
        spatial_rate=_mean(capture.spatial.spike)[:, 0],
        rates=jnp.stack([_mean(x) for x in spikes], axis=-1),
        operations=jnp.stack(operations, axis=-1),
        num_neurons=jnp.array(sizes),
        step_macs=jnp.array(step_macs),
        step_synapses=jnp.array(step_synapses, jnp.int32),
    )


def _arrivals(spikes: jax.Array, features: int, size: int, stride: int) -> jax.Array:
    """Counts the accumulates of spikes (B, T, H, W, C) in a convolution: (B, T)."""
    spikes_at = spikes.sum(axis=-1, keepdims=True)
    ones = jnp.ones((size, size, 1, 1), spikes.dtype)
    return _sum(convolve(spikes_at, ones, stride)) * features


def _sum(x: jax.Array) -> jax.Array:
    return x.sum(axis=tuple(range(2, x.ndim)))


def _mean(x: jax.Array) -> jax.Array:
    return x.mean(axis=tuple(range(2, x.ndim)))


def observe_clips(
    model: nn.Module, variables: Any, batches: Batches, num_clips: int = NUM_CLIPS
) -> tuple[np.ndarray, Activity | None]:
    """Runs windows of the first pass once more, on one device.

    Args:
      model, variables: the network.
      batches: of purpose "eval".
      num_clips: the most to observe; if there are more, the seed draws them.

    Returns:
      The numbers of the observed clips (N,), ascending, and their activity as NumPy
      arrays; no clips and None where the network captures nothing.
    """
    if not networks.captures(model):
        return np.array([], int), None

    @jax.jit
    def run(variables, event_frames, intensity_frames):
        activity = observe(
            model,
            variables,
            images.normalise_events(event_frames),
            images.normalise_intensity(intensity_frames),
        )
        return activity.__dict__

    rng = np.random.Generator(np.random.PCG64(batches.seed))
    clips = rng.permutation(len(batches.clips))[:num_clips]
    clips.sort()
    # The last rows are filled up, so that one program serves all.
    rows = np.resize(clips, (-(-len(clips) // BATCH_SIZE), BATCH_SIZE))
    parts = [jax.device_get(run(variables, *batches.first_windows(x))) for x in rows]
    return clips, join([Activity(**x) for x in parts], len(clips))


def count_macs(model: nn.Module, variables: Any, num_event_frames: int) -> int:
    """Counts the multiply-accumulates of a window on dense inputs.

    Reference: the paper's column "FLOPS" lists them: 0.907, 1.454 and 2.548 G for 4, 7
    and 13 event frames and two intensity frames.
    """
    num_intensity_frames = len(intensity_places(model.intensity, num_event_frames))
    counts, size = (num_event_frames, num_intensity_frames), see.INPUT_SIZE
    shapes = [jax.ShapeDtypeStruct((1, n, size, size), np.float32) for n in counts]

    def apply(variables, event_frames, intensity_frames):
        return plain(model).apply(
            variables, event_frames=event_frames, intensity_frames=intensity_frames
        )

    return counting.count_macs(apply, variables, *shapes)
