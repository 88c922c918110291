"""Frames of as many clips as wanted, in the memory of devices, of a few drawn ones.

What a reader would get wrong: they are copies, but each lies in a place of its own, so
that steps gather from as much memory as they would with that many clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from seen_jax.training import resident, step

FRAMES_PER_CLIP = 53.5  # mean over the 2,405 clips of SEE


def fill(
    blocks: Mapping[str, np.ndarray], times: int, devices: Sequence[jax.Device]
) -> resident.Frames:
    """Repeats frames (F, H, W) to (times * F, H, W) on every device."""

    def repeat(blocks):
        return {name: jnp.tile(x, (times, 1, 1)) for name, x in blocks.items()}

    return step.parallel(repeat, devices)(step.replicate(dict(blocks), devices))


def repeated_frames(
    batch: Mapping[str, np.ndarray], num_clips: int, devices: Sequence[jax.Device]
) -> tuple[resident.Frames, dict[str, np.ndarray]]:
    """Returns frames of so many clips, and rows that gather the batch from them.

    Args:
      batch: event_frames (B, T, H, W), intensity_frames (B, 2, H, W), label, mask.
      num_clips: 1 or more; of `FRAMES_PER_CLIP`.
      devices: where to.

    Returns:
      Frames as of `resident.place`, rows as of `Batches.rows` for one step.
    """
    rng = np.random.default_rng(0)
    batch_size, num_event_frames, height, width = batch["event_frames"].shape
    length = batch_size * max(num_event_frames, 2)
    times = -(-round(num_clips * FRAMES_PER_CLIP) // length)
    rows = {name: batch[name][None] for name in ("label", "mask")}
    blocks = {}
    for kind in ("event", "intensity"):
        images = batch[f"{kind}_frames"].reshape(-1, height, width)
        blocks[f"{kind}_frames"] = np.resize(images, (length, height, width))
        place = np.arange(len(images)).reshape(1, batch_size, -1)
        copies = rng.integers(0, times, place.shape)
        rows[f"{kind}_rows"] = (place + length * copies).astype(np.int32)
    return fill(blocks, times, devices), rows
