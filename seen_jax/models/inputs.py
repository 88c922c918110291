"""What the network may be given: which frames of a window, arrays of which shape.

What a reader would get wrong: the network does not choose the intensity frames. It is
given those that `intensity_places` names, and can check no more than their number.
"""

from __future__ import annotations

from typing import NoReturn

import jax
import jax.numpy as jnp

from seen_jax.data.windows import intensity_places


def check_inputs(
    intensity: str,
    event_frames: jax.Array,
    intensity_frames: jax.Array,
    mask: jax.Array | None,
) -> None:
    """Raises ValueError if the inputs are not as `SEEN.__call__` describes them."""
    shape = event_frames.shape
    if len(shape) != 4 or shape[2] != shape[3]:
        refuse("event_frames", "(B, T, H, W) with H = W", event_frames)
    if not all(shape):
        refuse("event_frames", "B, T, H and W of 1 or more", event_frames)
    if not jnp.issubdtype(event_frames.dtype, jnp.floating):
        refuse("event_frames", "floats, normalised as in training", event_frames)
    count = len(intensity_places(intensity, shape[1]))
    expected = (shape[0], count, *shape[2:])
    if intensity_frames.shape != expected:
        rule = f"{expected}, since intensity is {intensity!r}"
        refuse("intensity_frames", rule, intensity_frames)
    if intensity_frames.dtype != event_frames.dtype:
        rule = f"{event_frames.dtype}, as event_frames"
        refuse("intensity_frames", rule, intensity_frames)
    if mask is not None and (mask.shape != shape[:1] or mask.dtype != bool):
        refuse("mask", f"bool of shape {shape[:1]}", mask)


def refuse(
    argument: str, expected: str, array: jax.Array, remedy: str = ""
) -> NoReturn:
    """Raises a ValueError that names the dtype and shape of an array (any shape)."""
    got = f"got {array.dtype} of shape {array.shape}"
    raise ValueError(f"{argument}: expected {expected}, {got}" + remedy)
