"""What the network may be given: which frames of a window, arrays of which shape.

What a reader would get wrong: the network does not choose the intensity frames. It is
given those that `intensity_indices` names, and can check no more than their number.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn

import jax
import jax.numpy as jnp

INTENSITIES = ("first_and_last", "first", "first_and_second", "all")


def intensity_indices(intensity: str, num_event_frames: int) -> tuple[int, ...]:
    """Names the frames of a window whose intensity images the network sees.

    Args:
      intensity: one of `INTENSITIES`; the last three are A, B and C of the paper's
        Table 2.
      num_event_frames: T, 1 or more; 2 or more for "first_and_second".

    Returns:
      Indices within the window, in the order in which `intensity_frames` has them.

    Raises:
      ValueError: the option is not known, or the window is too short for it.
    """
    check_option("intensity", intensity, INTENSITIES)
    least = 2 if intensity == "first_and_second" else 1
    if num_event_frames < least:
        raise ValueError(
            f"num_event_frames: expected {least} or more, since intensity is "
            f"{intensity!r}, got {num_event_frames}"
        )
    return {
        "first_and_last": (0, num_event_frames - 1),
        "first": (0,),
        "first_and_second": (0, 1),
        "all": tuple(range(num_event_frames)),
    }[intensity]


def check_option(name: str, value: str, known: Collection[str]) -> None:
    """Raises ValueError if the value is not one of those known."""
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")


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
    count = len(intensity_indices(intensity, shape[1]))
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
