"""A network and windows -> what it does with them, and how much it computes.

    clips drawn by the seed -> windows of the first pass -> plain SEEN with its capture
      -> sums by clip on a device -> Activity on the host

What a reader would get wrong: predictions may come from a network that leaves out work
which reaches nothing. Spikes and multiply-accumulates are those of the published one.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from seen_jax import images, see
from seen_jax.evaluation.activity import Activity, join
from seen_jax.models import counting
from seen_jax.models.layers import convolve
from seen_jax.models.seen import SEEN, STAGES

if TYPE_CHECKING:
    from seen_jax.data.batches import Batches

# So many show means as well as all of a split do; all would cost more than a pass.
NUM_CLIPS = 128
BATCH_SIZE = 8


def plain(model: SEEN) -> SEEN:
    """Returns the published network of the same fields, for the same variables."""
    fields = {f.name for f in dataclasses.fields(SEEN)} - {"parent", "name"}
    return SEEN(**{name: getattr(model, name) for name in fields})


def observe(model: SEEN, variables: Any, event_frames, intensity_frames) -> Activity:
    """Runs the network and sums up what it did; may be compiled.

    Args:
      model, variables: the network.
      event_frames, intensity_frames: normalised, as `SEEN.__call__` has them.

    Returns:
      An `Activity` of JAX arrays; N is the batch.
    """
    _, seen = plain(model).apply(
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
    _, lif2, lif3, lif4, lif5 = sizes = [x[0, 0].size for x in spikes]
    step_macs = [
        lif2 * STAGES["conv2_f2"][1] ** 2 * spikes[0].shape[-1],
        lif3 * STAGES["conv3_f2"][1] ** 2 * spikes[1].shape[-1],
        lif3 * lif4,
        lif4 * lif5,
    ]
    return Activity(
        attention=seen.attention,
        spatial_rate=_mean(seen.spatial.spike)[:, 0],
        rates=jnp.stack([_mean(x) for x in spikes], axis=-1),
        operations=jnp.stack(operations, axis=-1),
        num_neurons=jnp.array(sizes),
        step_macs=jnp.array(step_macs),
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


def observe_clips(
    model: SEEN, variables: Any, batches: Batches, num_clips: int = NUM_CLIPS
) -> tuple[np.ndarray, Activity]:
    """Shows the network windows of the first pass once more, on one device.

    Args:
      model, variables: the network.
      batches: of purpose "eval".
      num_clips: the most to be shown; of more, so many are drawn by the seed.

    Returns:
      The clips (N,), ascending, and what the network did, NumPy arrays.
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

    rng = np.random.Generator(np.random.PCG64(batches.seed))
    clips = rng.permutation(len(batches.provider.records))[:num_clips]
    clips.sort()
    # The last rows are filled up, so that one program serves all.
    rows = np.resize(clips, (-(-len(clips) // BATCH_SIZE), BATCH_SIZE))
    found = [jax.device_get(run(variables, *first_windows(batches, x))) for x in rows]
    return clips, join([Activity(**x) for x in found], len(clips))


def first_windows(batches: Batches, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the windows that the first pass shows of clips, as `Store.windows`."""
    index = batches.plan(0).event_index  # (S, B, T), in the clips' order
    drawn = index.reshape(-1, index.shape[-1])
    return batches.provider.windows(clips, drawn[clips], batches.intensity_places)


def count_macs(
    model: SEEN, variables: Any, num_event_frames: int, num_intensity_frames: int
) -> int:
    """Counts the multiply-accumulates of a window, were every input dense.

    Reference: the paper's column "FLOPS" holds them: 0.907, 1.454 and 2.548 G for 4, 7
    and 13 event frames and two intensity frames.
    """
    counts, size = (num_event_frames, num_intensity_frames), see.INPUT_SIZE
    shapes = [jax.ShapeDtypeStruct((1, n, size, size), np.float32) for n in counts]

    def apply(variables, event_frames, intensity_frames):
        return plain(model).apply(
            variables, event_frames=event_frames, intensity_frames=intensity_frames
        )

    return counting.count_macs(apply, variables, *shapes)
