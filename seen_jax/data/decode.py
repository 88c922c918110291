"""JPEGs of a record become uint8 frames at the network's size, by `images`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seen_jax import images, see

if TYPE_CHECKING:
    from seen_jax.data.records import Record

KINDS = ("event", "frame")  # as the folders of a SEE folder are called


def jpegs_of(record: Record, kind: str) -> tuple[bytes, ...]:
    """Returns the JPEGs of one of `KINDS`."""
    return dict(zip(KINDS, (record.event_jpegs, record.frame_jpegs), strict=True))[kind]


def decode_frames(record: Record, kind: str, numbers: Sequence[int]) -> np.ndarray:
    """Decodes frames of a record as (len(numbers), H, W) uint8.

    Args:
      record: a clip.
      kind: one of `KINDS`.
      numbers: of the frames, from 0.

    Raises:
      ValueError: an image is missing or is no JPEG; names the clip and the frame.
    """
    jpegs = jpegs_of(record, kind)
    frames = np.empty((len(numbers), see.INPUT_SIZE, see.INPUT_SIZE), np.uint8)
    for frame, number in zip(frames, numbers, strict=True):
        try:
            frame[:] = images.load_input(jpegs[number])
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"{record.name}: expected a square JPEG as {kind} frame {number}, got "
                f"{error}; build the records again"
            ) from error
    return frames
