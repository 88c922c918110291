"""JPEGs of a record become uint8 frames at the network's size, as `images` makes them.

Images of SEE are twice as large as the network's in each direction. There Pillow's
bilinear filter weighs four pixels by 1 3 3 1, and its result is had in whole numbers in
less than half of Pillow's time, bit by bit the same. All other sizes go through
`images.resize`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seen_jax import images, see
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
            image = images.decode_jpeg(jpegs[number])
            twice = image.shape == (2 * see.INPUT_SIZE, 2 * see.INPUT_SIZE)
            frame[:] = halve(image) if twice else images.resize(image)
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"{record.name}: expected a square JPEG as {kind} frame {number}, got "
                f"{error}; build the records again"
            ) from error
    return frames


def halve(image: np.ndarray) -> np.ndarray:
    """Returns what Pillow's bilinear resize makes of an image at half its size.

    Args:
      image: uint8 (2 H, 2 W), contiguous, H and W at least 2.

    Returns:
      uint8 (H, W).
    """
    pairs = image.view("<u2")  # two pixels of a row in one number
    # Columns first, and rounded to 8 bits between, as Pillow does.
    columns = _halve_rows((pairs & 255).T, (pairs >> 8).T).T
    return _halve_rows(columns[0::2], columns[1::2]).astype(np.uint8)


def _halve_rows(even: np.ndarray, odd: np.ndarray) -> np.ndarray:
    """Weighs rows of 8-bit values by 1 3 3 1, in uint16; both arguments (H, ...)."""
    total = even + odd
    total *= 3
    total[1:] += odd[:-1]
    total[:-1] += even[1:]
    last = len(total) - 1
    # The first row has no left neighbour and the last no right: 3 3 1, over 7.
    ends = (2 * total[::last] + 7) // 14
    total += 4
    total >>= 3
    total[::last] = ends
    return total
